//! Which records go, by what was seen of the dirty part of a partition.
//!
//! Whenever a key comes again, the offset that it overtakes is marked with one bit. So a dirty record needs the map of
//! keys only once, and many a batch is decided without being decoded again: all of it goes, or nothing does. Where there
//! are no bits, before the dirty part and after what memory is left for, each key is looked up.

use super::key_map::{Hash, KeyMap, Noted};
use crate::error::Result;
use crate::format::header::BatchHeader;
use crate::format::raw_record::RawRecord;
use crate::format::rewrite::Keep;

/// Keys looked up together: what is read for them has its place in the nearest cache.
const AT_ONCE: usize = 128;
/// Bits are given this part of the memory at most.
const BITS_PART: usize = 8;
const WORD_BITS: u64 = u64::BITS as u64;

#[derive(Debug)]
pub(super) struct Decisions {
    map: KeyMap,
    /// Noted together when there are enough.
    pending: Vec<(Hash, u64)>,
    first_dirty: u64,
    end: u64,
    is_full: bool,
    going: Bits,
    /// Tombstones that stay but change their batch.
    changing: Bits,
}

/// What becomes of the tombstones in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tombstones {
    Go,
    Stay,
    /// They stay, and the batch is given a time from which on they may go.
    GetTime,
}

/// What becomes of a batch as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Stays,
    Goes,
}

/// One bit for each step of offsets, from an offset on, until they end.
#[derive(Debug)]
struct Bits {
    first: u64,
    step: u64,
    words: Vec<u64>,
}

/// Decides the records of one batch.
#[derive(Debug)]
pub(super) struct BatchDecisions<'v> {
    decisions: &'v Decisions,
    keeps_tombstones: bool,
    records: &'v mut Vec<Seen>,
}

/// A record of which it is known whether it stays, or is known how to find out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen {
    Known(bool),
    LookUp(Hash, u64),
}

impl Decisions {
    /// For offsets from `first_dirty` to before `end`. Takes at most `memory` bytes.
    pub(super) fn new(memory: usize, first_dirty: u64, end: u64) -> Result<Self> {
        let offsets = end.saturating_sub(first_dirty);
        let words = usize::try_from(offsets.div_ceil(WORD_BITS)).unwrap_or(usize::MAX);
        let words = words.min(memory / BITS_PART / size_of::<u64>());
        let going = Bits { first: first_dirty, step: 1, words: vec![0; words] };
        let steps = words.div_ceil(u64::BITS as usize);
        let changing = Bits { first: first_dirty, step: WORD_BITS, words: vec![0; steps] };
        let left = memory.saturating_sub((words + steps) * size_of::<u64>());
        Ok(Self {
            map: KeyMap::new(left, offsets)?,
            pending: Vec::with_capacity(AT_ONCE),
            first_dirty,
            end,
            is_full: false,
            going,
            changing,
        })
    }

    /// After the last offset that is decided. From here on everything stays.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Notes a record of a batch that counts. They come in the order of their offsets. `false`: there is no room for
    /// more, and no more need come.
    #[inline]
    pub(super) fn add(&mut self, offset: u64, record: &RawRecord<'_>, tombstones: Tombstones) -> bool {
        if self.is_full || offset < self.first_dirty {
            return !self.is_full;
        }
        let Some(key) = record.key else {
            self.going.set(offset);
            return true;
        };
        if record.value.is_none() {
            match tombstones {
                Tombstones::Go => self.going.set(offset),
                Tombstones::GetTime => self.changing.set(offset),
                Tombstones::Stay => {}
            }
        }
        self.pending.push((self.map.hash(key), offset));
        if self.pending.len() >= AT_ONCE {
            self.flush();
        }
        !self.is_full
    }

    /// Looks up what was noted last: before anything is decided.
    pub(super) fn flush(&mut self) {
        self.map.touch(self.pending.iter().map(|(hash, _)| *hash));
        for (hash, offset) in self.pending.drain(..) {
            match self.map.insert(hash, offset) {
                Noted::New => {}
                Noted::Overtakes(before) => self.going.set(before),
                Noted::Full => {
                    (self.is_full, self.end) = (true, offset);
                    break;
                }
            }
        }
    }

    /// What becomes of a batch that counts, if that is known without looking into it: all its records were noted.
    #[inline]
    pub(super) fn of_batch(&self, header: &BatchHeader) -> Option<Whole> {
        let first = u64::try_from(header.base_offset).ok()?;
        let last = u64::try_from(header.last_offset()).ok().filter(|last| *last < self.end)?;
        let going = self.going.count(first, last)?;
        if Ok(going) == u64::try_from(header.record_count) {
            return Some(Whole::Goes);
        }
        (going == 0 && self.changing.count(first, last)? == 0).then_some(Whole::Stays)
    }

