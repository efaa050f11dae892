//! The state of the producers that write with ids, as of an offset: what a `.snapshot` file holds.
//!
//! Version, checksum of everything after it, count, entries of 46 bytes each.

use super::Malformed;
use super::crc::crc32c;
use super::varint::Input;
use super::wire::{push_i16, push_i32, push_i64};

const VERSION: i16 = 1;
/// Version and checksum, which the checksum does not cover.
const CHECKSUMMED: usize = 2 + 4;
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

const _: () = assert!(ENTRY_BYTES == 46);

/// What is known of one producer. −1 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// Of the last batch of records: last sequence, last offset, distance of its first offset.
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: i64,
    pub(crate) offset_delta: i32,
    /// When the entry changed last, by the time of the batch that changed it.
    pub(crate) timestamp: i64,
    pub(crate) coordinator_epoch: i32,
    /// First offset of the transaction that is open.
    pub(crate) transaction_start: i64,
}

impl ProducerEntry {
    /// A producer of which nothing is known.
    pub(crate) fn new(producer_id: i64) -> Self {
        Self {
            producer_id,
            epoch: -1,
            last_sequence: -1,
            last_offset: -1,
            offset_delta: 0,
            timestamp: -1,
            coordinator_epoch: -1,
            transaction_start: -1,
        }
    }

    fn take(input: &mut Input<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            producer_id: input.i64()?,
            epoch: input.i16()?,
            last_sequence: input.i32()?,
            last_offset: input.i64()?,
            offset_delta: input.i32()?,
            timestamp: input.i64()?,
            coordinator_epoch: input.i32()?,
            transaction_start: input.i64()?,
        })
    }

    fn push(&self, to: &mut Vec<u8>) {
        push_i64(self.producer_id, to);
        push_i16(self.epoch, to);
        push_i32(self.last_sequence, to);
        push_i64(self.last_offset, to);
        push_i32(self.offset_delta, to);
        push_i64(self.timestamp, to);
        push_i32(self.coordinator_epoch, to);
        push_i64(self.transaction_start, to);
    }
}

/// The bytes of a snapshot file. Without producers they are ten.
pub(crate) fn encode<'e>(entries: impl ExactSizeIterator<Item = &'e ProducerEntry>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHECKSUMMED + 4 + entries.len() * ENTRY_BYTES);
    push_i16(VERSION, &mut bytes);
    bytes.extend_from_slice(&[0; 4]);
    push_i32(i32::try_from(entries.len()).unwrap_or(i32::MAX), &mut bytes);
    for entry in entries {
        entry.push(&mut bytes);
    }
    let crc = crc32c(bytes.get(CHECKSUMMED..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(2..CHECKSUMMED) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// The entries of a snapshot file, in the order in which they are there.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<ProducerEntry>, Malformed> {
    let mut input = Input::new(bytes);
    if input.i16()? != VERSION {
        return Err(Malformed("a producer snapshot has version 1"));
    }
    if u32::from_be_bytes(input.array()?) != crc32c(input.rest()) {
        return Err(Malformed("the checksum does not match"));
    }
    let count = input.i32()?;
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY_BYTES)) != Some(input.remaining())
    {
        return Err(Malformed("the number of entries does not fit the bytes"));
    }
    (0..count).map(|_| ProducerEntry::take(&mut input)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::{vector, vectors_with_suffix};

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn what_brokers_wrote_comes_back_byte_for_byte() {
        let mut producers = 0;
        for folder in ["broker", "logdir"] {
            for (path, bytes) in vectors_with_suffix(folder, ".snapshot") {
                let entries = decode(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                assert_eq!(encode(entries.iter()), bytes, "{}", path.display());
                producers += entries.len();
            }
        }
        assert!(producers > 50);
    }

    #[test]
    fn fields_are_where_they_should_be() {
        let bytes = vector("broker/clean-4.1/logdir/tx-0/00000000000000000004.snapshot");
        let open = ProducerEntry {
            producer_id: 6,
            epoch: 0,
            last_sequence: 1,
            last_offset: 3,
            offset_delta: 0,
            timestamp: 1_700_011_380_423,
            coordinator_epoch: -1,
            transaction_start: 1,
        };
        assert_eq!(decode(&bytes).unwrap()[1], open);
        assert_eq!(encode([].iter()).len(), 10);
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let bytes = vector("broker/clean-4.1/logdir/tx-0/00000000000000000023.snapshot");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(decode(&changed).is_err(), "byte {at}");
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut lies = bytes;
        lies[6..10].copy_from_slice(&i32::MAX.to_be_bytes());
        let crc = crc32c(&lies[6..]).to_be_bytes();
        lies[2..6].copy_from_slice(&crc);
        assert_eq!(decode(&lies), Err(Malformed("the number of entries does not fit the bytes")));
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn garbage_is_refused(bytes: Vec<u8>) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
