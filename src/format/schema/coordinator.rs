//! Records of `__consumer_offsets` and `__transaction_state`.

use super::Kind::{
    Bytes, I8, I16, I32, I64, Id, List, MaybeList, MaybeStruct, MaybeText, Nested, Struct, Text,
};
use super::{Field, Form, Values, field, push_values};
use crate::format::Malformed;
use crate::format::varint::Input;

/// One kind of record, by the number that its key begins with.
struct Record {
    kind: i16,
    key: &'static [Field],
    value: &'static [Field],
    /// The first version of the value in flexible form.
    flexible: i16,
    /// The last version that is listed.
    newest: i16,
}

const fn record(kind: i16, key: &'static [Field], value: &'static [Field], flexible: i16) -> Record {
    Record { kind, key, value, flexible, newest: flexible }
}

const TOPIC_PARTITIONS: &[Field] = &[field("topic", Text), field("partitions", List(&I32))];
/// What a consumer subscribes to, as it is sent to its group.
const SUBSCRIPTION: &[Field] = &[
    field("topics", List(&Text)),
    field("userData", super::Kind::MaybeBytes),
    field("ownedPartitions", List(&Struct(TOPIC_PARTITIONS))).from(1),
    field("generationId", I32).from(2),
    field("rackId", MaybeText).from(3),
];
const NEWEST_SUBSCRIPTION: i16 = 3;
/// What a consumer is assigned.
const ASSIGNMENT: &[Field] = &[
    field("assignedPartitions", List(&Struct(TOPIC_PARTITIONS))),
    field("userData", super::Kind::MaybeBytes),
];
const CLASSIC_MEMBER: &[Field] = &[
    field("memberId", Text),
    field("groupInstanceId", MaybeText).from(3),
    field("clientId", Text),
    field("clientHost", Text),
    field("rebalanceTimeout", I32).from(1),
    field("sessionTimeout", I32),
    field("subscription", Nested(SUBSCRIPTION)),
    field("assignment", Nested(ASSIGNMENT)),
];
const OFFSET_COMMIT: &[Field] = &[
    field("offset", I64),
    field("leaderEpoch", I32).from(3),
    field("metadata", Text),
    field("commitTimestamp", I64),
    field("expireTimestamp", I64).from(1).through(1),
    field("topicId", Id).from(4).tag(0),
];
const CLASSIC_GROUP: &[Field] = &[
    field("protocolType", Text),
    field("generation", I32),
    field("protocol", MaybeText),
    field("leader", MaybeText),
    field("currentStateTimestamp", I64).from(2),
    field("members", List(&Struct(CLASSIC_MEMBER))),
];
const ID_PARTITIONS: &[Field] = &[field("topicId", Id), field("partitions", List(&I32))];
const CLASSIC_PROTOCOL: &[Field] = &[field("name", Text), field("metadata", Bytes)];
const CLASSIC_METADATA: &[Field] =
    &[field("sessionTimeoutMs", I32), field("supportedProtocols", List(&Struct(CLASSIC_PROTOCOL)))];
const MEMBER: &[Field] = &[
    field("instanceId", MaybeText),
    field("rackId", MaybeText),
    field("clientId", Text),
    field("clientHost", Text),
    field("subscribedTopicNames", List(&Text)),
    field("subscribedTopicRegex", MaybeText),
    field("rebalanceTimeoutMs", I32),
    field("serverAssignor", MaybeText),
    field("classicMemberMetadata", MaybeStruct(CLASSIC_METADATA)).tag(0),
];
const PARTITION_RACKS: &[Field] = &[field("partition", I32), field("racks", List(&Text))];
const OLD_TOPIC_METADATA: &[Field] = &[
    field("topicId", Id),
    field("topicName", Text),
    field("numPartitions", I32),
    field("partitionMetadata", List(&Struct(PARTITION_RACKS))),
];
const PENDING_PARTITIONS: &[Field] = ID_PARTITIONS;

const GROUP: &[Field] = &[field("groupId", Text)];
const GROUP_MEMBER: &[Field] = &[field("groupId", Text), field("memberId", Text)];

const COMMIT: Record = record(1, COMMIT_KEY, OFFSET_COMMIT, 4);
const GROUP_METADATA: Record = record(2, &[field("group", Text)], CLASSIC_GROUP, 4);

/// Of `__consumer_offsets`.
const OFFSETS: &[Record] = &[
    Record { kind: 0, ..COMMIT },
    COMMIT,
    GROUP_METADATA,
    record(3, GROUP, &[field("epoch", I32), field("metadataHash", I64).tag(0)], 0),
    record(4, GROUP, &[field("topics", List(&Struct(OLD_TOPIC_METADATA)))], 0),
    record(5, GROUP_MEMBER, MEMBER, 0),
    record(6, GROUP, &[field("assignmentEpoch", I32)], 0),
    record(7, GROUP_MEMBER, &[field("topicPartitions", List(&Struct(ID_PARTITIONS)))], 0),
    record(
        8,
        GROUP_MEMBER,
        &[
            field("memberEpoch", I32),
            field("previousMemberEpoch", I32),
            field("state", I8),
            field("assignedPartitions", List(&Struct(ID_PARTITIONS))),
            field("partitionsPendingRevocation", List(&Struct(PENDING_PARTITIONS))),
        ],
        0,
    ),
    record(
        16,
        &[field("groupId", Text), field("regularExpression", Text)],
        &[field("topics", List(&Text)), field("version", I64), field("timestamp", I64)],
        0,
    ),
];

