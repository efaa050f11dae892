//! Bytes that leave the log although records may be among them are kept beside it, each time under a name of their own:
//! what an earlier incident has left is never written over.
//!
//! | name | holds |
//! |---|---|
//! | `BASE.log.cut-at-N` | the bytes of a log file from position N on |
//! | `BASE.log.cut-whole` | a whole log file that lay after a cut, or one that was not to be part of the log |
//!
//! From the second file of a name on a number follows: `BASE.log.cut-whole-2`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::events::Event;
use crate::format::file_names::{CUT_AT, CUT_WHOLE, unfinished};
use crate::partition::PartitionCore;
use crate::sys::PlainFile;
use crate::sys::disk::kind_of;

/// Whether a file of this name was set aside.
pub(crate) fn is_aside(name: &str) -> bool {
    name.contains(CUT_AT) || name.contains(CUT_WHOLE)
}

impl PartitionCore {
    /// Cuts a file off at the beginning of `part`, which may hold records and is copied to a file of its own first. Those
    /// who have the file open keep all of it: a shorter one takes its name.
    pub(super) fn cut_off(&self, file: PlainFile, part: Range<u64>) -> Result<PathBuf> {
        let kept = unused(file.path(), &format!("{CUT_AT}{}", part.start))?;
        let prefix = 0..part.start;
        // A copy that was interrupted does not get the name.
        let copy = self.copy_beside(&file, part)?;
        self.disk.rename(&copy, &kept)?;
        let prefix = self.copy_beside(&file, prefix)?;
        let path = file.path().to_owned();
        // Not every system replaces a file that is open.
        drop(file);
        if let Err(failure) = self.disk.rename(&prefix, &path) {
            // Nothing is cut off, and the next attempt makes its own copies.
            let _ = self.disk.remove_file(&prefix).and_then(|_| self.disk.remove_file(&kept));
            return Err(failure);
        }
        self.emit_kept(&kept);
        Ok(kept)
    }

    /// Takes a whole file out of the log, which is `plain` as part of one, and keeps it.
    pub(in crate::partition) fn keep_whole(&self, file: &Path, plain: &Path) -> Result<PathBuf> {
        let to = unused(plain, CUT_WHOLE)?;
        self.disk.rename(file, &to)?;
        self.emit_kept(&to);
        Ok(to)
    }

    fn emit_kept(&self, path: &Path) {
        let (partition, path) = (|| self.id.clone(), || path.to_owned());
        self.context.events.emit(|| Event::TruncatedBytesKept { partition: partition(), path: path() });
    }

    /// A copy of a part of a file, on disk, under the name that unfinished files have.
    fn copy_beside(&self, file: &PlainFile, part: Range<u64>) -> Result<PathBuf> {
        let beside = unfinished(file.path());
        self.disk.remove_file(&beside)?;
        let copy = self.disk.create(&beside)?;
        let mut buffer = vec![0; 1 << 20];
        let mut position = part.start;
        while position < part.end {
            let left = usize::try_from(part.end - position).unwrap_or(usize::MAX).min(buffer.len());
            let step = buffer.get_mut(..left).unwrap_or_default();
            let read = file.read_at(step, position)?;
            if read == 0 {
                break;
            }
            copy.append_all(step.get(..read).unwrap_or_default())?;
            position += read as u64;
        }
        copy.sync().map_err(|e| Error::io("sync", &beside, e))?;
        Ok(beside)
    }
}

/// The first name made of `path` and an ending that nothing has. The caller holds the directory's lock, so it stays free.
fn unused(path: &Path, ending: &str) -> Result<PathBuf> {
    let name = |number: u64| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let mut number = 1;
    while kind_of(&name(number))?.is_some() {
        number += 1;
    }
    Ok(name(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_get_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("00000000000000000007.log");
        for expected in [".cut-whole", ".cut-whole-2", ".cut-whole-3"] {
            let name = unused(&log, CUT_WHOLE).unwrap();
            assert_eq!(name, dir.path().join(format!("00000000000000000007.log{expected}")));
            assert!(is_aside(name.file_name().unwrap().to_str().unwrap()));
            std::fs::write(name, "kept").unwrap();
        }
        assert!(!is_aside("00000000000000000007.log"));
    }
}