    /// Decides the records of a batch; `records` is memory for it.
    pub(super) fn decide<'v>(
        &'v self,
        keeps_tombstones: bool,
        records: &'v mut Vec<Seen>,
    ) -> BatchDecisions<'v> {
        records.clear();
        BatchDecisions { decisions: self, keeps_tombstones, records }
    }
}

impl Keep for BatchDecisions<'_> {
    #[inline]
    fn see(&mut self, offset: u64, record: &RawRecord<'_>) {
        let decisions = self.decisions;
        let seen = if offset >= decisions.end {
            Seen::Known(true)
        } else if let Some(goes) = decisions.going.get(offset) {
            Seen::Known(!goes)
        } else {
            match record.key {
                Some(key) if record.value.is_some() || self.keeps_tombstones => {
                    Seen::LookUp(decisions.map.hash(key), offset)
                }
                _ => Seen::Known(false),
            }
        };
        self.records.push(seen);
    }

    #[inline]
    fn keeps(&mut self, number: usize) -> bool {
        let map = &self.decisions.map;
        if number.is_multiple_of(AT_ONCE) {
            let next = self.records.iter().skip(number).take(AT_ONCE);
            map.touch(next.filter_map(|seen| match seen {
                Seen::LookUp(hash, _) => Some(*hash),
                Seen::Known(_) => None,
            }));
        }
        match self.records.get(number) {
            Some(Seen::LookUp(hash, offset)) => map.get(*hash).is_none_or(|last| last <= *offset),
            Some(Seen::Known(stays)) => *stays,
            None => true,
        }
    }
}

impl Bits {
    /// Word and bit of an offset, if it has any.
    #[inline]
    fn place(&self, offset: u64) -> Option<(usize, u64)> {
        let bit = offset.checked_sub(self.first)? / self.step;
        let word = usize::try_from(bit / WORD_BITS).ok().filter(|word| *word < self.words.len())?;
        Some((word, bit % WORD_BITS))
    }

    #[inline]
    fn set(&mut self, offset: u64) {
        if let Some((word, bit)) = self.place(offset)
            && let Some(word) = self.words.get_mut(word)
        {
            *word |= 1 << bit;
        }
    }

    #[inline]
    fn get(&self, offset: u64) -> Option<bool> {
        let (word, bit) = self.place(offset)?;
        self.words.get(word).map(|word| word >> bit & 1 == 1)
    }