const COMMIT_KEY: &[Field] = &[field("group", Text), field("topic", Text), field("partition", I32)];

const TRANSACTION_PARTITIONS: &[Field] = &[field("topic", Text), field("partitionIds", List(&I32))];
/// Of `__transaction_state`.
const TRANSACTION: Record = record(
    0,
    &[field("transactionalId", Text)],
    &[
        field("producerId", I64),
        field("previousProducerId", I64).from(1).tag(0),
        field("nextProducerId", I64).from(1).tag(1),
        field("producerEpoch", I16),
        field("nextProducerEpoch", I16).from(1).tag(3),
        field("transactionTimeoutMs", I32),
        field("transactionStatus", I8),
        field("transactionPartitions", MaybeList(&Struct(TRANSACTION_PARTITIONS))),
        field("transactionLastUpdateTimestampMs", I64),
        field("transactionStartTimestampMs", I64),
        field("clientTransactionVersion", I16).from(1).tag(2),
    ],
    1,
);

impl Record {
    fn key<'a>(&self, key: &'a [u8]) -> Result<Values<'a>, Malformed> {
        let mut input = Input::new(key);
        let version = input.i16()?;
        // Keys are compared as bytes, so that they never have tagged fields.
        let values = Form { version, flexible: false }.values(self.key, &mut input)?;
        input.end()?;
        Ok(values)
    }

    /// The version of a value, and its fields. Those of a version that is not listed may be followed by others.
    fn value<'a>(&self, value: &'a [u8]) -> Result<(i16, Values<'a>), Malformed> {
        let mut input = Input::new(value);
        let version = input.i16()?;
        if version < 0 {
            return Err(Malformed("a record has a negative version"));
        }
        let values = Form { version, flexible: version >= self.flexible }.values(self.value, &mut input)?;
        if version <= self.newest {
            input.end()?;
        }
        Ok((version, values))
    }

    /// The fields of a value. `None`: of a version that is not listed.
    fn listed<'a>(&self, value: &'a [u8]) -> Result<Option<Values<'a>>, Malformed> {
        if Input::new(value).i16()? > self.newest {
            return Ok(None);
        }
        self.value(value).map(|(_, values)| Some(values))
    }
}

/// The value of a group of the classic protocol. `None`: of a newer version.
pub(in crate::format) fn group_metadata(value: &[u8]) -> Result<Option<Values<'_>>, Malformed> {
    GROUP_METADATA.listed(value)
}

/// The fields of a member's subscription. A newer version appends to them.
pub(in crate::format) fn subscription(bytes: &[u8]) -> Result<Values<'_>, Malformed> {
    let mut input = Input::new(bytes);
    let version = input.i16()?;
    if version < 0 {
        return Err(Malformed("the version of a member's message is negative"));
    }
    let values = Form { version, flexible: false }.values(SUBSCRIPTION, &mut input)?;
    if version <= NEWEST_SUBSCRIPTION {
        input.end()?;
    }
    Ok(values)
}

/// The value of a record of `__transaction_state`, of any version.
#[cfg(test)]
pub(in crate::format) fn transaction_state(value: &[u8]) -> Result<Values<'_>, Malformed> {
    TRANSACTION.value(value).map(|(_, values)| values)
}

/// Which of the two topics a record is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coordinator {
    Groups,
    Transactions,
}

impl Coordinator {
    fn record(self, kind: i16) -> Option<&'static Record> {
        match self {
            Self::Groups => OFFSETS.iter().find(|record| record.kind == kind),
            Self::Transactions => Some(&TRANSACTION).filter(|record| record.kind == kind),
        }
    }

    /// The key of a record as Kafka's tool prints it. `None`: a kind that is not known.
    pub(crate) fn key_words(self, key: &[u8]) -> Result<Option<String>, Malformed> {
        let kind = Input::new(key).i16()?;
        let Some(record) = self.record(kind) else { return Ok(None) };
        let mut words = format!("{{\"type\":\"{kind}\",\"data\":");
        push_values(&record.key(key)?, &mut words)?;
        words.push('}');
        Ok(Some(words))
    }

    /// The value of a record with this key as Kafka's tool prints it. `None`: a kind that is not known.
    pub(crate) fn value_words(self, key: &[u8], value: &[u8]) -> Result<Option<String>, Malformed> {
        let Some(record) = self.record(Input::new(key).i16()?) else { return Ok(None) };
        let (version, values) = record.value(value)?;
        let mut words = format!("{{\"version\":\"{version}\",\"data\":");
        push_values(&values, &mut words)?;
        words.push('}');
        Ok(Some(words))
    }
}
