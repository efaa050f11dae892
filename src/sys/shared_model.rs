//! [`shared`](super::shared) in a loom model: the same words, in memory. loom's atomics cannot lie in a map.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::sync::{AtomicU32, AtomicU64};
use crate::error::Result;

pub(crate) const PAGE: usize = 4096;
pub(crate) const HEAD: usize = 64;

/// The words that a model needs. Clones are the same file, mapped by another process.
#[derive(Debug, Clone)]
pub(crate) struct SharedWords(Arc<Words>);

#[derive(Debug)]
struct Words {
    makers: BTreeMap<usize, AtomicU64>,
    common: BTreeMap<usize, AtomicU32>,
}

impl SharedWords {
    /// A file with words at these positions, all zero.
    pub(crate) fn in_memory(
        makers: impl IntoIterator<Item = usize>,
        common: impl IntoIterator<Item = usize>,
    ) -> Self {
        Self(Arc::new(Words {
            makers: makers.into_iter().map(|at| (at, AtomicU64::new(0))).collect(),
            common: common.into_iter().map(|at| (at, AtomicU32::new(0))).collect(),
        }))
    }

    /// There are no files in a model.
    pub(crate) fn make(
        _: &Disk,
        _: &Path,
        _: usize,
        _: usize,
        _: impl FnOnce(&Self),
    ) -> Result<Option<Self>> {
        Ok(None)
    }

    pub(crate) fn open(
        _: &Path,
        _: bool,
        _: impl FnOnce(&[u8; HEAD]) -> Option<(usize, usize)>,
    ) -> Option<Self> {
        None
    }

    pub(crate) fn is_held(&self) -> bool {
        true
    }

    pub(crate) fn release(&self) {}

    pub(crate) fn is_at(&self, _: &Path) -> bool {
        true
    }

    pub(crate) fn word(&self, at: usize) -> Option<&AtomicU64> {
        self.0.makers.get(&at)
    }

    pub(crate) fn common(&self, at: usize) -> Option<&AtomicU32> {
        self.0.common.get(&at)
    }
}
