//! Having the processor bring bytes nearer before they are read.

/// Bytes that come at a time.
const LINE: usize = 64;

/// Begins to fetch the two lines that lie `ahead` bytes after the first of `bytes`. Nothing is read, whatever lies there.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8], ahead: usize) {
    let at = bytes.as_ptr().wrapping_add(ahead);
    line(at);
    line(at.wrapping_add(LINE));
}

#[inline(always)]
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: a hint to the processor. It reads nothing, and an address at which there is nothing is no fault.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
}

#[inline(always)]
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn line(_: *const u8) {}
