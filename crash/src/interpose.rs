//! What happens around each call about files: it is recorded (`disk`), may fail (`faults`), or both. `libc_names` sends
//! them here.

use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libc::{mode_t, size_t, ssize_t};

use crate::disk;
use crate::faults::{self, Failure, Kind};

thread_local! { static UNSEEN: Cell<bool> = const { Cell::new(false) }; }

/// What is done inside is neither recorded nor made to fail.
pub fn unseen<T>(act: impl FnOnce() -> T) -> T {
    let _before = Before(UNSEEN.replace(true));
    act()
}

/// What is done inside is seen although it is called by something unseen.
pub fn seen<T>(act: impl FnOnce() -> T) -> T {
    let _before = Before(UNSEEN.replace(false));
    act()
}

/// Restores what was, also when a panic goes through.
struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        UNSEEN.set(self.0);
    }
}

/// How a call names the file that it is about.
#[derive(Clone, Copy)]
pub enum FileName {
    Path(*const c_char),
    At(c_int, *const c_char),
    Descriptor(c_int),
    Nowhere,
}

impl FileName {
    fn path(self) -> Option<PathBuf> {
        match self {
            Self::Path(name) => {
                // SAFETY: callers of libc pass strings that end in a zero and live through the call.
                let name = unsafe { CStr::from_ptr(name) };
                Some(Path::new(OsStr::from_bytes(name.to_bytes())).into())
            }
            Self::At(libc::AT_FDCWD, name) => Self::Path(name).path(),
            Self::At(directory, name) => {
                Some(Self::Descriptor(directory).path()?.join(Self::Path(name).path()?))
            }
            Self::Descriptor(descriptor) => std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok(),
            Self::Nowhere => None,
        }
    }
}

pub fn errno() -> c_int {
    // SAFETY: the pointer is to this thread's own integer.
    unsafe { *libc::__errno_location() }
}

pub fn set_errno(to: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = to };
}

/// Watches without a trace in `errno`.
pub fn watch(act: impl FnOnce()) {
    if disk::is_recording() && !UNSEEN.get() {
        let before = errno();
        unseen(act);
        set_errno(before);
    }
}

/// The failure that this call is to have.
pub fn failing(kind: Kind, place: FileName) -> Option<Failure> {
    if UNSEEN.get() { None } else { faults::strike(kind, || place.path()) }
}

pub fn refused(failure: Failure) -> c_long {
    set_errno(if let Failure::Errno(number) = failure { number } else { libc::EIO });
    -1
}

pub fn call(kind: Kind, place: FileName, real: impl FnOnce() -> c_long) -> c_long {
    failing(kind, place).map_or_else(|| as_a_quota(real()), refused)
}

static QUOTA: AtomicBool = AtomicBool::new(false);

/// From here on a full disk is one whose quota is used up, or no more.
pub fn answer_as_a_quota(does: bool) {
    QUOTA.store(does, Ordering::Relaxed);
}

fn as_a_quota(outcome: c_long) -> c_long {
    if outcome < 0 && errno() == libc::ENOSPC && QUOTA.load(Ordering::Relaxed) {
        set_errno(libc::EDQUOT);
    }
    outcome
}

/// A call that adds, moves or takes away names.
pub fn naming(kind: Kind, what: &'static str, places: &[FileName], real: impl FnOnce() -> c_long) -> c_int {
    let outcome = call(kind, places[0], real);
    if outcome >= 0 {
        watch(|| disk::names_changed(what, places.iter().filter_map(|place| place.path()).collect()));
    }
    outcome as c_int
}

pub fn opening(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let place = FileName::At(directory, path);
    // SAFETY: the arguments are those that the caller gave to the function of this name.
    let real =
        || unsafe { libc::syscall(libc::SYS_openat, directory, path, flags | libc::O_LARGEFILE, mode) };
    if flags & libc::O_CREAT != 0 {
        naming(Kind::Create, "create", &[place], real)
    } else {
        call(Kind::Open, place, real) as c_int
    }
}

static WRITES: AtomicU64 = AtomicU64::new(0);

/// How many calls have written through here.
pub fn writes() -> u64 {
    WRITES.load(Ordering::Relaxed)
}

/// A failed write may have written something: every other one has written half.
pub fn writing(descriptor: c_int, length: size_t, real: impl Fn(size_t) -> c_long) -> ssize_t {
    let real = |length| {
        WRITES.fetch_add(1, Ordering::Relaxed);
        real(length)
    };
    let failure = failing(Kind::Write, FileName::Descriptor(descriptor));
    watch(|| disk::before_write(descriptor));
    let outcome = match failure {
        None => as_a_quota(real(length)),
        Some(Failure::Short) => real(length.div_ceil(2)),
        Some(failure) => {
            if faults::struck() % 2 == 1 {
                real(length / 2);
            }
            refused(failure)
        }
    };
    watch(|| disk::point("write"));
    outcome as ssize_t
}

pub fn reading(descriptor: c_int, length: size_t, real: impl Fn(size_t) -> c_long) -> ssize_t {
    let outcome = match failing(Kind::Read, FileName::Descriptor(descriptor)) {
        None => real(length),
        Some(Failure::Short) => real(length.div_ceil(2)),
        Some(failure) => refused(failure),
    };
    outcome as ssize_t
}

pub fn syncing(number: c_long, descriptor: c_int) -> c_int {
    let kind = if disk::is_directory(descriptor) { Kind::DirectorySync } else { Kind::Sync };
    if let Some(failure) = failing(kind, FileName::Descriptor(descriptor)) {
        return refused(failure) as c_int;
    }
    // What reaches the disk is what was there when the sync began.
    watch(|| disk::sync_begins(descriptor));
    // SAFETY: the call touches no memory.
    let outcome = unsafe { libc::syscall(number, descriptor) };
    watch(|| disk::sync_ends(descriptor, outcome == 0));
    outcome as c_int
}

static DRAWN: AtomicU64 = AtomicU64::new(0);

/// From here on the system's random bytes are those of the seed, also for ids of topics and the order of hash maps.
pub fn draw_from(seed: u64) {
    DRAWN.store(seed << 32, Ordering::Relaxed);
}

/// What the next draw is made of.
pub fn drawn() -> u64 {
    DRAWN.fetch_add(1, Ordering::Relaxed)
}

/// The function of this name in libc, for calls that are more than a system call.
pub fn libcs(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends in a zero.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}
