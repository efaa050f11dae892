//! Linux, macOS and other Unix systems.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use memmap2::MmapRaw;

use super::SafeWays;

/// How many descriptors the process may have.
pub(crate) fn descriptor_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills in the struct that it is given, which lives through it.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if known { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 1024 }
}

/// How long a file may become that this process writes. What would make it longer fails, with a signal that ends the
/// process unless it is ignored.
pub(crate) fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills in the struct that it is given, which lives through it.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) } == 0;
    #[allow(clippy::useless_conversion, reason = "how wide the field is differs from system to system")]
    if known && limit.rlim_cur != libc::RLIM_INFINITY { limit.rlim_cur.into() } else { u64::MAX }
}

/// No signal ends the process where a file would become longer than [`file_size_limit`]; the call fails alone.
pub(crate) fn ignore_file_size_signal() {
    // SAFETY: no handler is installed, so no code of ours runs in one; the call touches no memory of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

pub(crate) fn refuse_links(options: &mut OpenOptions) {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
}

/// Has a function called in every child that `fork` makes of this process from now on. It runs between `fork` and its
/// return, and may do what a signal handler may.
pub(crate) fn call_in_children(handler: extern "C" fn()) {
    let handler: unsafe extern "C" fn() = handler;
    // SAFETY: the handler is a function without arguments that lives as long as the program. Without memory for the
    // entry nothing is called, and children are not noticed.
    unsafe { libc::pthread_atfork(None, None, Some(handler)) };
}

/// What distinguishes a file from one that takes its name.
pub(crate) fn file_number(_file: &File, metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// The same of whatever is at `path`.
pub(crate) fn file_number_at(_path: &Path, metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// Whether the time at which a file was made belongs to the file, not to its name.
pub(crate) const KEEPS_CREATION_TIMES: bool = true;

/// The device that whatever is at `path` is on, and its number there.
#[allow(clippy::unnecessary_wraps, reason = "other systems do not always tell")]
pub(crate) fn device_and_number_at(_path: &Path, metadata: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

pub(crate) fn read_at(file: &File, to: &mut [u8], position: u64) -> io::Result<usize> {
    file.read_at(to, position)
}

pub(crate) fn write_at(file: &File, bytes: &[u8], position: u64) -> io::Result<usize> {
    file.write_at(bytes, position)
}

/// Whether a map of a file keeps it from being trimmed, renamed or removed.
pub(crate) const MAPS_PIN_FILES: bool = cfg!(held_files);
/// Whether a directory can be renamed while files in it are open.
pub(crate) const MOVES_OPEN_DIRECTORIES: bool = !cfg!(held_files);
/// Whether a file that is removed while it is open keeps its name until it is closed.
pub(crate) const KEEPS_REMOVED_NAMES: bool = cfg!(held_files);
/// Whether some names mean devices wherever they are.
pub(crate) const HAS_DEVICE_NAMES: bool = false;

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// How many names a file has.
pub(crate) fn names_of(_file: &File, metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

/// Makes an empty file share the blocks of another one. The first of the two that is written to gets blocks of its own.
/// Fails where the file system cannot, with whatever it says then.
#[cfg(target_os = "linux")]
pub(crate) fn share_blocks(from: &File, to: &File) -> io::Result<()> {
    // SAFETY: both descriptors are open; the call touches no memory of ours.
    let outcome = unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn share_blocks(_from: &File, _to: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Data and length of a file on disk.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// The standard library asks for `F_FULLFSYNC`, which a network's or a foreign file system may not know; there a plain
/// `fsync` is all that can be had.
#[cfg(target_vendor = "apple")]
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    let Err(failure) = file.sync_data() else { return Ok(()) };
    if !matches!(failure.raw_os_error(), Some(libc::ENOTSUP | libc::ENOTTY | libc::EINVAL)) {
        return Err(failure);
    }
    // SAFETY: the descriptor is open; the call touches no memory of ours.
    if unsafe { libc::fsync(file.as_raw_fd()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a directory is synced by.
pub(crate) type DirectoryHandle = File;

pub(crate) fn open_directory(directory: &Path) -> io::Result<DirectoryHandle> {
    File::open(directory)
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn sync_directory(directory: &DirectoryHandle) -> io::Result<()> {
    directory.sync_all()
}

#[cfg(target_vendor = "apple")]
pub(crate) fn sync_directory(directory: &DirectoryHandle) -> io::Result<()> {
    sync_file(directory)
}

/// Takes the whole file exclusively, in the kind of lock that conflicts with the JVM's and with a second open in this
/// process. `false`: another process has it.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    let request = whole_file(libc::F_WRLCK);
    // SAFETY: the descriptor is open, and `request` is a valid `flock` that outlives the call.
    let outcome = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const request) };
    if outcome == 0 {
        return Ok(true);
    }
    let failure = io::Error::last_os_error();
    match failure.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(failure),
    }
}

/// Releases the lock, also where other processes hold copies of the descriptor.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn unlock(file: &File) {
    let request = whole_file(libc::F_UNLCK);
    // SAFETY: the descriptor is open, and `request` is a valid `flock` that outlives the call.
    let _ = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const request) };
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn whole_file(kind: impl TryInto<libc::c_short>) -> libc::flock {
    // SAFETY: `flock` is plain data, for which all zeros is a valid value: from the start, to the end of the file.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = kind.try_into().unwrap_or_default();
    request.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    request
}

/// Without open-file-description locks the lock of the standard library must do: it does not exclude a broker.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(failure)) => Err(failure),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn unlock(file: &File) {
    let _ = file.unlock();
}

/// The process that holds the lock of `file`. A broker's kind of lock reports its owner; an open-file-description lock
/// has no owner but a descriptor, which the process file system shows.
#[cfg(target_os = "linux")]
pub(crate) fn lock_holder(file: &File, path: &Path) -> Option<u32> {
    let mut request = whole_file(libc::F_WRLCK);
    // SAFETY: the descriptor is open, and `request` is a valid `flock` that the call may write to.
    let outcome = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut request) };
    if outcome == 0
        && let Ok(process) = u32::try_from(request.l_pid)
        && process > 0
    {
        return Some(process);
    }
    let holds = |process: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"));
        descriptors.into_iter().flatten().flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| target == path)
                && fs::read_to_string(format!(
                    "/proc/{process}/fdinfo/{}",
                    descriptor.file_name().to_string_lossy()
                ))
                .is_ok_and(|info| info.contains("lock:") && info.contains("OFDLCK"))
        })
    };
    let all = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let holders: Vec<u32> = all.filter(holds).collect();
    first_holder(&holders, |process| {
        let about = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name comes before, in brackets, and may hold anything.
        about.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
    })
}

