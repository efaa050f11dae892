//! What differs between systems: one file each, the same functions in both.

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
