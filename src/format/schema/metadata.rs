//! Records of the metadata log, and the control records in it.

use std::fmt::Write as _;

use super::Kind::{Bool, I8, I16, I32, I64, Id, List, MaybeText, Struct, Text, U16};
use super::{Field, Form, Values, field, push_values};
use crate::format::Malformed;
use crate::format::varint::Input;

struct Record {
    api_key: u32,
    name: &'static str,
    newest: i16,
    fields: &'static [Field],
}

const fn record(api_key: u32, name: &'static str, newest: i16, fields: &'static [Field]) -> Record {
    Record { api_key, name, newest, fields }
}

impl Record {
    /// The fields of a record. Newer versions append to them, so that nothing may follow those of a version that is listed, and
    /// what is tagged is read of these alone.
    fn values<'a>(&self, version: i16, input: &mut Input<'a>) -> Result<Values<'a>, Malformed> {
        let form = Form { version, flexible: true };
        if version > self.newest {
            return form.untagged(self.fields, input);
        }
        let values = form.values(self.fields, input)?;
        if !input.is_empty() {
            return Err(Malformed("a metadata record has bytes after its fields"));
        }
        Ok(values)
    }
}

/// The fields of a record of the metadata log that is listed.
pub(in crate::format) fn fields_of<'a>(
    api_key: u32,
    version: u32,
    input: &mut Input<'a>,
) -> Result<Values<'a>, Malformed> {
    let record = RECORDS.iter().find(|record| record.api_key == api_key);
    // The numbers of versions are small; one that is larger is newer than any that is listed.
    let version = i16::try_from(version).unwrap_or(i16::MAX);
    record.ok_or(Malformed("a metadata record is of no kind that is listed"))?.values(version, input)
}

/// The same of any version with its tagged fields: a newer version has no fields before them that are not listed.
pub(in crate::format) fn passed_fields_of(
    api_key: u32,
    version: u32,
    fields: &[u8],
) -> Result<Values<'_>, Malformed> {
    let record = RECORDS.iter().find(|record| record.api_key == api_key);
    let version = i16::try_from(version).unwrap_or(i16::MAX);
    let fields_of = record.ok_or(Malformed("a metadata record is of no kind that is listed"))?.fields;
    Form { version, flexible: true }.values(fields_of, &mut Input::new(fields))
}

const IDS: super::Kind = List(&Id);
const NODES: super::Kind = List(&I32);

const ENDPOINT: &[Field] =
    &[field("name", Text), field("host", Text), field("port", U16), field("securityProtocol", I16)];
const FEATURE: &[Field] =
    &[field("name", Text), field("minSupportedVersion", I16), field("maxSupportedVersion", I16)];
const BROKER: &[Field] = &[field("brokerId", I32), field("brokerEpoch", I64)];
const DELEGATION_TOKEN: &[Field] = &[
    field("owner", Text),
    field("requester", Text),
    field("renewers", List(&Text)),
    field("issueTimestamp", I64),
    field("maxTimestamp", I64),
    field("expirationTimestamp", I64),
    field("tokenId", Text),
];
const QUOTA_ENTITY: &[Field] = &[field("entityType", Text), field("entityName", MaybeText)];

