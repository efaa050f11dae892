//! Windows: everything by system calls. A mapped file can be neither trimmed nor deleted there, so nothing is mapped.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::time::{Duration, Instant};

use memmap2::MmapRaw;

use super::SafeWays;
use crate::sys::sync::Signal;

/// Whether a map of a file keeps it from being trimmed, renamed or removed.
pub(crate) const MAPS_PIN_FILES: bool = true;
/// Whether a directory can be renamed while files in it are open.
pub(crate) const MOVES_OPEN_DIRECTORIES: bool = false;
/// Whether a file that is removed while it is open keeps its name until it is closed: on NTFS since 2018 it does not, but
/// on FAT, on other machines' disks and before.
pub(crate) const KEEPS_REMOVED_NAMES: bool = true;
/// Whether some names mean devices wherever they are.
pub(crate) const HAS_DEVICE_NAMES: bool = true;

const INVALID_FUNCTION: i32 = 1;
const ACCESS_DENIED: i32 = 5;
const INVALID_HANDLE: i32 = 6;
const SHARING_VIOLATION: i32 = 32;
const NOT_SUPPORTED: i32 = 50;
/// The last and longest pause. A program that has opened a file, as scanners and indexers do, gets nearly twice as long to
/// close it.
const MAX_PAUSE: Duration = Duration::from_millis(64);

/// Open a link itself instead of what it points to.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Open a directory.
const BACKUP_SEMANTICS: u32 = 0x0200_0000;
/// Access to what is known of a file, not to its bytes: excludes no other access.
const ATTRIBUTES_ONLY: u32 = 0;
const GENERIC_WRITE: u32 = 0x4000_0000;

/// What the system knows of an open file, as `BY_HANDLE_FILE_INFORMATION` lays it out.
#[repr(C)]
#[derive(Debug, Default)]
struct FileInformation {
    attributes: u32,
    times: [[u32; 2]; 3],
    volume: u32,
    length: [u32; 2],
    links: u32,
    number_high: u32,
    number_low: u32,
}

#[link(name = "kernel32")]
unsafe extern "system" {
    #[link_name = "GetFileInformationByHandle"]
    fn file_information(file: *mut std::ffi::c_void, to: *mut FileInformation) -> i32;
}

/// How many open files the process may have: 16 million by the system; this is what is asked of it.
pub(crate) fn descriptor_limit() -> usize {
    16_384
}

/// How long a file may become that this process writes: there is no such limit.
pub(crate) fn file_size_limit() -> u64 {
    u64::MAX
}

/// There is no such signal.
pub(crate) fn ignore_file_size_signal() {}

/// The standard library opens files so that others may read, write, rename and remove them meanwhile, and so that other
/// processes do not inherit the handles.
pub(crate) fn refuse_links(options: &mut OpenOptions) {
    options.custom_flags(OPEN_REPARSE_POINT);
}

/// There is no `fork`.
pub(crate) fn call_in_children(_handler: extern "C" fn()) {}

/// What distinguishes a file from one that takes its name. 0: the file system has no numbers.
pub(crate) fn file_number(file: &File, _metadata: &fs::Metadata) -> u64 {
    device_and_number(file).map_or(0, |(_, number)| number)
}

/// The same of whatever is at `path`.
pub(crate) fn file_number_at(path: &Path, metadata: &fs::Metadata) -> u64 {
    device_and_number_at(path, metadata).map_or(0, |(_, number)| number)
}

/// The volume that whatever is at `path` is on, and its number there. `None`: the file system has no numbers.
pub(crate) fn device_and_number_at(path: &Path, _metadata: &fs::Metadata) -> Option<(u64, u64)> {
    let mut options = OpenOptions::new();
    options.access_mode(ATTRIBUTES_ONLY).custom_flags(OPEN_REPARSE_POINT | BACKUP_SEMANTICS);
    device_and_number(&options.open(path).ok()?)
}

fn device_and_number(file: &File) -> Option<(u64, u64)> {
    let mut about = FileInformation::default();
    // SAFETY: the handle is open, and `about` is laid out as the call fills it in and lives through it.
    let known = unsafe { file_information(file.as_raw_handle(), &raw mut about) } != 0;
    let number = u64::from(about.number_high) << 32 | u64::from(about.number_low);
    (known && number != 0).then(|| (u64::from(about.volume), number))
}

/// How many names a file has.
pub(crate) fn names_of(file: &File, _metadata: &fs::Metadata) -> u64 {
    let mut about = FileInformation::default();
    // SAFETY: the handle is open, and `about` is laid out as the call fills it in and lives through it.
    let known = unsafe { file_information(file.as_raw_handle(), &raw mut about) } != 0;
    if known { u64::from(about.links) } else { 1 }
}

/// No file system that is common there can.
pub(crate) fn share_blocks(_from: &File, _to: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the time at which a file was made belongs to the file. Windows gives a file that takes a name the time of the
/// one that had the name some seconds before ("tunneling").
pub(crate) const KEEPS_CREATION_TIMES: bool = false;

pub(crate) fn read_at(file: &File, to: &mut [u8], position: u64) -> io::Result<usize> {
    file.seek_read(to, position)
}

pub(crate) fn write_at(file: &File, bytes: &[u8], position: u64) -> io::Result<usize> {
    file.seek_write(bytes, position)
}

/// A file takes the place of another one also while that is open, on newer file systems at once.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    // A process that has a file of a directory open may well keep it.
    let patient = || fs::symlink_metadata(from).is_ok_and(|metadata| metadata.is_file());
    retried(patient, || fs::rename(from, to))
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    retried(|| true, || fs::remove_file(path))
}

/// Tries again while another process has the file open in a way that excludes the attempt.
fn retried(patient: impl Fn() -> bool, attempt: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut pause = Duration::from_millis(1);
    loop {
        match attempt() {
            Err(failure)
                if matches!(failure.raw_os_error(), Some(ACCESS_DENIED | SHARING_VIOLATION))
                    && pause <= MAX_PAUSE
                    && patient() =>
            {
                // No thread sets this signal: a pause.
                Signal::default().wait(Instant::now().checked_add(pause));
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
}

/// Data and length of a file on disk.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// NTFS writes changes of directories to its journal in order, and the journal to the disk when a file is synced or some
/// seconds later. A directory can be asked for that too, but not every file system has an answer.
pub(crate) fn sync_directory(directory: &DirectoryHandle) -> io::Result<()> {
    match directory.as_ref().map_or(Ok(()), File::sync_all) {
        Err(failure) if has_no_answer(&failure) => Ok(()),
        synced => synced,
    }
}

/// What a directory is synced by. `None`: the file system does not open it for that.
pub(crate) type DirectoryHandle = Option<File>;

pub(crate) fn open_directory(directory: &Path) -> io::Result<DirectoryHandle> {
    let mut options = OpenOptions::new();
    options.access_mode(GENERIC_WRITE).custom_flags(BACKUP_SEMANTICS);
    match options.open(directory) {
        Err(failure) if has_no_answer(&failure) => Ok(None),
        opened => opened.map(Some),
    }
}

fn has_no_answer(failure: &io::Error) -> bool {
    let known = [INVALID_FUNCTION, ACCESS_DENIED, INVALID_HANDLE, SHARING_VIOLATION, NOT_SUPPORTED];
    failure.raw_os_error().is_some_and(|code| known.contains(&code))
}

/// Takes the whole file exclusively, as the JVM does. `false`: another process has it.
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

pub(crate) fn unmap_pages(_raw: &MmapRaw, from: u64, _to: u64) -> io::Result<u64> {
    Ok(from)
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
