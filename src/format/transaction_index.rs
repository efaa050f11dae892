//! Entries of a segment's `.txnindex`: the transactions that were aborted by a marker in this segment.

use super::Malformed;
use super::varint::Input;
use super::wire::{push_i16, push_i64};

const VERSION: i16 = 0;
/// Bytes of an entry.
pub(crate) const ABORTED_ENTRY: usize = 2 + 8 + 8 + 8 + 8;

const _: () = assert!(ABORTED_ENTRY == 34);

/// A transaction whose records do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    /// Offset of its first record in the partition.
    pub(crate) first_offset: u64,
    /// Offset of the marker that ended it.
    pub(crate) last_offset: u64,
    /// Up to where every transaction had ended once it had ended: who reads below needs no later entry.
    pub(crate) last_stable: u64,
}

impl AbortedTransaction {
    pub(crate) fn push(&self, to: &mut Vec<u8>) {
        let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
        push_i16(VERSION, to);
        push_i64(self.producer_id, to);
        push_i64(offset(self.first_offset), to);
        push_i64(offset(self.last_offset), to);
        push_i64(offset(self.last_stable), to);
    }

    fn take(input: &mut Input<'_>) -> Result<Self, Malformed> {
        if input.i16()? != VERSION {
            return Err(Malformed("an entry of a transaction index has version 0"));
        }
        let producer_id = input.i64()?;
        let mut offset =
            || u64::try_from(input.i64()?).map_err(|_| Malformed("an offset of a transaction is negative"));
        Ok(Self { producer_id, first_offset: offset()?, last_offset: offset()?, last_stable: offset()? })
    }
}

/// The bytes of an index with these entries.
pub(crate) fn encode(entries: &[AbortedTransaction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ABORTED_ENTRY);
    for entry in entries {
        entry.push(&mut bytes);
    }
    bytes
}

/// All entries of the index of the segment that begins at `base`.
pub(crate) fn decode(bytes: &[u8], base: u64) -> Result<Vec<AbortedTransaction>, Malformed> {
    let mut input = Input::new(bytes);
    let mut entries = Vec::with_capacity(bytes.len() / ABORTED_ENTRY);
    let mut least = base;
    while !input.is_empty() {
        let entry = AbortedTransaction::take(&mut input)?;
        if entry.last_offset < least || entry.first_offset > entry.last_offset {
            return Err(Malformed("the offsets of the aborted transactions are not clean"));
        }
        least = entry.last_offset.saturating_add(1);
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::{vector, vectors_with_suffix};

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn what_brokers_wrote_comes_back_byte_for_byte() {
        let mut found = 0;
        for folder in ["broker", "logdir"] {
            for (path, bytes) in vectors_with_suffix(folder, ".txnindex") {
                let base = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
                let entries = decode(&bytes, base).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                assert_eq!(encode(&entries), bytes, "{}", path.display());
                found += entries.len();
            }
        }
        assert!(found > 30, "{found}");
    }

    #[test]
    fn fields_are_where_they_should_be() {
        let bytes = vector("logdir/orders-1/00000000000000000000.txnindex");
        let entry = AbortedTransaction { producer_id: 4001, first_offset: 0, last_offset: 6, last_stable: 7 };
        assert_eq!(decode(&bytes, 0), Ok(vec![entry]));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let entry = AbortedTransaction { producer_id: 1, first_offset: 3, last_offset: 8, last_stable: 9 };
        let order = Err(Malformed("the offsets of the aborted transactions are not clean"));
        assert_eq!(decode(&encode(&[entry]), 9), order, "ends before the segment");
        assert_eq!(decode(&encode(&[entry, entry]), 0), order, "twice the same");
        let backwards = AbortedTransaction { first_offset: 9, ..entry };
        assert_eq!(decode(&encode(&[backwards]), 0), order);
        let mut bytes = encode(&[entry]);
        assert_eq!(decode(&bytes[..33], 0), Err(Malformed("ends early")));
        bytes[10] = 0xff;
        assert_eq!(decode(&bytes, 0), Err(Malformed("an offset of a transaction is negative")));
        bytes[1] = 1;
        assert_eq!(decode(&bytes, 0), Err(Malformed("an entry of a transaction index has version 0")));
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn garbage_is_refused_or_read(bytes: Vec<u8>, base: u64) {
            let _ = decode(&bytes, base);
        }
    }
}