/// The one that has the descriptor of its own: a child has its parent's until it becomes another program.
#[cfg(target_os = "linux")]
pub(crate) fn first_holder(holders: &[u32], parent_of: impl Fn(u32) -> Option<u32>) -> Option<u32> {
    let is_own = |process: &&u32| parent_of(**process).is_some_and(|parent| !holders.contains(&parent));
    holders.iter().find(is_own).or(holders.first()).copied()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn lock_holder(_file: &File, _path: &Path) -> Option<u32> {
    None
}

/// Maps of files there are free of signals while the disk fills up, and can be stored into. Measured for these file
/// systems; everywhere else, XFS with reflink included, files are read and written by system calls.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(held_files)))]
pub(crate) fn safe_ways_on(directory: &Path) -> SafeWays {
    const EXT4: u64 = 0xef53;
    const XFS: u64 = 0x5846_5342;
    const TMPFS: u64 = 0x0102_1994;
    let Ok(directory) = File::open(directory) else { return SafeWays::PLAIN };
    // SAFETY: `statfs` is plain data, for which all zeros is a valid value.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `about` is a valid `statfs` that the call may write to.
    let outcome = unsafe { libc::fstatfs(directory.as_raw_fd(), &raw mut about) };
    let safe = match u64::try_from(about.f_type) {
        Ok(EXT4 | TMPFS) => outcome == 0,
        Ok(XFS) => outcome == 0 && !may_share_blocks(&directory),
        _ => false,
    };
    SafeWays { map_writes: safe, map_reads: safe }
}

/// Whether files of an XFS can share blocks (`reflink=1`, the default of `mkfs.xfs`). A store into a shared page needs a new
/// block, and where there is none it is a signal. An XFS that does not answer counts as one.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(held_files)))]
fn may_share_blocks(directory: &File) -> bool {
    /// `XFS_IOC_FSGEOMETRY_V1`: reads 112 bytes. Where ioctl numbers are built in another way the kernel knows no such one.
    const GEOMETRY: libc::Ioctl = 0x8070_5864_u32 as libc::Ioctl;
    const WORDS: usize = 28;
    const FLAGS: usize = 23;
    const REFLINK: u32 = 1 << 20;
    let mut geometry = [0_u64; WORDS / 2];
    // SAFETY: the descriptor is open, and the call writes 112 aligned bytes, which `geometry` has.
    let outcome = unsafe { libc::ioctl(directory.as_raw_fd(), GEOMETRY, geometry.as_mut_ptr()) };
    let bytes = geometry.map(u64::to_ne_bytes);
    let flags = bytes.as_flattened().as_chunks().0.get(FLAGS).map(|flags| u32::from_ne_bytes(*flags));
    outcome != 0 || flags.is_none_or(|flags| flags & REFLINK != 0)
}

/// Finished files of the system's own file systems are mapped for reading. Nothing is stored through maps: there is no
/// way to make pages ready in which a full disk is an error and not a signal.
#[cfg(all(target_vendor = "apple", target_pointer_width = "64"))]
pub(crate) fn safe_ways_on(directory: &Path) -> SafeWays {
    let Ok(directory) = File::open(directory) else { return SafeWays::PLAIN };
    // SAFETY: `statfs` is plain data, for which all zeros is a valid value.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `about` is a valid `statfs` that the call may write to.
    let outcome = unsafe { libc::fstatfs(directory.as_raw_fd(), &raw mut about) };
    let name = about.f_fstypename.iter().take_while(|c| **c != 0).filter_map(|c| u8::try_from(*c).ok());
    let name: Vec<u8> = name.collect();
    SafeWays { map_writes: false, map_reads: outcome == 0 && [&b"apfs"[..], b"hfs"].contains(&&name[..]) }
}

#[cfg(any(
    not(all(any(target_os = "linux", target_vendor = "apple"), target_pointer_width = "64")),
    held_files
))]
pub(crate) fn safe_ways_on(_directory: &Path) -> SafeWays {
    SafeWays::PLAIN
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn allocate(file: &File, from: u64, to: u64) -> io::Result<()> {
    let position = |at: u64| libc::off64_t::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge);
    let (start, length) = (position(from)?, position(to.saturating_sub(from))?);
    // SAFETY: the descriptor is open; the call touches no memory of ours.
    if length == 0 || unsafe { libc::fallocate64(file.as_raw_fd(), 0, start, length) } == 0 {
        return Ok(());
    }
    let failure = io::Error::last_os_error();
    // Kernels and file systems without it say so in two ways.
    match failure.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(failure),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn allocate(_file: &File, _from: u64, _to: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn populate(raw: &MmapRaw, start: u64, end: u64, advice: memmap2::Advice) -> io::Result<()> {
    const PAGE: u64 = 4096;
    let start = start / PAGE * PAGE;
    let length = end.min(raw.len() as u64).saturating_sub(start);
    let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(length)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if length == 0 { Ok(()) } else { raw.advise_range(advice, start, length) }
}

/// Brings pages in for reading; a file cut by another program, or a device that fails, is an error here instead of a
/// signal at the first touch. Kernels before 5.14 cannot: there a touch brings them in.
#[cfg(target_os = "linux")]
pub(crate) fn populate_for_reading(raw: &MmapRaw, start: u64, end: u64) -> io::Result<()> {
    match populate(raw, start, end, memmap2::Advice::PopulateRead) {
        Err(failure) if failure.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn populate_for_reading(_raw: &MmapRaw, _start: u64, _end: u64) -> io::Result<()> {
    Ok(())
}

/// Makes allocated pages present and writable without changing them.
#[cfg(target_os = "linux")]
pub(crate) fn populate_for_writing(raw: &MmapRaw, start: u64, end: u64) -> io::Result<()> {
    populate(raw, start, end, memmap2::Advice::PopulateWrite)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn populate_for_writing(_raw: &MmapRaw, _start: u64, _end: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Page sizes divide this.
#[cfg(target_os = "linux")]
const MAX_PAGE: u64 = 64 << 10;

/// Takes pages of a file's shared map out of it, as far as they lie wholly in the range. They stay in the page cache, and an
/// access maps them again. Returns the end of what was taken out.
#[cfg(target_os = "linux")]
pub(crate) fn unmap_pages(raw: &MmapRaw, from: u64, to: u64) -> io::Result<u64> {
    let (start, end) = (from.next_multiple_of(MAX_PAGE), to.min(raw.len() as u64) / MAX_PAGE * MAX_PAGE);
    if start >= end {
        return Ok(from);
    }
    let (Ok(at), Ok(length)) = (usize::try_from(start), usize::try_from(end - start)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: the range is inside the map, and the map is a shared one of a file: the bytes in memory are those of the page
    // cache before and after, whatever has become of the file's name, so references to them stay valid and see nothing
    // change. A store that comes meanwhile is in the page cache too. The kernel may take pages out at any time by itself;
    // what a file that another program cuts, or a device that fails, makes of an access is the same after this call.
    unsafe { raw.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, at, length)? };
    Ok(end)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unmap_pages(_raw: &MmapRaw, from: u64, _to: u64) -> io::Result<u64> {
    Ok(from)
}

/// Whether processes can share words through a mapped file and wake each other at them.
pub(crate) const SHARES_MEMORY: bool =
    cfg!(all(target_os = "linux", target_pointer_width = "64", not(held_files)));

/// Whether a lock on the file is held through another descriptor, here or in another process.
#[cfg(target_os = "linux")]
pub(crate) fn is_locked_elsewhere(file: &File) -> bool {
    let mut request = whole_file(libc::F_WRLCK);
    // SAFETY: the descriptor is open, and `request` is a valid `flock` that the call may write to.
    let outcome = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut request) };
    outcome == 0 && i32::from(request.l_type) != libc::F_UNLCK
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_locked_elsewhere(_file: &File) -> bool {
    false
}

#[cfg(target_os = "linux")]
pub(crate) fn futex_wait(word: &std::sync::atomic::AtomicU32, seen: u32, timeout: std::time::Duration) {
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        #[allow(
            clippy::cast_lossless,
            clippy::cast_possible_wrap,
            reason = "less than a thousand million; how wide the field is differs from system to system"
        )]
        tv_nsec: timeout.subsec_nanos() as _,
    };
    // SAFETY: `word` is four aligned bytes that live through the call, `timeout` is valid and only read. Whatever ends
    // the wait, the caller looks again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen, &raw const timeout) };
}

#[cfg(target_os = "linux")]
pub(crate) fn futex_wake(word: &std::sync::atomic::AtomicU32) {
    // SAFETY: `word` is four aligned bytes that live through the call, which does not touch them.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn futex_wait(_word: &std::sync::atomic::AtomicU32, _seen: u32, timeout: std::time::Duration) {
    std::thread::park_timeout(timeout);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn futex_wake(_word: &std::sync::atomic::AtomicU32) {}

/// Runs `act` in a child made by `fork`, waits for it and reports what it panicked with.
#[cfg(test)]
pub(crate) fn in_child(act: impl FnOnce()) -> Result<(), String> {
    use std::io::{Read, Write};
    let (mut reported, mut tell) = io::pipe().map_err(|e| e.to_string())?;
    // SAFETY: the child runs in a copy of this process with this thread alone. A lock of the allocator is handled by the
    // C library; whatever else it may wait for, the alarm ends it.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: neither call touches memory of ours.
        unsafe { libc::alarm(60) };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        let words = outcome.err().map(|cause| {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            text.or(cause.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
        });
        let _ = tell.write_all(words.as_ref().map_or(&b"done"[..], |words| words.as_bytes()));
        // SAFETY: as above; nothing of the parent's is torn down.
        unsafe { libc::_exit(0) };
    }
    drop(tell);
    let mut words = String::new();
    reported.read_to_string(&mut words).map_err(|e| e.to_string())?;
    let mut status = 0;
    // SAFETY: `status` is an integer that lives through the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    if words == "done" { Ok(()) } else { Err(format!("status {status}: {words}")) }
}
