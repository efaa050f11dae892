//! Windows: everything by system calls. A mapped file can be neither trimmed nor deleted there, so nothing is mapped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use memmap2::MmapRaw;

/// Open a link itself instead of what it points to.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;

pub(crate) fn refuse_links(options: &mut OpenOptions) {
    options.custom_flags(OPEN_REPARSE_POINT);
}

/// The standard library does not tell; length and time must do.
pub(crate) fn file_number(_metadata: &std::fs::Metadata) -> u64 {
    0
}

pub(crate) fn read_at(file: &File, to: &mut [u8], position: u64) -> io::Result<usize> {
    file.seek_read(to, position)
}

pub(crate) fn write_at(file: &File, bytes: &[u8], position: u64) -> io::Result<usize> {
    file.seek_write(bytes, position)
}

/// Directory entries are durable with the file system's own journal; there is nothing to call.
pub(crate) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

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

pub(crate) fn lock_holder(_file: &File, _path: &Path) -> Option<u32> {
    None
}

pub(crate) fn maps_are_safe_on(_directory: &Path) -> bool {
    false
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

pub(crate) fn futex_wait(_word: &std::sync::atomic::AtomicU32, _seen: u32, timeout: std::time::Duration) {
    std::thread::park_timeout(timeout);
}

pub(crate) fn futex_wake(_word: &std::sync::atomic::AtomicU32) {}
