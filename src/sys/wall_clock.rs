//! The time of day in milliseconds, mostly without asking the system.
//!
//! Where Linux itself keeps the time by the counter of an x86-64 processor, a reading of the clock holds until, by the counter,
//! the next millisecond may have begun. Readings are a thread's own. The result is never less than what the clock showed before
//! the call, unless the clock is set forward: then it may be the time before for a millisecond.

use crate::clock::SystemTimeSource;

/// The system's time as this processor makes it cheapest.
pub(crate) fn source() -> SystemTimeSource {
    counter::source().unwrap_or_default()
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", not(miri))))]
mod counter {
    pub(super) fn source() -> Option<super::SystemTimeSource> {
        None
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
mod counter {
    use std::cell::Cell;
    use std::fs;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    use crate::clock::{SystemTimeSource, Timestamp};

    /// What the counters of two processors may differ by, and by how much a reading of one may be early.
    const SLACK_MICROS: u32 = 5;
    /// The time over which the pace of the counter is measured, at least.
    const MEASURED_MICROS: u64 = 10_000;
    /// Two readings of the counter that lie so far apart were interrupted.
    const INTERRUPTED: u64 = 10_000;
    /// The clock may be up to 500 millionths faster than the counter, and the measurement is not exact.
    const PERCENT: u64 = 98;

    /// The milliseconds that hold for so many ticks of the counter from one of its values on.
    #[derive(Debug, Clone, Copy)]
    struct Reading {
        from: u64,
        ticks: u64,
        millis: i64,
    }

    /// The counter and the time at one moment.
    #[derive(Debug, Clone, Copy)]
    struct Sample {
        counter: u64,
        at: Instant,
    }

    thread_local! {
        static READING: Cell<Reading> = const { Cell::new(Reading { from: 0, ticks: 0, millis: 0 }) };
    }

    /// Ticks a microsecond, at least. 0: not known.
    static PACE: AtomicU64 = AtomicU64::new(0);

    /// `None`: the counter does not count time.
    pub(super) fn source() -> Option<SystemTimeSource> {
        counts_time().then_some(SystemTimeSource { unix_millis, is_read_seldom: true })
    }

    /// Milliseconds since 1970, which may be before it.
    fn unix_millis() -> i64 {
        let reading = READING.get();
        // A counter that was set back is far from there too.
        if now().wrapping_sub(reading.from) < reading.ticks { reading.millis } else { read_anew() }
    }

    #[inline(always)]
    fn now() -> u64 {
        // SAFETY: every x86-64 processor has this instruction, and Linux lets programs use it unless they forbid it themselves.
        unsafe { std::arch::x86_64::_rdtsc() }
    }

    #[cold]
    fn read_anew() -> i64 {
        // Before the clock is read, so that the clock is not further from the next millisecond at this value than it showed.
        let from = now();
        let time = SystemTime::now();
        let millis = Timestamp::from(time).as_millis();
        let since = time.duration_since(UNIX_EPOCH);
        let ticks = since.map_or(0, |since| ticks_left(since.subsec_micros() % 1000, pace()));
        READING.set(Reading { from, ticks, millis });
        millis
    }

    /// For how many ticks a millisecond of which so much has passed lasts, at least.
    pub(super) fn ticks_left(micros: u32, pace: u64) -> u64 {
        u64::from(1000_u32.saturating_sub(micros + 1 + SLACK_MICROS)) * pace
    }

    /// Ticks a microsecond, at least; 0 as long as that is not known, or if the counter does not count time.
    fn pace() -> u64 {
        static FIRST: OnceLock<Option<Sample>> = OnceLock::new();
        let known = PACE.load(Ordering::Relaxed);
        if known > 0 {
            return known;
        }
        let first = FIRST.get_or_init(|| counts_time().then(Sample::take).flatten());
        let Some(first) = first else { return 0 };
        let micros = u64::try_from(first.at.elapsed().as_micros()).unwrap_or(u64::MAX);
        if micros < MEASURED_MICROS {
            return 0;
        }
        let measured = Sample::take().map_or(0, |later| first.pace_to(&later));
        PACE.store(measured, Ordering::Relaxed);
        measured
    }

    /// Whether the system goes by the counter itself: it has found that the counter neither stops nor changes its pace, and is the
    /// same on all processors.
    fn counts_time() -> bool {
        static IS_SOURCE: OnceLock<bool> = OnceLock::new();
        *IS_SOURCE.get_or_init(|| {
            let source =
                fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
            source.is_ok_and(|source| source.trim_end() == "tsc")
        })
    }

    impl Sample {
        /// `None`: interrupted again and again.
        fn take() -> Option<Self> {
            (0..4).find_map(|_| {
                let (before, at) = (now(), Instant::now());
                (now().wrapping_sub(before) < INTERRUPTED).then_some(Self { counter: before, at })
            })
        }

        fn pace_to(&self, later: &Self) -> u64 {
            let micros = later.at.duration_since(self.at).as_micros();
            let ticks = later.counter.saturating_sub(self.counter);
            let pace = u128::from(ticks) * u128::from(PERCENT) / 100 / micros.max(1);
            u64::try_from(pace).unwrap_or(0)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn it_is_between_what_the_clock_shows_before_and_after() {
        let threads = [(); 3].map(|()| {
            std::thread::spawn(|| {
                for _ in 0..if cfg!(miri) { 100 } else { 500_000 } {
                    let before = Timestamp::from(SystemTime::now()).as_millis();
                    let between = (source().unix_millis)();
                    let after = Timestamp::from(SystemTime::now()).as_millis();
                    // If the clock is set meanwhile it proves nothing.
                    assert!(
                        before <= between && between <= after || after < before,
                        "{before} {between} {after}"
                    );
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
    #[test]
    fn a_reading_holds_for_what_is_left_of_its_millisecond() {
        assert_eq!(counter::ticks_left(0, 100), 99_400);
        assert_eq!(counter::ticks_left(993, 100), 100);
        for micros in [994, 995, 999, 1000] {
            assert_eq!(counter::ticks_left(micros, 100), 0, "{micros}");
        }
        assert_eq!(counter::ticks_left(0, 0), 0, "of a counter without a pace");
    }
}
