//! The seam to the operating system, and the only room with `unsafe`.
//!
//! Everything the crate asks of files, maps and locks goes through here, some dozen operations wide, so that faults
//! can be injected at one place and other systems differ in one place. The room knows bytes and positions; records
//! and offsets are not its business.
//!
//! | file | what |
//! |---|---|
//! | [`disk`] | files and directories: open without following links, replace, list, rename |
//! | [`plain_directory`] | syncs of the entries of a directory |
//! | [`checksum`] | CRC-32C by instructions that not every processor has |
//! | `copying` | copies of files: blocks that are shared, second names, bytes |
//! | [`anchor`] | whether a path still means the directory that was opened |
//! | [`faults`] | failing the n-th write, sync or allocation, for tests |
//! | [`fork`] | telling a process from its children |
//! | `held_names` | the rules of Windows for names of open files, on Linux, for tests |
//! | `prefetch` | bytes that are brought nearer before they are read |
//! | [`tail`] | the published word of a growing file |
//! | [`mapping`] | memory maps and the slices of them that may be read |
//! | `kept` | maps that are kept after their last reader has gone |
//! | [`log_writer`] | the one writer of a growing file: two ways in, growth, trimming |
//! | [`shared`] | a file of words that processes share; `shared_model` the same for loom |
//! | [`futex`] | a word of it at which processes wait for each other |
//! | `plain_file` | a file: read and written at positions, allocated, cut, synced |
//! | [`reserve`] | space that is kept for the calls by which a full disk can be left |
//! | [`lock`] | the directory lock |
//! | [`sync`] | atomics and locks of the protocols that loom checks |
//! | [`wall_clock`] | the time of day, mostly without asking the system |
//! | [`platform`] | what differs between systems |

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::unwrap_used))]

mod anchor;
#[cfg_attr(
    all(target_arch = "x86_64", not(miri)),
    expect(unsafe_code, reason = "instructions of the processor")
)]
pub(crate) mod checksum;
mod copying;
pub(crate) mod disk;
pub(crate) mod faults;
pub(crate) mod fork;
pub(crate) mod futex;
#[cfg(test)]
pub(crate) mod gate;
#[cfg(all(target_os = "linux", any(test, held_files)))]
pub(crate) mod held_names;
pub(crate) mod kept;
pub(crate) mod lock;
#[expect(unsafe_code, reason = "stores through a memory map")]
pub(crate) mod log_writer;
#[expect(unsafe_code, reason = "makes slices of memory maps")]
pub(crate) mod mapping;
mod plain_directory;
mod plain_file;
#[expect(unsafe_code, reason = "calls into the system for what std and memmap2 lack")]
pub(crate) mod platform;
#[cfg_attr(
    all(target_arch = "x86_64", not(miri)),
    expect(unsafe_code, reason = "instructions of the processor")
)]
mod prefetch;
pub(crate) mod reserve;
pub(crate) mod root;
#[cfg(not(loom))]
#[expect(unsafe_code, reason = "makes atomic words of memory maps")]
pub(crate) mod shared;
#[cfg(loom)]
#[path = "shared_model.rs"]
pub(crate) mod shared;
pub(crate) mod sync;
pub(crate) mod tail;
#[cfg(all(unix, test))]
mod tests;
#[cfg_attr(
    all(target_arch = "x86_64", target_os = "linux", not(miri)),
    expect(unsafe_code, reason = "reads a counter of the processor")
)]
pub(crate) mod wall_clock;

pub(crate) use copying::{Copied, Copier, Taken};
pub(crate) use disk::{Disk, EntryKind, Identity, NameRules, Right};
pub(crate) use fork::Birth;
pub(crate) use kept::KeptMap;
pub(crate) use lock::{DirectoryLock, SecondLock};
pub(crate) use log_writer::{Growth, LogWriter, PutFailure};
pub(crate) use mapping::{Confirmed, Mapping};
pub(crate) use plain_directory::PlainDirectory;
pub(crate) use plain_file::PlainFile;
pub(crate) use platform::{descriptor_limit, file_size_limit};
pub(crate) use prefetch::prefetch;
pub(crate) use reserve::{Purpose, Spending};
pub(crate) use tail::{Tail, TailWord};

/// Has a program get an error where it would be ended by a signal, because a file would become longer than the process may
/// write (`ulimit -f`).
///
/// The library never needs it: its files stay below that limit, and what does not fit is
/// [`StorageFull`](crate::Error::StorageFull). It is for what a program writes besides, and to be called at its start. It
/// does nothing where there is no such signal.
///
/// ```
/// stratalog::ignore_file_size_signal();
/// ```
pub fn ignore_file_size_signal() {
    platform::ignore_file_size_signal();
}

/// Sixteen bytes that cannot be guessed.
pub(crate) fn random_bytes() -> crate::error::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(failure) => Err(crate::error::Error::io(
            "take random bytes from",
            std::path::Path::new("the system"),
            failure.into(),
        )),
    }
}