    /// How many bits are set from that of one offset to that of another, if there are bits for both.
    #[inline]
    fn count(&self, first: u64, last: u64) -> Option<u64> {
        let ((from, first_bit), (to, last_bit)) = (self.place(first)?, self.place(last)?);
        let (head, tail) = (u64::MAX << first_bit, u64::MAX >> (WORD_BITS - 1 - last_bit));
        let words = self.words.get(from..=to)?;
        Some(match words {
            [] => 0,
            [only] => u64::from((only & head & tail).count_ones()),
            [one, between @ .., end] => {
                let between: u64 = between.iter().map(|word| u64::from(word.count_ones())).sum();
                between + u64::from((one & head).count_ones() + (end & tail).count_ones())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::format::raw_record::RawHeaders;

    const FIRST: u64 = 1000;
    /// Where the dirty part begins inside of a batch.
    const FIRST_DIRTY: u64 = 1003;
    /// Records of a batch; the offset after the last one is free.
    const RECORDS: u64 = 7;
    const BATCHES: u64 = 300;
    /// Offsets that they take.
    const ALL: u64 = BATCHES * (RECORDS + 1);

    struct One {
        offset: u64,
        key: Option<[u8; 8]>,
        has_value: bool,
    }

    impl One {
        fn raw(&self) -> RawRecord<'_> {
            let key = self.key.as_ref().map(<[u8; 8]>::as_slice);
            let value = self.has_value.then_some(&b"value"[..]);
            let headers = RawHeaders::default();
            RawRecord { timestamp_delta: 0, offset_delta: 0, key, value, headers }
        }
    }

    /// Batches of which some go as a whole, some stay, and most are mixed.
    fn batches(keys: u64) -> Vec<Vec<One>> {
        let one = |batch: u64, number: u64| {
            let (offset, kind) = (FIRST + batch * (RECORDS + 1) + number, batch % 5);
            let key = match kind {
                0 => number,
                1 => 1_000_000 + offset % keys,
                _ => offset * 7919 % keys.min(503),
            };
            let key = (kind != 3 || number != 2).then(|| key.to_le_bytes());
            One { offset, key, has_value: kind != 4 || number != 3 }
        };
        (0..BATCHES).map(|batch| (0..RECORDS).map(|number| one(batch, number)).collect()).collect()
    }

    fn header(batch: &[One]) -> BatchHeader {
        let mut header = BatchHeader::read(&[0; 61]);
        header.base_offset = batch[0].offset.cast_signed();
        (header.last_offset_delta, header.record_count) = (7, 7);
        header
    }

    /// Notes all, compares what is said of every record and batch with a plain map, and reports how many batches were
    /// decided as a whole.
    fn check(memory: usize, keys: u64, tombstones: Tombstones) -> (u64, usize) {
        let batches = batches(keys);
        let end = FIRST + ALL;
        let mut decisions = Decisions::new(memory, FIRST_DIRTY, end).unwrap();
        for one in batches.iter().flatten() {
            if !decisions.add(one.offset, &one.raw(), tombstones) {
                break;
            }
        }
        decisions.flush();
        let end = decisions.end();
        let noted = batches.iter().flatten().filter(|one| (FIRST_DIRTY..end).contains(&one.offset));
        let last: BTreeMap<_, _> = noted.filter_map(|one| Some((one.key?, one.offset))).collect();
        let stays = |one: &One| {
            let is_kept = one.key.is_some_and(|key| last.get(&key).is_none_or(|last| *last <= one.offset));
            one.offset >= end || (is_kept && (one.has_value || tombstones != Tombstones::Go))
        };
        let mut whole = 0;
        let mut seen = Vec::new();
        for batch in &batches {
            let expected: Vec<bool> = batch.iter().map(stays).collect();
            let mut decide = decisions.decide(tombstones != Tombstones::Go, &mut seen);
            for one in batch {
                decide.see(one.offset, &one.raw());
            }
            let decided: Vec<bool> = (0..batch.len()).map(|number| decide.keeps(number)).collect();
            assert_eq!(decided, expected, "{memory} {tombstones:?} {}", batch[0].offset);
            match decisions.of_batch(&header(batch)) {
                Some(Whole::Goes) => assert!(!expected.contains(&true)),
                Some(Whole::Stays) => {
                    assert!(!expected.contains(&false));
                    assert!(tombstones != Tombstones::GetTime || batch.iter().all(|one| one.has_value));
                }
                None => {}
            }
            whole += usize::from(decisions.of_batch(&header(batch)).is_some());
        }
        (end - FIRST, whole)
    }

    #[test]
    fn bits_and_lookups_say_the_same_as_a_plain_map() {
        for tombstones in [Tombstones::Go, Tombstones::Stay, Tombstones::GetTime] {
            // Room for all.
            let (end, whole) = check(1 << 20, ALL, tombstones);
            assert_eq!(end, ALL);
            assert!((60..300).contains(&whole), "{whole}");
            // Neither bits nor, soon, room.
            assert_eq!(check(0, ALL, tombstones).1, 0);
            assert!(check(0, ALL, tombstones).0 < 100);
            // Bits for all, room for a part of the keys.
            let (end, whole) = check(8000, ALL, tombstones);
            assert!((100..ALL).contains(&end), "{end}");
            assert!(whole > 0);
            // Bits for half of the offsets, room for all keys.
            let (end, whole) = check(1200, 14, tombstones);
            assert_eq!(end, ALL);
            assert!((1..150).contains(&whole), "{whole}");
        }
    }

    #[test]
    fn bits_are_counted_over_words() {
        let mut bits = Bits { first: 10, step: 1, words: vec![0; 4] };
        let set = [10, 11, 73, 74, 137, 138, 200, 265];
        for offset in set {
            bits.set(offset);
        }
        // Beside the bits there is nothing to set.
        bits.set(9);
        bits.set(266);
        for first in 10..266 {
            for last in first..266 {
                let expected = set.iter().filter(|offset| (first..=last).contains(*offset)).count();
                assert_eq!(bits.count(first, last), Some(expected as u64));
            }
            assert_eq!(bits.get(first), Some(set.contains(&first)));
        }
        assert_eq!((bits.count(9, 20), bits.count(20, 266)), (None, None));
        assert_eq!((bits.get(9), bits.get(266)), (None, None));
    }
}
