//! Time in ticks of the processor, which cost a third of a reading of the system's clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Now, in ticks since some moment.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn ticks() -> u64 {
    #[expect(unsafe_code, reason = "the intrinsic is declared unsafe")]
    // SAFETY: every x86-64 processor has the instruction; it reads a counter and touches no memory.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
}

/// Now, in nanoseconds since the first call.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn ticks() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Nanoseconds of a tick, compared once with the system's clock.
pub(crate) fn nanoseconds_of_a_tick() -> f64 {
    static RATIO: OnceLock<f64> = OnceLock::new();
    *RATIO.get_or_init(|| {
        let (begin, first) = (Instant::now(), ticks());
        while begin.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let passed = begin.elapsed().as_nanos() as f64;
        passed / (ticks() - first) as f64
    })
}

pub(crate) fn nanoseconds(ticks: u64) -> u64 {
    (ticks as f64 * nanoseconds_of_a_tick()) as u64
}

pub(crate) fn seconds(ticks: u64) -> f64 {
    ticks as f64 * nanoseconds_of_a_tick() / 1e9
}

/// So many seconds, in ticks.
pub(crate) fn ticks_of(seconds: f64) -> u64 {
    (seconds * 1e9 / nanoseconds_of_a_tick()) as u64
}
