//! Control records: what Kafka itself writes between the records of producers. They occupy an offset and are
//! never shown to consumers. The key says which kind it is; kinds that are not known are skipped.

use super::Malformed;
use super::batch::{Batch, BatchBuilder, FinishedBatch};
use super::batch_producer::BatchProducer;
use super::raw_record::RawRecord;
use super::record::RecordFields;
use super::schema::{self, Values};
use super::uuid::Uuid;
use super::varint::Input;

const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;
/// A marker is 78 bytes long.
const MARKER_BYTES: usize = 128;

/// A record of a batch that is marked as a control batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlRecord {
    /// The transaction of the batch's producer ends here: it is aborted, and its records do not count.
    Abort {
        coordinator_epoch: i32,
    },
    /// The transaction of the batch's producer ends here, and its records count.
    Commit {
        coordinator_epoch: i32,
    },
    /// The rest occurs in the metadata log and its snapshots only, and nothing in it matters to a reader.
    LeaderChange,
    SnapshotHeader,
    SnapshotFooter,
    KRaftVersion,
    KRaftVoters,
    Unknown(i16),
}

impl ControlRecord {
    /// The control record in a complete batch that is marked as a control batch. `None` if a compaction took it out, or
    /// it is invalid.
    pub(crate) fn of_batch(frame: &[u8]) -> Option<Self> {
        Self::in_batch(&Batch::of_frame(frame)?)
    }

    /// The same of a batch that has been taken apart.
    pub(crate) fn in_batch(batch: &Batch<'_>) -> Option<Self> {
        if !batch.header.is_control() || batch.header.record_count <= 0 {
            return None;
        }
        let record = RawRecord::take(&mut batch.records()).ok()?;
        Self::decode(record.key, record.value).ok()
    }

    /// Reads the key, and the value as far as the kind needs it. Newer versions may append to both.
    pub(crate) fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, Malformed> {
        let mut key = Input::new(key.ok_or(Malformed("a control record has no key"))?);
        if key.i16()? < 0 {
            return Err(Malformed("the key of a control record has a negative version"));
        }
        Ok(match key.i16()? {
            ABORT => Self::Abort { coordinator_epoch: coordinator_epoch(value)? },
            COMMIT => Self::Commit { coordinator_epoch: coordinator_epoch(value)? },
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            unknown => Self::Unknown(unknown),
        })
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Aborted,
    Committed,
}

/// The end of a producer's transaction in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) outcome: Outcome,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) coordinator_epoch: i32,
}

/// A batch that ends the open transaction of a producer, as its coordinator would write it.
pub(crate) fn marker(to: &mut BatchBuilder, end: EndMarker, now: i64) -> Option<FinishedBatch<'_>> {
    let EndMarker { outcome, producer_id, producer_epoch, coordinator_epoch } = end;
    let kind = match outcome {
        Outcome::Aborted => ABORT,
        Outcome::Committed => COMMIT,
    };
    let [[v0, v1], [k0, k1]] = [VERSION, kind].map(i16::to_be_bytes);
    let [e0, e1, e2, e3] = coordinator_epoch.to_be_bytes();
    let (key, value) = ([v0, v1, k0, k1], [v0, v1, e0, e1, e2, e3]);
    let fields = RecordFields { key: Some(&key), value: Some(&value), headers: &[] };
    to.clear(MARKER_BYTES);
    let measured = to.measure(&fields, now);
    to.push(&fields, measured, now);
    to.set_producer(BatchProducer::marker(producer_id, producer_epoch));
    to.finish()
}

/// A controller that has a vote, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voter {
    pub(crate) node_id: i32,
    pub(crate) directory_id: Uuid,
    /// Listener name, host, port.
    pub(crate) endpoints: Vec<(String, String, u16)>,
}

/// The value of a record of kind [`ControlRecord::KRaftVoters`].
pub(crate) fn voters(value: &[u8]) -> Result<Vec<Voter>, Malformed> {
    schema::kraft_voters(value)?.the_list("voters")?.structs().map(|voter| Voter::of(&voter?)).collect()
}

