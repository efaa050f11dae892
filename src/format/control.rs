//! Control records: what Kafka itself writes between the records of producers. They occupy an offset and are
//! never shown to consumers. The key says which kind it is; kinds that are not known are skipped.

use super::Malformed;
use super::batch::Batch;
use super::record::RawRecord;
use super::varint::Input;

/// A record of a batch that is marked as a control batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlRecord {
    /// The transaction of the batch's producer ends here, and its records do not count.
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
    /// The control record in a whole batch that is marked as a control batch. `None` if a compaction took it out, or
    /// it makes no sense.
    pub(crate) fn of_batch(frame: &[u8]) -> Option<Self> {
        let batch = Batch::of_frame(frame).filter(|batch| batch.header.is_control())?;
        let record = RawRecord::take(&mut batch.records()).ok().filter(|_| batch.header.record_count > 0)?;
        Self::decode(record.key, record.value).ok()
    }

    /// Reads the key, and the value as far as the kind needs it. Newer versions may append to both.
    pub(crate) fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, Malformed> {
        let mut key = Input::new(key.ok_or(Malformed("a control record has no key"))?);
        if key.i16()? < 0 {
            return Err(Malformed("the key of a control record has a negative version"));
        }
        Ok(match key.i16()? {
            0 => Self::Abort { coordinator_epoch: coordinator_epoch(value)? },
            1 => Self::Commit { coordinator_epoch: coordinator_epoch(value)? },
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            unknown => Self::Unknown(unknown),
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
    use crate::format::tests::{records, vector};

    fn decoded(path: &str) -> Vec<ControlRecord> {
        let batches = records(&vector(path)).into_iter().filter(|record| record.control);
        batches
            .map(|record| ControlRecord::decode(record.key.as_deref(), record.value.as_deref()).unwrap())
            .collect()
    }

    #[test]
    fn kinds_are_told_apart() {
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

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(key: Option<Vec<u8>>, value: Option<Vec<u8>>) {
            let _ = ControlRecord::decode(key.as_deref(), value.as_deref());
        }
    }
}
