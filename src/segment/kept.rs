//! What a lookup leaves for the next one in the same sealed segment: the map, and the entries of the offset index. The log keeps
//! both ([`KeptMaps`](crate::sys::kept::KeptMaps)), of a few segments, and none of a segment that has left it.

use std::sync::{Arc, Weak};

use super::{Doubt, Index, MISSING, OFFSET_INDEX, Segment, beside, stored_index};
use crate::error::Result;
use crate::format::index::OffsetEntry;
use crate::sys::disk::kind_of;
use crate::sys::{KeptMap, Mapping};

/// Most entries that are kept of a segment; of more every n-th.
const MAX_ENTRIES: u64 = 1 << 15;
/// One lookup in the file costs as much as reading the entries of so many bytes of log.
const BYTES_A_LOOKUP: u64 = 16 << 20;

/// The map of a segment.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// As long as a reader or the writer uses it, or it is kept.
    pub(super) mapping: Weak<Mapping>,
    /// The segment is not in the log any more: nothing of it is kept.
    has_left: bool,
}

/// What lookups know of the offset index in a segment's files.
#[derive(Debug, Default)]
pub(super) struct KnownOffsets {
    /// As long as the map beside it is kept.
    entries: Weak<Vec<OffsetEntry>>,
    /// Lookups that went through the file since.
    lookups: u64,
}

impl Segment {
    /// The last index entry for an offset that is not above `offset`, as it was found.
    pub(super) fn entry_before(&self, offset: u64) -> Result<Option<OffsetEntry>> {
        let Ok(relative) = u32::try_from(offset.saturating_sub(self.base)) else { return Ok(None) };
        match &mut *self.index.lock() {
            Index::Growing(entries) => Ok(entries.entry_before(relative)),
            Index::Stored(known) => {
                let (end, is_trusted) = (self.end().position, self.trusts_index());
                if is_trusted && let Some(entries) = known.entries.upgrade() {
                    return Ok(stored_index::before(&entries, relative, end));
                }
                let found =
                    self.by_name(|path| stored_index::entry_before(&self.disk, path, relative, end))?;
                if found.is_none() && self.by_name(|path| kind_of(&beside(path, OFFSET_INDEX)))?.is_none() {
                    self.doubt(MISSING);
                } else if is_trusted {
                    self.learn_offsets(known);
                }
                Ok(found)
            }
        }
    }

    /// Whether what the files of its index hold may be kept in memory: not as long as there is a doubt.
    fn trusts_index(&self) -> bool {
        matches!(*self.doubt.lock(), Doubt::None | Doubt::Adopted)
    }

    /// Keeps a map that was just made, which `opened` has. Another process does not say when a segment leaves its log.
    pub(super) fn keep(&self, mapping: &Arc<Mapping>, opened: &Opened) -> impl Sized + use<> {
        let may_be = self.end().sealed && !self.is_anothers() && !opened.has_left;
        may_be.then(|| self.disk.kept.keep(mapping))
    }

    /// Has the entries kept in memory once the file was read so often that reading all of it is no more. Runs under
    /// the lock of the index.
    fn learn_offsets(&self, known: &mut KnownOffsets) {
        known.lookups += 1;
        if known.lookups.saturating_mul(BYTES_A_LOOKUP) < self.end().position {
            return;
        }
        let mapping = self.opened.lock().mapping.upgrade();
        let Some(mapping) = mapping.filter(|mapping| self.disk.kept.holds(mapping)) else { return };
        let read = self.by_name(|path| stored_index::offsets(&self.disk, path, MAX_ENTRIES));
        // The lookup has its answer; where the file cannot be read the next one says so.
        let Some(entries) = read.ok().flatten().map(Arc::new) else { return };
        let kept: Arc<Vec<OffsetEntry>> = Arc::clone(&entries);
        if self.disk.kept.keep_beside(&mapping, kept) {
            *known = KnownOffsets { entries: Arc::downgrade(&entries), lookups: 0 };
        }
    }

    /// The segment leaves the log: from here on nothing of it is kept, and what a reader opens goes with the reader. Returns
    /// what was kept, to be dropped under no lock, and before it is asked what [`pinned`](Self::pinned) is.
    pub(crate) fn leave(&self) -> Option<KeptMap> {
        let mut opened = self.opened.lock();
        opened.has_left = true;
        self.disk.kept.give_up(&opened.mapping)
    }
}