/// By their numbers.
const RECORDS: &[Record] = &[
    record(
        0,
        "REGISTER_BROKER_RECORD",
        4,
        &[
            field("brokerId", I32),
            field("isMigratingZkBroker", Bool).from(2),
            field("incarnationId", Id),
            field("brokerEpoch", I64),
            field("endPoints", List(&Struct(ENDPOINT))),
            field("features", List(&Struct(FEATURE))),
            field("rack", MaybeText),
            field("fenced", Bool),
            field("inControlledShutdown", Bool).from(1),
            field("logDirs", IDS).from(3).tag(0),
            field("cordonedLogDirs", IDS).from(4).tag(1),
        ],
    ),
    record(1, "UNREGISTER_BROKER_RECORD", 0, BROKER),
    record(2, "TOPIC_RECORD", 0, &[field("name", Text), field("topicId", Id)]),
    record(
        3,
        "PARTITION_RECORD",
        2,
        &[
            field("partitionId", I32),
            field("topicId", Id),
            field("replicas", NODES),
            field("isr", NODES),
            field("removingReplicas", NODES),
            field("addingReplicas", NODES),
            field("leader", I32),
            field("leaderRecoveryState", I8).tag(0),
            field("leaderEpoch", I32),
            field("partitionEpoch", I32),
            field("directories", IDS).from(1),
            field("eligibleLeaderReplicas", NODES).from(2).tag(1),
            field("lastKnownElr", NODES).from(2).tag(2),
        ],
    ),
    record(
        4,
        "CONFIG_RECORD",
        0,
        &[
            field("resourceType", I8),
            field("resourceName", Text),
            field("name", Text),
            field("value", MaybeText),
        ],
    ),
    record(
        5,
        "PARTITION_CHANGE_RECORD",
        2,
        &[
            field("partitionId", I32),
            field("topicId", Id),
            field("isr", NODES).tag(0),
            field("leader", I32).tag(1),
            field("replicas", NODES).tag(2),
            field("removingReplicas", NODES).tag(3),
            field("addingReplicas", NODES).tag(4),
            field("leaderRecoveryState", I8).tag(5),
            field("directories", IDS).from(1).tag(8),
            field("eligibleLeaderReplicas", NODES).from(2).tag(6),
            field("lastKnownElr", NODES).from(2).tag(7),
        ],
    ),
    record(7, "FENCE_BROKER_RECORD", 0, &[field("id", I32), field("epoch", I64)]),
    record(8, "UNFENCE_BROKER_RECORD", 0, &[field("id", I32), field("epoch", I64)]),
    record(9, "REMOVE_TOPIC_RECORD", 0, &[field("topicId", Id)]),
    record(10, "DELEGATION_TOKEN_RECORD", 0, DELEGATION_TOKEN),
    record(12, "FEATURE_LEVEL_RECORD", 0, &[field("name", Text), field("featureLevel", I16)]),
    record(
        14,
        "CLIENT_QUOTA_RECORD",
        0,
        &[
            field("entity", List(&Struct(QUOTA_ENTITY))),
            field("key", Text),
            field("value", super::Kind::F64),
            field("remove", Bool),
        ],
    ),
    record(
        15,
        "PRODUCER_IDS_RECORD",
        0,
        &[field("brokerId", I32), field("brokerEpoch", I64), field("nextProducerId", I64)],
    ),
    record(
        17,
        "BROKER_REGISTRATION_CHANGE_RECORD",
        3,
        &[
            field("brokerId", I32),
            field("brokerEpoch", I64),
            field("fenced", I8).tag(0),
            field("inControlledShutdown", I8).from(1).tag(1),
            field("logDirs", IDS).from(2).tag(2),
            field("cordonedLogDirs", IDS).from(3).tag(3),
        ],
    ),
    record(
        18,
        "ACCESS_CONTROL_ENTRY_RECORD",
        0,
        &[
            field("id", Id),
            field("resourceType", I8),
            field("resourceName", Text),
            field("patternType", I8),
            field("principal", Text),
            field("host", Text),
            field("operation", I8),
            field("permissionType", I8),
        ],
    ),
    record(19, "REMOVE_ACCESS_CONTROL_ENTRY_RECORD", 0, &[field("id", Id)]),
    record(20, "NO_OP_RECORD", 0, &[]),
    record(21, "ZK_MIGRATION_STATE_RECORD", 0, &[field("zkMigrationState", I8)]),
    record(22, "REMOVE_USER_SCRAM_CREDENTIAL_RECORD", 0, &[field("name", Text), field("mechanism", I8)]),
    record(23, "BEGIN_TRANSACTION_RECORD", 0, &[field("name", MaybeText).tag(0)]),
    record(24, "END_TRANSACTION_RECORD", 0, &[]),
    record(25, "ABORT_TRANSACTION_RECORD", 0, &[field("reason", MaybeText).tag(0)]),
    record(26, "REMOVE_DELEGATION_TOKEN_RECORD", 0, &[field("tokenId", Text)]),
    record(
        27,
        "REGISTER_CONTROLLER_RECORD",
        0,
        &[
            field("controllerId", I32),
            field("incarnationId", Id),
            field("zkMigrationReady", Bool),
            field("endPoints", List(&Struct(ENDPOINT))),
            field("features", List(&Struct(FEATURE))),
        ],
    ),
    record(28, "CLEAR_ELR_RECORD", 0, &[field("topicName", Text)]),
];

