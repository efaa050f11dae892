//! What the files of a segment are called while the segment comes or goes. The suffixes are Kafka's own.

use std::io;
use std::path::{Path, PathBuf};

use super::{LOG, OFFSET_INDEX, Owner, Segment, TIME_INDEX, TRANSACTION_INDEX};
use crate::error::{Error, Result};
use crate::format::file_names::{BEING_CLEANED, DELETED, SWAP, with_ending};
use crate::sys::disk::kind_of;
use crate::sys::{Disk, PlainFile};

/// The state of a segment, which the suffix of its files' names says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FileState {
    /// Nothing: the segment is part of the log.
    #[default]
    Plain,
    /// It was made of others and may be incomplete.
    Cleaned,
    /// It is complete, and those it was made of have to go.
    Swap,
    /// It is to be removed.
    Deleted,
}

impl FileState {
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Cleaned => BEING_CLEANED,
            Self::Swap => SWAP,
            Self::Deleted => DELETED,
        }
    }

    /// The name of a file that is called `plain` as part of the log.
    pub(crate) fn of(self, plain: &Path) -> PathBuf {
        with_ending(plain, self.suffix())
    }

    /// A name without the suffix of a state, and that state.
    pub(crate) fn split(name: &str) -> (&str, Self) {
        let ending = [Self::Cleaned, Self::Swap, Self::Deleted];
        let found = ending.into_iter().find_map(|one| Some((name.strip_suffix(one.suffix())?, one)));
        found.unwrap_or((name, Self::Plain))
    }
}

/// The file with this suffix beside a log file, which may be in any state.
pub(crate) fn beside(log: &Path, suffix: &str) -> PathBuf {
    let name = log.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (plain, file_state) = FileState::split(name);
    file_state.of(&log.with_file_name(plain).with_extension(suffix))
}

impl Segment {
    /// Opens the log file for reading. If it is known to be another file by now, this segment's is not found.
    pub(crate) fn open(&self) -> Result<PlainFile> {
        let file = self.by_name(|path| self.disk.open(path, false))?;
        if let Owner::AnotherProcess(known) = self.owner
            && known != file.identity()
        {
            let reason = "another file has taken its place";
            return Err(Error::io("open", file.path(), io::Error::new(io::ErrorKind::NotFound, reason)));
        }
        Ok(file)
    }

    /// Does what needs the name of the log file or, by [`beside`], of one of the others. No file is renamed until `look` returns.
    pub(crate) fn by_name<T>(&self, look: impl FnOnce(&Path) -> T) -> T {
        let file_state = self.file_state.read();
        look(&file_state.of(&self.path))
    }

    /// The same where the directory of the segment has been moved.
    pub(crate) fn by_name_in<T>(&self, directory: &Path, look: impl FnOnce(&Path) -> T) -> T {
        let file_state = self.file_state.read();
        look(&file_state.of(&directory.join(self.path.file_name().unwrap_or_default())))
    }

    /// Renames all files of the segment, or none. If a rename fails and those before it cannot be undone, the segment is in
    /// the state that the name of its log file says, and the next attempt renames the rest.
    ///
    /// That state is derived from the renames that succeeded: the names cannot always be read back.
    pub(crate) fn set_file_state(&self, to: FileState) -> Result<()> {
        let mut file_state = self.file_state.write();
        let from = if to == FileState::Plain && *file_state == to { FileState::Swap } else { *file_state };
        let (renamed, log_has_moved) = rename_what_is_there(&self.disk, &self.path, from, to);
        if renamed.is_ok() || log_has_moved {
            *file_state = to;
        }
        renamed
    }
}

/// Puts all files of a segment into another state. The log goes first when the segment becomes part of its log: without
/// it the others have no owner. It goes last when the segment leaves, so that an open in between knows of
/// the others. After a failure all have their old names, unless undoing fails too.
pub(super) fn rename_files(disk: &Disk, plain: &Path, from: FileState, to: FileState) -> Result<()> {
    rename_what_is_there(disk, plain, from, to).0
}

/// The same. With the outcome comes whether the log has got its new name and kept it.
fn rename_what_is_there(disk: &Disk, plain: &Path, from: FileState, to: FileState) -> (Result<()>, bool) {
    if from == to {
        return (Ok(()), false);
    }
    let mut suffixes = [LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX];
    if to != FileState::Plain {
        suffixes.reverse();
    }
    let mut done: Vec<(PathBuf, PathBuf)> = Vec::new();
    for suffix in suffixes {
        let name = plain.with_extension(suffix);
        let (now, then) = (from.of(&name), to.of(&name));
        let renamed = match kind_of(&now) {
            Ok(None) => continue,
            Ok(Some(_)) => disk.rename(&now, &then),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = renamed {
            let mut log_has_moved = false;
            for (before, after) in done.iter().rev() {
                let stays = disk.rename(after, before).is_err();
                log_has_moved |= stays && *before == from.of(&plain.with_extension(LOG));
            }
            return (Err(failure), log_has_moved);
        }
        done.push((now, then));
    }
    (Ok(()), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_and_together() {
        for (name, plain, file_state) in [
            ("00000000000000000007.log", "00000000000000000007.log", FileState::Plain),
            ("00000000000000000007.log.swap", "00000000000000000007.log", FileState::Swap),
            ("00000000000000000007.log.cleaned", "00000000000000000007.log", FileState::Cleaned),
            ("00000000000000000007.log.deleted", "00000000000000000007.log", FileState::Deleted),
        ] {
            assert_eq!(FileState::split(name), (plain, file_state));
            assert_eq!(file_state.of(Path::new(plain)), Path::new(name));
            let index = plain.replace("log", "index") + file_state.suffix();
            assert_eq!(beside(&Path::new("d").join(name), "index"), Path::new("d").join(index));
        }
    }
}
