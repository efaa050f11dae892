//! The last offset of each key, in bounded memory.
//!
//! Keys are represented by a hash of 128 bits. Two keys with the same hash would cost a live record, so the hash is
//! keyed with bytes that are drawn for each map (`SipHash`-1-3): the writer of keys cannot look for such pairs, and by
//! chance there is one among a thousand million keys with a probability of 10⁻²¹. Open addressing with linear probing; at
//! 90 % the map is full.

use std::hint::black_box;

use siphasher::sip128::SipHasher13;

use crate::error::Result;
use crate::sys::random_bytes;

/// Both halves of the hash, and the offset plus one, 0 in an empty slot. As an array it is allocated as zeros.
type Slot = [u64; 3];
const SLOT_BYTES: usize = 24;
/// So many of ten slots are used at most.
const FULL: usize = 9;
/// There is room for one key at least: otherwise no run would come further.
const MIN_SLOTS: usize = 16;

pub(super) struct KeyMap {
    hasher: SipHasher13,
    slots: Vec<Slot>,
    used: usize,
    /// So many keys have room.
    most: usize,
}

/// What a key is known by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hash {
    high: u64,
    low: u64,
}

/// What came of noting an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// The key was not known.
    New,
    /// It was noted with this offset.
    Overtakes(u64),
    /// There is no room for another key.
    Full,
}

impl std::fmt::Debug for KeyMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMap")
            .field("slots", &self.slots.len())
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

impl KeyMap {
    /// A map for at most `keys` keys that takes at most `bytes`.
    pub(super) fn new(bytes: usize, keys: u64) -> Result<Self> {
        let most = (bytes / SLOT_BYTES).max(MIN_SLOTS);
        let wanted =
            usize::try_from(keys).unwrap_or(usize::MAX).saturating_mul(10).div_ceil(FULL).saturating_add(1);
        let slots = vec![Slot::default(); wanted.clamp(MIN_SLOTS, most)];
        let most = slots.len() / 10 * FULL + slots.len() % 10 * FULL / 10;
        Ok(Self { hasher: SipHasher13::new_with_key(&random_bytes()?), slots, used: 0, most })
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        let (high, low) = self.hasher.hash(key).as_u64();
        Hash { high, low }
    }

    /// Reads where the keys of these hashes are looked for first, so that it is in the cache when they are. Nearly all
    /// of the time that a key takes is spent waiting for memory, and these reads do not wait for each other.
    #[inline]
    pub(super) fn touch(&self, hashes: impl Iterator<Item = Hash>) {
        let read = |hash: Hash| self.slots.get(self.first_of(hash)).map_or(0, |slot| slot[0] ^ slot[2]);
        black_box(hashes.map(read).fold(0, |all, one| all ^ one));
    }

    /// Notes the offset of a key, which must be above any that was noted for it.
    #[inline]
    pub(super) fn insert(&mut self, hash: Hash, offset: u64) -> Noted {
        let Some(slot) = self.slot_of(hash).and_then(|at| self.slots.get_mut(at)) else { return Noted::Full };
        let before = slot[2].checked_sub(1);
        if before.is_none() {
            if self.used >= self.most {
                return Noted::Full;
            }
            self.used += 1;
        }
        *slot = [hash.high, hash.low, offset + 1];
        before.map_or(Noted::New, Noted::Overtakes)
    }

    /// The offset that was noted last for a key.
    #[inline]
    pub(super) fn get(&self, hash: Hash) -> Option<u64> {
        self.slots.get(self.slot_of(hash)?)?[2].checked_sub(1)
    }

    /// The high half as a fraction of all slots: no division, and any count will do.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "below the number of slots")]
    fn first_of(&self, hash: Hash) -> usize {
        ((u128::from(hash.high) * self.slots.len() as u128) >> 64) as usize
    }

    /// The slot of this hash, or the empty one where it would go. There always is an empty one.
    #[inline]
    fn slot_of(&self, hash: Hash) -> Option<usize> {
        let first = self.first_of(hash);
        let (front, back) = self.slots.split_at_checked(first)?;
        let fits = |slot: &Slot| slot[2] == 0 || (slot[0] == hash.high && slot[1] == hash.low);
        match back.iter().position(fits) {
            Some(at) => Some(first + at),
            None => front.iter().position(fits),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_known_until_the_map_is_full() {
        for slots in [16, 17, 42, 1000] {
            let mut map = KeyMap::new(slots * SLOT_BYTES, u64::MAX).unwrap();
            let mut model = HashMap::new();
            let mut full_at = None;
            for offset in 0..5000_u64 {
                let key = (offset * 7919 % 1201).to_le_bytes();
                let before = model.get(&key).copied();
                let noted = map.insert(map.hash(&key), offset);
                if noted == Noted::Full {
                    assert_eq!(before, None, "a key that is there is always noted");
                    full_at.get_or_insert(model.len());
                } else {
                    assert_eq!(noted, before.map_or(Noted::New, Noted::Overtakes));
                    model.insert(key, offset);
                }
            }
            assert_eq!(full_at, Some(slots * 9 / 10), "{slots}");
            for key in (0..1201_u64).map(u64::to_le_bytes) {
                assert_eq!(map.get(map.hash(&key)), model.get(&key).copied());
            }
        }
    }

    #[test]
    fn a_map_is_no_larger_than_its_keys_need() {
        let map = KeyMap::new(16 << 20, 100).unwrap();
        assert!(map.slots.len() < 120);
        let mut map = KeyMap::new(16 << 20, 100).unwrap();
        assert!((0..100_u64).all(|key| map.insert(map.hash(&key.to_le_bytes()), key) == Noted::New));
        assert!(map.insert(map.hash(b""), 0) != Noted::Full || map.used >= 100);
    }
}