/// A record of the metadata log as Kafka's tool prints it. What holds secrets, and what is not known, is reported by its
/// number only.
pub(crate) fn record_words(value: &[u8]) -> Result<String, Malformed> {
    let mut input = Input::new(value);
    if input.uvarint()? != 1 {
        return Err(Malformed("a metadata record has a frame version other than 1"));
    }
    let (api_key, version) = (input.uvarint()?, input.uvarint()?);
    let version = i16::try_from(version).map_err(|_| Malformed("a metadata record has no such version"))?;
    let mut words = String::new();
    let Some(record) = RECORDS.iter().find(|record| record.api_key == api_key) else {
        let _ = write!(words, "{{\"type\":\"{api_key}\",\"version\":{version},\"bytes\":{}}}", value.len());
        return Ok(words);
    };
    let _ = write!(words, "{{\"type\":\"{}\",\"version\":{version},\"data\":", record.name);
    push_values(&record.values(version, &mut input)?, &mut words)?;
    words.push('}');
    Ok(words)
}

const VOTER: &[Field] = &[field("voterId", I32), field("voterDirectoryId", Id).from(1)];
const LEADER_CHANGE: &[Field] = &[
    field("version", I16),
    field("leaderId", I32),
    field("voters", List(&Struct(VOTER))),
    field("grantingVoters", List(&Struct(VOTER))),
];
const SNAPSHOT_HEADER: &[Field] = &[field("version", I16), field("lastContainedLogTimestamp", I64)];
const SNAPSHOT_FOOTER: &[Field] = &[field("version", I16)];
const KRAFT_VERSION: &[Field] = &[field("version", I16), field("kRaftVersion", I16)];
const VOTER_ENDPOINT: &[Field] = &[field("name", Text), field("host", Text), field("port", U16)];
const VERSION_RANGE: &[Field] = &[field("minSupportedVersion", I16), field("maxSupportedVersion", I16)];
const KRAFT_VOTER: &[Field] = &[
    field("voterId", I32),
    field("voterDirectoryId", Id),
    field("endpoints", List(&Struct(VOTER_ENDPOINT))),
    field("kRaftVersionFeature", Struct(VERSION_RANGE)),
];
const KRAFT_VOTERS: &[Field] = &[field("version", I16), field("voters", List(&Struct(KRAFT_VOTER)))];

/// The voters in a control record.
pub(in crate::format) fn kraft_voters(value: &[u8]) -> Result<Values<'_>, Malformed> {
    let version = Input::new(value).i16()?;
    if version < 0 {
        return Err(Malformed("the voters have a negative version"));
    }
    Form { version, flexible: true }.untagged(KRAFT_VOTERS, &mut Input::new(value))
}

/// A control record of the metadata log, by its kind, as Kafka's tool prints it. `None` for other kinds.
pub(crate) fn control_words(kind: i16, value: &[u8]) -> Option<String> {
    let (name, fields) = match kind {
        2 => ("LeaderChange", LEADER_CHANGE),
        3 => ("SnapshotHeader", SNAPSHOT_HEADER),
        4 => ("SnapshotFooter", SNAPSHOT_FOOTER),
        5 => ("KRaftVersion", KRAFT_VERSION),
        6 => ("KRaftVoters", KRAFT_VOTERS),
        _ => return None,
    };
    let version = Input::new(value).i16().ok()?;
    let mut words = format!("{name} ");
    if kind == 2 {
        words.insert(words.len() - 1, ':');
    }
    let values = Form { version, flexible: true }.values(fields, &mut Input::new(value)).ok()?;
    push_values(&values, &mut words).ok()?;
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_in_kafkas_words() {
        let level = [1, 12, 0, 5, b'a', b'.', b'b', b'c', 0, 27, 0];
        let words = r#"{"type":"FEATURE_LEVEL_RECORD","version":0,"data":{"name":"a.bc","featureLevel":27}}"#;
        assert_eq!(record_words(&level).unwrap(), words);
        let unknown = [1, 99, 3, 1, 2];
        assert_eq!(record_words(&unknown).unwrap(), r#"{"type":"99","version":3,"bytes":5}"#);
        assert_eq!(control_words(4, &[0, 0, 0]).unwrap(), r#"SnapshotFooter {"version":0}"#);
        assert_eq!(control_words(0, &[0, 0, 0]), None);
    }
}
