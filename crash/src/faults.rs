//! System calls that fail on purpose: which, from which on, how often, and with what.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::interpose::unseen;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    Open,
    Create,
    Write,
    Read,
    Sync,
    DirectorySync,
    Rename,
    Remove,
    MakeDirectory,
    Truncate,
    Allocate,
    Map,
    Populate,
    Look,
    List,
}

use Kind::{
    Allocate, Create, DirectorySync, List, Look, MakeDirectory, Map, Open, Populate, Read, Remove, Rename,
    Sync, Truncate, Write,
};

pub const KINDS: [Kind; 15] = [
    Open,
    Create,
    Write,
    Read,
    Sync,
    DirectorySync,
    Rename,
    Remove,
    MakeDirectory,
    Truncate,
    Allocate,
    Map,
    Populate,
    Look,
    List,
];

impl Kind {
    /// The kinds after whose failure it is unknown what is on the disk.
    pub fn may_poison(self) -> bool {
        matches!(self, Write | Sync | DirectorySync)
    }

    /// Whether a call of this kind names the file that it is about. The others cannot be kept to one partition.
    pub fn has_a_place(self) -> bool {
        self != Populate
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Errno(i32),
    /// The call does half of what it was asked to and says so.
    Short,
}

/// Failures with their names and the kinds of calls that the system lets end so.
pub const FAILURES: [(&str, Failure, &[Kind]); 10] = [
    ("EIO", Failure::Errno(libc::EIO), &KINDS),
    (
        "ENOSPC",
        Failure::Errno(libc::ENOSPC),
        &[Create, Write, Sync, DirectorySync, Rename, MakeDirectory, Allocate],
    ),
    ("EDQUOT", Failure::Errno(libc::EDQUOT), &[Create, Write, Sync, Rename, MakeDirectory, Allocate]),
    ("EMFILE", Failure::Errno(libc::EMFILE), &[Open, Create, List]),
    ("ENFILE", Failure::Errno(libc::ENFILE), &[Open, Create, List, Map]),
    ("EACCES", Failure::Errno(libc::EACCES), &[Open, Create, Rename, Remove, MakeDirectory, Look, List]),
    ("EROFS", Failure::Errno(libc::EROFS), &[Create, Rename, Remove, MakeDirectory]),
    (
        "EINTR",
        Failure::Errno(libc::EINTR),
        &[Open, Create, Write, Read, Sync, DirectorySync, Truncate, Allocate],
    ),
    (
        "ENOMEM",
        Failure::Errno(libc::ENOMEM),
        &[Open, Create, Map, Populate, Look, List, Rename, MakeDirectory],
    ),
    ("short", Failure::Short, &[Write, Read]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    Once,
    Times(u64),
    /// Until it is healed.
    Lasting,
}

pub const PATTERNS: [Pattern; 3] = [Pattern::Once, Pattern::Times(3), Pattern::Lasting];

#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub failure: Failure,
    pub pattern: Pattern,
    /// How many calls of the kind succeed before.
    pub skip: u64,
}

struct Plan {
    within: PathBuf,
    fault: Option<Fault>,
    seen: [u64; KINDS.len()],
    struck: u64,
}

static ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: Mutex<Plan> =
    Mutex::new(Plan { within: PathBuf::new(), fault: None, seen: [0; KINDS.len()], struck: 0 });

fn plan() -> MutexGuard<'static, Plan> {
    PLAN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the calls about files below `within` from here on, and fails those that the fault is about.
pub fn arm(within: &Path, fault: Option<Fault>) {
    unseen(|| {
        *plan() = Plan { within: within.to_owned(), fault, seen: [0; KINDS.len()], struck: 0 };
        ARMED.store(true, Ordering::SeqCst);
    });
}

/// No more calls fail, and none are counted.
pub fn heal() {
    ARMED.store(false, Ordering::SeqCst);
}

/// No call fails, and none is counted, while it runs.
pub fn spared<T>(act: impl FnOnce() -> T) -> T {
    let before = ARMED.swap(false, Ordering::SeqCst);
    let outcome = act();
    ARMED.store(before, Ordering::SeqCst);
    outcome
}

/// How many calls have failed since the last `arm`.
pub fn struck() -> u64 {
    unseen(|| plan().struck)
}

/// How many calls of each kind have been seen since the last `arm`.
pub fn seen() -> [u64; KINDS.len()] {
    unseen(|| plan().seen)
}

/// Asked before each call. `place` is where the file is, if the call says so.
pub fn strike(kind: Kind, place: impl FnOnce() -> Option<PathBuf>) -> Option<Failure> {
    if !ARMED.load(Ordering::Relaxed) {
        return None;
    }
    unseen(|| {
        if kind.has_a_place() && !place()?.starts_with(&plan().within) {
            return None;
        }
        let mut plan = plan();
        let number = plan.seen[kind as usize];
        plan.seen[kind as usize] += 1;
        let fault = plan.fault.filter(|fault| fault.kind == kind && number >= fault.skip)?;
        let strikes = match fault.pattern {
            Pattern::Once => number == fault.skip,
            Pattern::Times(times) => number < fault.skip + times,
            Pattern::Lasting => true,
        };
        plan.struck += u64::from(strikes);
        strikes.then_some(fault.failure)
    })
}
