//! Committed offsets: the values of the records in `__consumer_offsets` that say how far a group has come in a partition.
//!
//! Versions 0 to 4 are read. Version 3 is written, which every broker since 2.1 reads.

use super::Malformed;
use super::uuid::Uuid;
use super::varint::Input;
use super::wire::{push_i16, push_i32, push_i64, push_str};

/// How far a group has come in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetCommit<'a> {
    /// The offset of the next record to read. Not above `i64::MAX`.
    pub(crate) offset: u64,
    /// Leader epoch of the record before it, if the consumer that committed knew it.
    pub(crate) leader_epoch: Option<u32>,
    /// Whatever the committer wants to remember.
    pub(crate) metadata: &'a str,
    /// When it was committed, in milliseconds since 1970.
    pub(crate) committed_at: i64,
    /// When the commit expires. Version 1 only.
    pub(crate) expires_at: Option<i64>,
    /// Of the topic; zero if the commit is about whichever topic has the name. Version 4 only.
    pub(crate) topic_id: Uuid,
}

const WRITTEN: i16 = 3;
const FLEXIBLE: i16 = 4;
const NEWEST: i16 = 4;
const TOPIC_ID_TAG: u32 = 0;

impl<'a> OffsetCommit<'a> {
    /// Reads any known version. `None`: a newer one. A log with many positions is loaded by this, so that it does not go by the
    /// list of fields in [`schema`](super::schema), which takes twice the time (measured); the tests of `schema` compare it
    /// with the list.
    pub(crate) fn decode(value: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut input = Input::new(value);
        let version = input.i16()?;
        if version < 0 {
            return Err(Malformed("a record has a negative version"));
        }
        if version > NEWEST {
            return Ok(None);
        }
        let offset = u64::try_from(input.i64()?).map_err(|_| Malformed("a committed offset is negative"))?;
        // -1: not known.
        let leader_epoch = if version >= 3 { u32::try_from(input.i32()?).ok() } else { None };
        let metadata = if version >= FLEXIBLE { input.compact_str()? } else { input.str()? };
        let committed_at = input.i64()?;
        let expires_at = if version == 1 { Some(input.i64()?).filter(|at| *at >= 0) } else { None };
        let topic_id = if version >= FLEXIBLE { topic_id(&mut input)? } else { Uuid::ZERO };
        input.end()?;
        Ok(Some(Self { offset, leader_epoch, metadata, committed_at, expires_at, topic_id }))
    }

    /// Appends the value in version 3, which has neither expiry nor topic id. On an error `to` is as before.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        let start = to.len();
        let outcome = self.push(to);
        if outcome.is_err() {
            to.truncate(start);
        }
        outcome
    }

    fn push(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        let offset = i64::try_from(self.offset).map_err(|_| {
            Malformed("an offset is too large: a log has none above 9,223,372,036,854,775,807")
        })?;
        let epoch = match self.leader_epoch {
            None => -1,
            Some(epoch) => i32::try_from(epoch)
                .map_err(|_| Malformed("a leader epoch is too large: there is none above 2,147,483,647"))?,
        };
        push_i16(WRITTEN, to);
        push_i64(offset, to);
        push_i32(epoch, to);
        push_str(self.metadata, to)?;
        push_i64(self.committed_at, to);
        Ok(())
    }
}

