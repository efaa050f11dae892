//! Where a lookup by time goes in a list of segments: past all that are known to hold nothing as late, in logarithmic time.
//!
//! What is known of a segment is a bound: no record of it has a later timestamp. It comes from the index of a sealed segment
//! where the batches bear that out, or from a lookup that has gone through the segment in vain. Timestamps need not ascend, so
//! the bounds are the leaves of a tree whose nodes are the maxima below them. A list has no tree before its first lookup, and
//! takes over what was known of its segments from the list before.

/// Children of a node.
const FAN: usize = 32;

/// Of a segment of which nothing is known.
pub(in crate::partition) const UNKNOWN: i64 = i64::MAX;

/// Bounds of the timestamps of segments, in the order of a list.
#[derive(Debug, Default)]
pub(in crate::partition) struct Latest {
    /// The leaves, and above them the maxima of `FAN` each, up to a level of no more than `FAN`. Empty before the first lookup.
    levels: Vec<Vec<i64>>,
    /// Of the indexes that the bounds are by.
    pub(in crate::partition) version: u64,
}

impl Latest {
    pub(in crate::partition) fn of(bounds: Vec<i64>, version: u64) -> Self {
        let mut levels = vec![bounds];
        while let Some(below) = levels.last().filter(|below| below.len() > FAN) {
            let above = below.chunks(FAN).map(largest).collect();
            levels.push(above);
        }
        Self { levels, version }
    }

    pub(in crate::partition) fn bounds(&self) -> &[i64] {
        self.levels.first().map_or(&[], |leaves| leaves)
    }

    /// The first segment from number `from` on of which it is not known that all of its records are before `at`.
    pub(in crate::partition) fn first_reaching(&self, from: usize, at: i64) -> Option<usize> {
        let (mut from, mut height) = (from, 0);
        // Up, as long as nothing under the rest of a node reaches.
        let mut found = loop {
            let level = self.levels.get(height)?;
            let end = level.len().min((from / FAN + 1) * FAN);
            if let Some(found) = reaching(level, from, end, at) {
                break found;
            }
            (from, height) = (from / FAN + 1, height + 1);
        };
        // Down to the first leaf below it that does.
        for level in self.levels.get(..height)?.iter().rev() {
            found = reaching(level, found * FAN, level.len(), at)?;
        }
        Some(found)
    }

    /// All records of a segment have timestamps up to this one.
    pub(in crate::partition) fn set(&mut self, number: usize, bound: i64) {
        let mut levels = self.levels.iter_mut();
        let Some(leaf) = levels.next().and_then(|leaves| leaves.get_mut(number)) else { return };
        *leaf = bound;
        for height in 1..self.levels.len() {
            let (number, below) = (number / FAN.pow(u32::try_from(height).unwrap_or(u32::MAX)), height - 1);
            let children = self.levels.get(below).and_then(|below| below.chunks(FAN).nth(number));
            let node = children.map(largest);
            let level = self.levels.get_mut(height).and_then(|level| level.get_mut(number));
            if let (Some(known), Some(node)) = (level, node) {
                *known = node;
            }
        }
    }
}

fn largest(of: &[i64]) -> i64 {
    of.iter().copied().max().unwrap_or(i64::MIN)
}

fn reaching(level: &[i64], from: usize, end: usize, at: i64) -> Option<usize> {
    let values = level.get(from..end)?;
    values.iter().position(|bound| *bound >= at).map(|found| from + found)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn linear(bounds: &[i64], from: usize, at: i64) -> Option<usize> {
        bounds.iter().skip(from).position(|bound| *bound >= at).map(|found| from + found)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_first_that_reaches_is_the_one_that_a_list_gives(
            bounds in prop_oneof![vec(0..50_i64, 0..100), vec(0..5000_i64, 1000..3000)],
            asked in vec((0..3200_usize, -10..5010_i64), 1..50),
            changes in vec((0..3200_usize, prop_oneof![0..5000_i64, Just(UNKNOWN)]), 0..20),
        ) {
            let (mut model, mut tree) = (bounds.clone(), Latest::of(bounds, 0));
            let check = |tree: &Latest, model: &[i64]| {
                for (from, at) in &asked {
                    assert_eq!(tree.first_reaching(*from, *at), linear(model, *from, *at), "{from} {at}");
                }
            };
            check(&tree, &model);
            for (number, bound) in changes {
                tree.set(number, bound);
                if let Some(known) = model.get_mut(number) {
                    *known = bound;
                }
                check(&tree, &model);
            }
            assert_eq!(tree.bounds(), model);
        }
    }

    /// In a hundred thousand segments a lookup compares some hundred numbers.
    #[test]
    fn a_tree_of_many_segments_is_flat() {
        let tree = Latest::of(vec![0; 100_000], 0);
        assert_eq!(tree.levels.iter().map(Vec::len).collect::<Vec<_>>(), [100_000, 3125, 98, 4]);
        assert_eq!(tree.first_reaching(0, 1), None);
        assert_eq!(Latest::default().first_reaching(0, 1), None);
    }
}
