//! What differs between systems: one file each, the same functions in both.
//!
//! | | Linux, 64 bits | macOS | Windows | elsewhere |
//! |---|---|---|---|---|
//! | write | through maps on ext4, tmpfs and xfs without reflink, else positioned | positioned | positioned | positioned |
//! | read | mapped on the same, else copied | sealed files mapped on apfs and hfs, else copied | copied | copied |
//! | lock | open file description | open file description | `LockFileEx` | Linux: open file description, else `flock` |
//! | file sync | `fdatasync` | `F_FULLFSYNC` | `FlushFileBuffers` | `fdatasync` |
//! | directory sync | `fsync` | `F_FULLFSYNC` | none | `fsync` |

/// The ways to files that raise no signal while a disk fills up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SafeWays {
    pub(crate) map_writes: bool,
    pub(crate) map_reads: bool,
}

impl SafeWays {
    /// System calls only.
    pub(crate) const PLAIN: Self = Self { map_writes: false, map_reads: false };
}

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(not(any(unix, windows)))]
compile_error!("stratalog needs the files and locks of a Unix or of Windows");

#[cfg(not(target_has_atomic = "64"))]
compile_error!("stratalog publishes the end of a log in one 64-bit atomic word, which this target lacks");
