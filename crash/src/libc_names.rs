//! libc's names, defined in this program: whatever the library or the standard library asks of files passes through here,
//! also where it passes the library's own seam by.
//!
//! The real calls are made by number, so nothing here ends in itself. `check` finds names that are missing here.

use std::ffi::{c_char, c_int, c_long, c_void};

use libc::{mode_t, off64_t, size_t, ssize_t};

use crate::disk;
use crate::faults::Kind;
use crate::interpose::{
    FileName, call, drawn, failing, libcs, naming, opening, reading, refused, syncing, watch, writing,
};
use crate::random::Random;

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opening(libc::AT_FDCWD, path, flags, mode)
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opening(libc::AT_FDCWD, path, flags, mode)
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    opening(directory, path, flags, mode)
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(descriptor: c_int, from: *const c_void, length: size_t) -> ssize_t {
    // SAFETY: the arguments are the caller's, but for a length that is smaller.
    writing(descriptor, length, |length| unsafe { libc::syscall(libc::SYS_write, descriptor, from, length) })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    descriptor: c_int,
    from: *const c_void,
    length: size_t,
    at: off64_t,
) -> ssize_t {
    // SAFETY: the arguments are the caller's, but for a length that is smaller.
    writing(descriptor, length, |length| unsafe {
        libc::syscall(libc::SYS_pwrite64, descriptor, from, length, at)
    })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(descriptor: c_int, to: *mut c_void, length: size_t) -> ssize_t {
    // SAFETY: the arguments are the caller's, but for a length that is smaller.
    reading(descriptor, length, |length| unsafe { libc::syscall(libc::SYS_read, descriptor, to, length) })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(descriptor: c_int, to: *mut c_void, length: size_t, at: off64_t) -> ssize_t {
    // SAFETY: the arguments are the caller's, but for a length that is smaller.
    reading(descriptor, length, |length| unsafe {
        libc::syscall(libc::SYS_pread64, descriptor, to, length, at)
    })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(descriptor: c_int) -> c_int {
    syncing(libc::SYS_fsync, descriptor)
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    syncing(libc::SYS_fdatasync, descriptor)
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msync(at: *mut c_void, length: size_t, flags: c_int) -> c_int {
    // SAFETY: the arguments are the caller's. It is not counted as a sync: the library promises nothing by it.
    unsafe { libc::syscall(libc::SYS_msync, at, length, flags) as c_int }
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(descriptor: c_int, length: off64_t) -> c_int {
    watch(|| disk::before_write(descriptor));
    let outcome = call(Kind::Truncate, FileName::Descriptor(descriptor), || {
        // SAFETY: the call touches no memory.
        unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) }
    });
    watch(|| disk::point("truncate"));
    outcome as c_int
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(
    descriptor: c_int,
    mode: c_int,
    from: off64_t,
    length: off64_t,
) -> c_int {
    watch(|| disk::before_write(descriptor));
    let outcome = call(Kind::Allocate, FileName::Descriptor(descriptor), || {
        // SAFETY: the call touches no memory.
        unsafe { libc::syscall(libc::SYS_fallocate, descriptor, mode, from, length) }
    });
    watch(|| disk::point("allocate"));
    outcome as c_int
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let places = [FileName::Path(from), FileName::Path(to)];
    // SAFETY: the arguments are the caller's.
    naming(Kind::Rename, "rename", &places, || unsafe { libc::syscall(libc::SYS_rename, from, to) })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linkat(
    of: c_int,
    from: *const c_char,
    directory: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    naming(Kind::Create, "linkat", &[FileName::At(directory, to)], || {
        // SAFETY: the arguments are the caller's.
        unsafe { libc::syscall(libc::SYS_linkat, of, from, directory, to, flags) }
    })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the argument is the caller's.
    naming(Kind::Remove, "unlink", &[FileName::Path(path)], || unsafe {
        libc::syscall(libc::SYS_unlink, path)
    })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the argument is the caller's.
    naming(Kind::Remove, "rmdir", &[FileName::Path(path)], || unsafe { libc::syscall(libc::SYS_rmdir, path) })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    naming(Kind::Remove, "unlinkat", &[FileName::At(directory, path)], || {
        // SAFETY: the arguments are the caller's.
        unsafe { libc::syscall(libc::SYS_unlinkat, directory, path, flags) }
    })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    naming(Kind::MakeDirectory, "mkdir", &[FileName::Path(path)], || {
        // SAFETY: the arguments are the caller's.
        unsafe { libc::syscall(libc::SYS_mkdir, path, c_long::from(mode)) }
    })
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    at: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: off64_t,
) -> *mut c_void {
    let real =
        // SAFETY: the arguments are the caller's.
        || unsafe { libc::syscall(libc::SYS_mmap, at, length, protection, flags, descriptor, offset) };
    let mapped =
        if descriptor >= 0 { call(Kind::Map, FileName::Descriptor(descriptor), real) } else { real() };
    mapped as *mut c_void
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    at: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: off64_t,
) -> *mut c_void {
    // SAFETY: the same function on systems with 64 bits.
    unsafe { mmap64(at, length, protection, flags, descriptor, offset) }
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn madvise(at: *mut c_void, length: size_t, advice: c_int) -> c_int {
    // SAFETY: the arguments are the caller's.
    let real = || unsafe { libc::syscall(libc::SYS_madvise, at, length, advice) };
    let populates = [libc::MADV_POPULATE_READ, libc::MADV_POPULATE_WRITE].contains(&advice);
    (if populates { call(Kind::Populate, FileName::Nowhere, real) } else { real() }) as c_int
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mask: libc::c_uint,
    to: *mut libc::statx,
) -> c_int {
    // SAFETY: the standard library asks for support with null pointers; other strings end in a zero.
    let is_empty = path.is_null() || unsafe { *path } == 0;
    let place = if is_empty { FileName::Descriptor(directory) } else { FileName::At(directory, path) };
    let real =
        // SAFETY: the arguments are the caller's.
        || unsafe { libc::syscall(libc::SYS_statx, directory, path, flags, mask, to) };
    call(Kind::Look, place, real) as c_int
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(to: *mut c_void, length: size_t, _flags: libc::c_uint) -> ssize_t {
    // SAFETY: the caller gives so many bytes to write to.
    let bytes = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), length) };
    for part in bytes.chunks_mut(6) {
        let drawn = Random::new(drawn()).number().to_le_bytes();
        part.copy_from_slice(&drawn[..part.len()]);
    }
    length as ssize_t
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(path: *const c_char) -> *mut libc::DIR {
    if let Some(failure) = failing(Kind::List, FileName::Path(path)) {
        refused(failure);
        return std::ptr::null_mut();
    }
    type Opendir = unsafe extern "C" fn(*const c_char) -> *mut libc::DIR;
    // SAFETY: libc has this function, of this type, and the argument is the caller's.
    unsafe { std::mem::transmute::<*mut c_void, Opendir>(libcs(c"opendir"))(path) }
}

/// # Safety
/// As for the function of this name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readdir64(directory: *mut libc::DIR) -> *mut libc::dirent64 {
    // SAFETY: the argument is the caller's.
    let descriptor = unsafe { libc::dirfd(directory) };
    if let Some(failure) = failing(Kind::List, FileName::Descriptor(descriptor)) {
        refused(failure);
        return std::ptr::null_mut();
    }
    type Readdir = unsafe extern "C" fn(*mut libc::DIR) -> *mut libc::dirent64;
    // SAFETY: libc has this function, of this type, and the argument is the caller's.
    unsafe { std::mem::transmute::<*mut c_void, Readdir>(libcs(c"readdir64"))(directory) }
}