impl Voter {
    fn of(fields: &Values<'_>) -> Result<Self, Malformed> {
        let endpoint = |fields: Values<'_>| {
            let text = |name| fields.the_text(name).map(str::to_owned);
            Ok((text("name")?, text("host")?, fields.the_int("port")?))
        };
        Ok(Self {
            node_id: fields.the_int("voterId")?,
            directory_id: fields.the_id("voterDirectoryId")?,
            endpoints: fields
                .the_list("endpoints")?
                .structs()
                .map(|fields| endpoint(fields?))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn coordinator_epoch(value: Option<&[u8]>) -> Result<i32, Malformed> {
    let mut value = Input::new(value.ok_or(Malformed("the end of a transaction has no value"))?);
    if value.i16()? < 0 {
        return Err(Malformed("the end of a transaction has a negative version"));
    }
    value.i32()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::header::BatchHeader;
    use crate::format::tests::{records, vector};

    fn decoded(path: &str) -> Vec<ControlRecord> {
        let batches = records(&vector(path)).into_iter().filter(|record| record.control);
        batches
            .map(|record| ControlRecord::decode(record.key.as_deref(), record.value.as_deref()).unwrap())
            .collect()
    }

    #[test]
    fn kinds_are_distinguished() {
        use ControlRecord::{Abort, Commit, LeaderChange, SnapshotFooter, SnapshotHeader};
        assert!(matches!(decoded("batches/kp_control_abort.bin")[..], [Abort { .. }]));
        assert!(matches!(decoded("batches/kp_control_commit.bin")[..], [Commit { .. }]));
        assert_eq!(decoded("batches/gen_kraft_bootstrap.bin"), [SnapshotHeader, SnapshotFooter]);
        let log = "broker/clean-4.1/logdir/__cluster_metadata-0/00000000000000000000.log";
        assert_eq!(decoded(log), [LeaderChange, LeaderChange]);
        let ends = [(0, Abort { coordinator_epoch: 7 }), (1, Commit { coordinator_epoch: 7 })];
        for (kind, end) in ends {
            assert_eq!(ControlRecord::decode(Some(&[0, 0, 0, kind]), Some(&[0, 0, 0, 0, 0, 7])), Ok(end));
        }
    }

    #[test]
    fn unknown_kinds_and_newer_versions_are_read() {
        let decode = ControlRecord::decode;
        assert_eq!(decode(Some(&[0, 9, 0, 5, 1]), None), Ok(ControlRecord::KRaftVersion));
        assert_eq!(decode(Some(&[0, 0, 0, 6]), None), Ok(ControlRecord::KRaftVoters));
        assert_eq!(decode(Some(&[0, 0, 1, 0]), None), Ok(ControlRecord::Unknown(256)));
        assert_eq!(decode(Some(&[0, 0, 255, 255]), Some(&[])), Ok(ControlRecord::Unknown(-1)));
        let newer = Some(&[0, 1, 0, 0, 0, 2, 3, 4][..]);
        assert_eq!(decode(Some(&[0, 0, 0, 1]), newer), Ok(ControlRecord::Commit { coordinator_epoch: 2 }));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |key, value| ControlRecord::decode(key, value).unwrap_err().0;
        assert_eq!(wrong(None, None), "a control record has no key");
        assert_eq!(wrong(Some(&[0, 0, 0]), None), "ends early");
        assert_eq!(wrong(Some(&[255, 0, 0, 0]), None), "the key of a control record has a negative version");
        assert_eq!(wrong(Some(&[0; 4]), None), "the end of a transaction has no value");
        assert_eq!(wrong(Some(&[0; 4]), Some(&[0; 5])), "ends early");
        let negative = Some(&[255; 6][..]);
        assert_eq!(wrong(Some(&[0; 4]), negative), "the end of a transaction has a negative version");
    }

    #[test]
    fn markers_are_what_a_broker_writes() {
        for (name, outcome) in
            [("kp_control_abort", Outcome::Aborted), ("kp_control_commit", Outcome::Committed)]
        {
            let theirs = vector(&format!("batches/{name}.bin"));
            let header = BatchHeader::read(theirs.first_chunk().unwrap());
            let coordinator_epoch = match (outcome, ControlRecord::of_batch(&theirs)) {
                (Outcome::Aborted, Some(ControlRecord::Abort { coordinator_epoch }))
                | (Outcome::Committed, Some(ControlRecord::Commit { coordinator_epoch })) => {
                    coordinator_epoch
                }
                other => panic!("{name}: {other:?}"),
            };
            let mut builder = BatchBuilder::default();
            let BatchHeader { producer_id, producer_epoch, .. } = header;
            let end = EndMarker { outcome, producer_id, producer_epoch, coordinator_epoch };
            let mut ours = marker(&mut builder, end, header.max_timestamp).unwrap();
            assert!(ours.is_of_producer());
            assert_eq!(ours.placed_at(header.base_offset, header.leader_epoch), theirs);
        }
    }

    #[test]
    fn voters_are_read() {
        let value = b"\0\0\x02\0\0\0\x07\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\x02\x02C\x05host\xf0\x01\0\0\0\0\x01\0\0";
        let voter = Voter {
            node_id: 7,
            directory_id: Uuid::from_bytes([0xaa; 16]),
            endpoints: vec![("C".into(), "host".into(), 0xf001)],
        };
        assert_eq!(voters(value), Ok(vec![voter]));
        for end in 0..value.len() {
            assert!(voters(&value[..end]).is_err(), "cut at {end}");
        }
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn garbage_is_no_voter(value: Vec<u8>) {
            let _ = voters(&value);
        }

        #[test]
        fn garbage_is_refused_or_read(key: Option<Vec<u8>>, value: Option<Vec<u8>>) {
            let _ = ControlRecord::decode(key.as_deref(), value.as_deref());
        }
    }
}
