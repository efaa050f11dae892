//! The last offset of each key, in bounded memory.
//!
//! Keys stand for themselves by a hash of 128 bits. Two keys with the same hash would cost a live record, so the hash is
//! keyed with bytes that are drawn for each map (`SipHash`-1-3): whoever writes keys cannot look for such pairs, and by
//! chance there is one among a thousand million keys with a probability of 10⁻²¹. Open addressing with linear probing; at
//! 90 % the map is full.

use siphasher::sip128::SipHasher13;

use crate::error::Result;
use crate::sys::random_bytes;

/// Both halves of the hash, and the offset plus one, 0 in an empty slot. As an array it is allocated as zeros.
type Slot = [u64; 3];
const SLOT_BYTES: usize = 24;
/// So many of ten slots are used at most.
const FULL: usize = 9;
/// There is room for one key at least: otherwise no pass would come further.
const FEWEST_SLOTS: usize = 16;

pub(super) struct KeyMap {
    hasher: SipHasher13,
    slots: Vec<Slot>,
    used: usize,
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
        let most = (bytes / SLOT_BYTES).max(FEWEST_SLOTS);
        let wanted =
            usize::try_from(keys).unwrap_or(usize::MAX).saturating_mul(10).div_ceil(FULL).saturating_add(1);
        let slots = vec![Slot::default(); wanted.clamp(FEWEST_SLOTS, most)];
        Ok(Self { hasher: SipHasher13::new_with_key(&random_bytes()?), slots, used: 0 })
    }

    /// Notes the offset of a key, which must be above any that was noted for it. `false`: the map is full.
    #[inline]
    pub(super) fn insert(&mut self, key: &[u8], offset: u64) -> bool {
        let (high, low) = self.hash(key);
        let is_full = self.used >= self.slots.len() / 10 * FULL + self.slots.len() % 10 * FULL / 10;
        let Some(slot) = self.slot_of(high, low).and_then(|at| self.slots.get_mut(at)) else { return false };
        let is_new = slot[2] == 0;
        if is_new && is_full {
            return false;
        }
        *slot = [high, low, offset + 1];
        self.used += usize::from(is_new);
        true
    }

    /// The offset that was noted last for a key.
    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<u64> {
        let (high, low) = self.hash(key);
        self.slots.get(self.slot_of(high, low)?)?[2].checked_sub(1)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> (u64, u64) {
        self.hasher.hash(key).as_u64()
    }

    /// The slot of this hash, or the empty one where it would go. There always is an empty one.
    #[inline]
    fn slot_of(&self, high: u64, low: u64) -> Option<usize> {
        let count = self.slots.len();
        // The high half as a fraction of all slots: no division, and any count will do.
        #[expect(clippy::cast_possible_truncation, reason = "below the number of slots")]
        let first = ((u128::from(high) * count as u128) >> 64) as usize;
        let (front, back) = self.slots.split_at_checked(first)?;
        let fits = |slot: &Slot| slot[2] == 0 || (slot[0] == high && slot[1] == low);
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
                let is_known = model.contains_key(&key);
                if map.insert(&key, offset) {
                    model.insert(key, offset);
                } else {
                    assert!(!is_known, "a key that is there is always noted");
                    full_at.get_or_insert(model.len());
                }
            }
            assert_eq!(full_at, Some(slots * 9 / 10), "{slots}");
            for key in (0..1201_u64).map(u64::to_le_bytes) {
                assert_eq!(map.get(&key), model.get(&key).copied());
            }
        }
    }

    #[test]
    fn a_map_is_no_larger_than_its_keys_need() {
        let map = KeyMap::new(16 << 20, 100).unwrap();
        assert!(map.slots.len() < 120);
        let mut map = KeyMap::new(16 << 20, 100).unwrap();
        assert!((0..100_u64).all(|key| map.insert(&key.to_le_bytes(), key)));
        assert!(map.insert(b"", 0) || map.used >= 100);
    }
}
