//! Windows: everything by system calls. A mapped file can be neither trimmed nor deleted there, so nothing is mapped.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use memmap2::MmapRaw;

use super::SafeWays;
use crate::sys::sync::Signal;

/// Whether a map of a file keeps it from being trimmed, renamed or removed.
pub(crate) const MAPS_PIN_FILES: bool = true;
/// Whether a directory can be renamed while files in it are open.
pub(crate) const MOVES_OPEN_DIRECTORIES: bool = false;
/// Whether some names mean devices wherever they stand.
pub(crate) const HAS_DEVICE_NAMES: bool = true;

const ACCESS_DENIED: i32 = 5;
const SHARING_VIOLATION: i32 = 32;
/// Somebody who looks at a file, as scanners and indexers do, is given half of this and a bit more to be done with it.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Open a link itself instead of what it points to.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// Others may read, write, rename and remove the file meanwhile, which is what the standard library asks for unless
/// told otherwise; handles are not inherited by other processes.
/// How many open files the process may have: 16 million by the system; this is what is asked of it.
pub(crate) fn descriptor_limit() -> usize {
    16_384
}

pub(crate) fn refuse_links(options: &mut OpenOptions) {
    options.custom_flags(OPEN_REPARSE_POINT);
}

/// There is no `fork`.
pub(crate) fn call_in_children(_handler: extern "C" fn()) {}

/// The standard library does not tell; length and time must do.
pub(crate) fn file_number(_metadata: &fs::Metadata) -> u64 {
    0
}

/// Nor this: but a directory with open files in it is neither moved nor deleted there.
pub(crate) fn device_and_number(_metadata: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

pub(crate) fn read_at(file: &File, to: &mut [u8], position: u64) -> io::Result<usize> {
    file.seek_read(to, position)
}

pub(crate) fn write_at(file: &File, bytes: &[u8], position: u64) -> io::Result<usize> {
    file.seek_write(bytes, position)
}

/// A file takes the place of another one also while that is open, on newer file systems at once.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    // Whoever has a file of a directory open may well keep it.
    let patient = || fs::symlink_metadata(from).is_ok_and(|metadata| metadata.is_file());
    retried(patient, || fs::rename(from, to))
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    retried(|| true, || fs::remove_file(path))
}

/// Tries again while somebody has the file open in a way that excludes the attempt.
fn retried(patient: impl Fn() -> bool, attempt: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut pause = Duration::from_millis(1);
    loop {
        match attempt() {
            Err(failure)
                if matches!(failure.raw_os_error(), Some(ACCESS_DENIED | SHARING_VIOLATION))
                    && pause <= LONGEST_PAUSE
                    && patient() =>
            {
                // Nobody raises it.
                Signal::default().wait(Instant::now().checked_add(pause));
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
}

/// Data and length of a file on the medium.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Directory entries are durable with the file system's own journal; there is nothing to call.
pub(crate) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Takes the whole file exclusively, as the JVM does. `false`: somebody has it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(failure)) => Err(failure),
    }
}

pub(crate) fn unlock(file: &File) {
    let _ = file.unlock();
}

/// A lock does not tell whose it is.
pub(crate) fn lock_holder(_file: &File, _path: &Path) -> Option<u32> {
    None
}

pub(crate) fn safe_ways_on(_directory: &Path) -> SafeWays {
    SafeWays::PLAIN
}

pub(crate) fn allocate(_file: &File, _from: u64, _to: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn populate_for_reading(_raw: &MmapRaw, _start: u64, _end: u64) -> io::Result<()> {
    Ok(())
}

pub(crate) fn populate_for_writing(_raw: &MmapRaw, _start: u64, _end: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A mapped file can be neither replaced nor deleted there: readers look again and again instead.
pub(crate) const SHARES_MEMORY: bool = false;

pub(crate) fn is_locked_elsewhere(_file: &File) -> bool {
    false
}

pub(crate) fn futex_wait(_word: &std::sync::atomic::AtomicU32, _seen: u32, timeout: Duration) {
    std::thread::park_timeout(timeout);
}

pub(crate) fn futex_wake(_word: &std::sync::atomic::AtomicU32) {}
