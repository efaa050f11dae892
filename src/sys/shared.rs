//! A small file of words that processes share through memory, and a futex that one process wakes and others wait at.
//!
//! Everything in it is atomic and nothing is believed: a reader treats a word as a hint. One process makes the file
//! and holds its lock for as long as it lives, so others can tell whether anybody still writes. The file is never cut
//! or grown, only replaced by another one of the same name, so touching its pages raises no signal.
//!
//! The words from a given position on are for all to write, the others for the maker alone.

use std::fs::{File, OpenOptions};
use std::path::Path;

use memmap2::{MmapOptions, MmapRaw};

use super::disk::Disk;
use super::platform;
use super::sync::{AtomicU32, AtomicU64};
use crate::error::{Error, Result};
use crate::format::file_names;

/// A mapped file of words.
#[derive(Debug)]
pub(crate) struct SharedWords {
    /// All of it. Only for reading in a process that did not make it.
    whole: MmapRaw,
    /// The part that all write: in `whole` for the maker, mapped once more for others who may write.
    common: Option<MmapRaw>,
    common_from: usize,
    is_maker: bool,
    file: File,
}

/// Where the common part of a file begins: a page of its own.
pub(crate) const PAGE: usize = 4096;
/// How many bytes tell the shape of a file.
pub(crate) const HEAD: usize = 64;

impl SharedWords {
    /// Makes the file of `length` bytes, all zero until `fill` has been at it, and gives it its name. `None` where
    /// processes cannot share memory in this way.
    pub(crate) fn make(
        disk: &Disk,
        path: &Path,
        length: usize,
        common_from: usize,
        fill: impl FnOnce(&Self),
    ) -> Result<Option<Self>> {
        if !platform::SHARES_MEMORY || !disk.maps() {
            return Ok(None);
        }
        let beside = file_names::unfinished(path);
        disk.remove_file(&beside)?;
        let made = disk.create(&beside)?;
        let failed = |e| Error::io("make", path, e);
        made.allocate(0, length as u64).map_err(failed)?;
        if !platform::try_lock(&made.file).map_err(failed)? {
            return Ok(None);
        }
        let whole = MmapOptions::new().len(length).map_raw(&made.file).map_err(failed)?;
        let words = Self { whole, common: None, common_from, is_maker: true, file: made.file };
        fill(&words);
        disk.rename(&beside, path)?;
        Ok(Some(words))
    }

    /// The file that another process has made. `shape` computes from its first bytes where the common part begins and how
    /// long the whole must be. `None` if there is no such file, or if it is to be `held` and no process holds it.
    pub(crate) fn open(
        path: &Path,
        held: bool,
        shape: impl FnOnce(&[u8; HEAD]) -> Option<(usize, usize)>,
    ) -> Option<Self> {
        if !platform::SHARES_MEMORY {
            return None;
        }
        let open = |writable| {
            let mut options = OpenOptions::new();
            platform::refuse_links(options.read(true).write(writable));
            options.open(path)
        };
        let (file, writable) = match open(true) {
            Ok(file) => (file, true),
            Err(_) => (open(false).ok()?, false),
        };
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let mut first = [0; HEAD];
        let read = platform::read_at(&file, &mut first, 0).ok()?;
        let (common_from, length) = shape(&first).filter(|_| read == HEAD)?;
        if metadata.len() != length as u64 || common_from > length || !common_from.is_multiple_of(PAGE) {
            return None;
        }
        let whole = MmapOptions::new().len(length).map_raw_read_only(&file).ok()?;
        let common = |length| MmapOptions::new().offset(common_from as u64).len(length).map_raw(&file).ok();
        let common = Some(length - common_from).filter(|length| writable && *length > 0).and_then(common);
        let words = Self { whole, common, common_from, is_maker: false, file };
        (!held || words.is_held()).then_some(words)
    }

    /// Whether the process that made the file still has it.
    pub(crate) fn is_held(&self) -> bool {
        self.is_maker || platform::is_locked_elsewhere(&self.file)
    }

    /// The maker ends: no process holds the file any more, whatever copies of its descriptor there are.
    pub(crate) fn release(&self) {
        if self.is_maker {
            platform::unlock(&self.file);
        }
    }

    /// Whether `path` names this very file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        match (self.file.metadata(), std::fs::symlink_metadata(path)) {
            (Ok(own), Ok(there)) => {
                platform::file_number(&self.file, &own) == platform::file_number_at(path, &there)
            }
            _ => false,
        }
    }

    /// The word at a position, which must be a multiple of 8. Only the maker may store to it.
    #[inline]
    pub(crate) fn word(&self, at: usize) -> Option<&AtomicU64> {
        if !at.is_multiple_of(8) || at.checked_add(8)? > self.whole.len() {
            return None;
        }
        // SAFETY: the eight bytes lie inside the map, as was just checked, which `self` keeps; they are aligned, as maps
        // begin at a page. Every process accesses them by atomic operations only. Storing through a map that is only
        // for reading would fault: stores are made by the maker, whose map is writable.
        Some(unsafe { AtomicU64::from_ptr(self.whole.as_mut_ptr().add(at).cast()) })
    }

    /// The word of four bytes at a position in the common part, if this process may write there.
    #[inline]
    pub(crate) fn common(&self, at: usize) -> Option<&AtomicU32> {
        let (map, from) = match &self.common {
            Some(map) => (map, self.common_from),
            None if self.is_maker => (&self.whole, 0),
            None => return None,
        };
        let at = at.checked_sub(from)?;
        if !at.is_multiple_of(4) || at.checked_add(4)? > map.len() {
            return None;
        }
        // SAFETY: as above, of a map that is writable in this process.
        Some(unsafe { AtomicU32::from_ptr(map.as_mut_ptr().add(at).cast()) })
    }
}
