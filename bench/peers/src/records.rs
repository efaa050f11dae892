//! The records that every peer gets, and the check of what it gives back.
//!
//! A record is a key of 8 bytes, its sequence number, and a value that no codec makes smaller: one of a pool, by the number.

use crate::{Failure, Result};

pub(crate) const KEY_BYTES: usize = 8;

/// A record, for peers with and without keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) key_and_value: &'a [u8],
}

impl<'a> Sample<'a> {
    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        &self.key_and_value[..KEY_BYTES]
    }

    #[inline]
    pub(crate) fn value(&self) -> &'a [u8] {
        &self.key_and_value[KEY_BYTES..]
    }
}

/// Records one after another in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples<'a> {
    bytes: &'a [u8],
    record_bytes: usize,
}

impl<'a> Samples<'a> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.record_bytes
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Sample<'a>> + Clone + use<'a> {
        self.bytes.chunks_exact(self.record_bytes).map(|key_and_value| Sample { key_and_value })
    }
}

/// Makes the records, the same ones in each run.
#[derive(Debug)]
pub(crate) struct Source {
    pool: Vec<u8>,
    record_bytes: usize,
    /// A power of two.
    count: usize,
}

impl Source {
    /// Values have at least 16 bytes.
    pub(crate) fn new(value_bytes: usize) -> Self {
        let count = if value_bytes <= 256 { 4096 } else { 1024 };
        let record_bytes = value_bytes + KEY_BYTES;
        let mut random = 0x9E37_79B9_7F4A_7C15_u64 ^ value_bytes as u64;
        let byte = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8
        };
        let pool = std::iter::repeat_with(byte).take(count * record_bytes).collect();
        Self { pool, record_bytes, count }
    }

    #[inline]
    pub(crate) fn one(&mut self, number: u64) -> Sample<'_> {
        let from = (number as usize & (self.count - 1)) * self.record_bytes;
        let key_and_value = &mut self.pool[from..from + self.record_bytes];
        key_and_value[..KEY_BYTES].copy_from_slice(&number.to_le_bytes());
        Sample { key_and_value }
    }

    /// As `one`, with a time in the first 8 bytes of the value.
    #[inline]
    pub(crate) fn stamped(&mut self, number: u64, ticks: u64) -> Sample<'_> {
        let from = (number as usize & (self.count - 1)) * self.record_bytes;
        self.pool[from + KEY_BYTES..from + KEY_BYTES + 8].copy_from_slice(&ticks.to_le_bytes());
        self.one(number)
    }

    /// So many records from `number` on, or as many as lie in one piece.
    #[inline]
    pub(crate) fn batch(&mut self, number: u64, records: usize) -> Samples<'_> {
        let first = number as usize & (self.count - 1);
        let records = records.min(self.count - first);
        let bytes = &mut self.pool[first * self.record_bytes..(first + records) * self.record_bytes];
        for (key, record) in (number..).zip(bytes.chunks_exact_mut(self.record_bytes)) {
            record[..KEY_BYTES].copy_from_slice(&key.to_le_bytes());
        }
        Samples { bytes, record_bytes: self.record_bytes }
    }
}

/// Sees that all records come, in their order, with the bytes that they went with. Takes about 4 ns for 100 bytes.
#[derive(Debug)]
pub(crate) struct Check {
    /// Of each value of the pool: its first 8 bytes, and the sum of the others.
    values: Vec<(u64, u64)>,
    value_bytes: usize,
    is_stamped: bool,
    next: u64,
    wrong: Option<u64>,
}

impl Check {
    pub(crate) fn new(value_bytes: usize) -> Self {
        let source = Source::new(value_bytes);
        let records = source.pool.chunks_exact(source.record_bytes).map(|record| &record[KEY_BYTES..]);
        let values = records.map(|value| (word(value), sum(&value[8..]))).collect();
        Self { values, value_bytes, is_stamped: false, next: 0, wrong: None }
    }

    /// For values that begin with a time.
    pub(crate) fn stamped(value_bytes: usize) -> Self {
        Self { is_stamped: true, ..Self::new(value_bytes) }
    }

    /// How many records have come.
    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.next
    }

    #[inline]
    pub(crate) fn see(&mut self, key: &[u8], value: &[u8]) {
        let is_right = value.len() == self.value_bytes && key.len() == KEY_BYTES && {
            let (first, rest) = self.values[self.next as usize & (self.values.len() - 1)];
            word(key) == self.next && sum(&value[8..]) == rest && (self.is_stamped || word(value) == first)
        };
        if !is_right {
            self.wrong.get_or_insert(self.next);
        }
        self.next += 1;
    }

    pub(crate) fn end(&self) -> Result<()> {
        self.wrong.map_or(Ok(()), |number| Err(Failure::from(format!("record {number} came back another"))))
    }
}

/// The first 8 bytes.
#[inline]
pub(crate) fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"))
}

/// Of all words and of the bytes after them. Reads each byte, and is not what takes the time.
#[inline]
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let of_words = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)).wrapping_add(of_words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAMAGES: [fn(&mut Vec<u8>); 4] = [
        |record| record[0] ^= 1,
        |record| record[8] ^= 1,
        |record| record[107] ^= 1,
        |record| record.truncate(107),
    ];

    #[test]
    fn what_comes_back_another_is_found() {
        let mut source = Source::new(100);
        let mut check = Check::new(100);
        for number in 0..5000 {
            let sample = source.one(number);
            check.see(sample.key(), sample.value());
        }
        assert!(check.end().is_ok());
        let mut of_a_batch = Check::new(100);
        for sample in Source::new(100).batch(0, 1024).iter() {
            of_a_batch.see(sample.key(), sample.value());
        }
        assert!(of_a_batch.end().is_ok() && of_a_batch.count() == 1024);

        for damage in DAMAGES {
            let mut check = Check::new(100);
            let mut record = source.one(0).key_and_value.to_vec();
            damage(&mut record);
            check.see(&record[..KEY_BYTES], &record[KEY_BYTES..]);
            assert!(check.end().is_err());
        }
    }

    #[test]
    fn a_stamp_is_not_compared() {
        let mut source = Source::new(100);
        let mut check = Check::stamped(100);
        let sample = source.stamped(0, 17);
        assert_eq!(word(sample.value()), 17);
        check.see(sample.key(), sample.value());
        assert!(check.end().is_ok());
    }
}