/// The tagged fields at the end, of which one is known.
fn topic_id(input: &mut Input<'_>) -> Result<Uuid, Malformed> {
    let mut id = Uuid::ZERO;
    for _ in 0..input.uvarint()? {
        let tag = input.uvarint()?;
        let size = usize::try_from(input.uvarint()?).map_err(|_| Malformed("ends early"))?;
        let mut field = Input::new(input.take(size)?);
        if tag == TOPIC_ID_TAG {
            id = field.uuid()?;
            field.end()?;
        }
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::{hex, table};

    const AT: i64 = 1_700_000_000_000;
    const COMMIT: OffsetCommit<'_> = OffsetCommit {
        offset: 42,
        leader_epoch: Some(0),
        metadata: "",
        committed_at: AT,
        expires_at: None,
        topic_id: Uuid::ZERO,
    };

    fn encoded(commit: &OffsetCommit<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        commit.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_version_of_the_table_is_read_and_one_is_written() {
        let rows = table("coordinator_records");
        let row = |name: &str| hex(&rows["rows"][name]);
        let third = row("offset_commit_value_v3");
        assert_eq!(OffsetCommit::decode(&third), Ok(Some(COMMIT)));
        assert_eq!(encoded(&COMMIT), third);

        let first = OffsetCommit { leader_epoch: None, metadata: "m", expires_at: Some(AT + 1), ..COMMIT };
        assert_eq!(OffsetCommit::decode(&row("offset_commit_value_v1")), Ok(Some(first)));
        let fourth = row("offset_commit_value_v4_without_topic_id");
        assert_eq!(OffsetCommit::decode(&fourth), Ok(Some(COMMIT)));
        let id = Uuid::from_bytes(*b"\x6b\x29\xfc\x40\xca\x47\x40\x67\xb3\x1d\x00\xdd\x01\x06\x62\xda");
        let with_id = row("offset_commit_value_v4_with_topic_id");
        assert_eq!(OffsetCommit::decode(&with_id), Ok(Some(OffsetCommit { topic_id: id, ..COMMIT })));
    }

    #[test]
    fn versions_0_and_2_have_neither_epoch_nor_expiry() {
        for version in [0, 2] {
            let mut bytes = vec![0, version];
            bytes.extend(7_i64.to_be_bytes());
            bytes.extend([0, 1, b'm']);
            bytes.extend(AT.to_be_bytes());
            let commit = OffsetCommit { offset: 7, leader_epoch: None, metadata: "m", ..COMMIT };
            assert_eq!(OffsetCommit::decode(&bytes), Ok(Some(commit)));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |bytes: &[u8]| OffsetCommit::decode(bytes).unwrap_err().0;
        let whole = encoded(&COMMIT);
        for cut in 0..whole.len() {
            assert_eq!(wrong(&whole[..cut]), "ends early");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(wrong(&longer), "bytes are left after the last field");
        let mut negative = whole.clone();
        negative[2] = 255;
        assert_eq!(wrong(&negative), "a committed offset is negative");
        assert_eq!(wrong(&[255, 255]), "a record has a negative version");
        // Whatever a version not known yet consists of.
        assert_eq!(OffsetCommit::decode(&[0, 5]), Ok(None));

        let unwritable = [
            OffsetCommit { offset: 1 << 63, ..COMMIT },
            OffsetCommit { leader_epoch: Some(1 << 31), ..COMMIT },
            OffsetCommit { metadata: &"m".repeat(32_768), ..COMMIT },
        ];
        for commit in unwritable {
            let mut bytes = vec![1];
            assert!(commit.encode(&mut bytes).is_err());
            assert_eq!(bytes, [1]);
        }
    }

    #[test]
    fn tags_that_are_not_known_are_skipped() {
        let rows = table("coordinator_records");
        let mut bytes = hex(&rows["rows"]["offset_commit_value_v4_without_topic_id"]);
        bytes.pop();
        bytes.extend([1, 3, 2, 8, 8]);
        assert_eq!(OffsetCommit::decode(&bytes), Ok(Some(COMMIT)));
        // An id is 16 bytes.
        bytes.truncate(bytes.len() - 4);
        bytes.extend([0, 2, 8, 8]);
        assert_eq!(OffsetCommit::decode(&bytes), Err(Malformed("ends early")));
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn commits_come_back(
            offset in 0..=u64::MAX / 2,
            leader_epoch in proptest::option::of(0..=u32::MAX / 2),
            metadata: String,
            committed_at: i64,
        ) {
            let commit = OffsetCommit { offset, leader_epoch, metadata: &metadata, committed_at, ..COMMIT };
            let bytes = encoded(&commit);
            prop_assert_eq!(OffsetCommit::decode(&bytes), Ok(Some(commit)));
        }

        #[test]
        fn garbage_is_refused_or_read(version in 0_i16..6, mut bytes: Vec<u8>) {
            bytes.splice(0..0, version.to_be_bytes());
            let _ = OffsetCommit::decode(&bytes);
        }
    }
}
