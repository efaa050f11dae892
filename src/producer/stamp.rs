//! The time of records in a row.

use std::time::Duration;

use crate::clock::{LogClock, Timestamp};

/// The time of a record is that of its enqueuing where the processor has a counter that says whether a reading of the clock still holds.
///
/// Elsewhere the clock is read for the first record of a batch and then as often as the time changes by a millisecond, at least
/// every 64th record. When a batch is written the time is forgotten, so that no record's is older than the linger; if that is long,
/// or if no thread writes what has lingered, the clock is read for every record. A clock of the user's always is.
#[derive(Debug)]
pub(super) struct Stamp {
    now: Timestamp,
    left: u32,
    stride: u32,
    longest_stride: u32,
}

impl Stamp {
    const MAX_STRIDE: u32 = 64;
    const LONG_LINGER: Duration = Duration::from_millis(20);

    /// For batches that a thread writes when they have lingered so long. `None`: no thread does.
    pub(super) fn new(linger: Option<Duration>, clock: &LogClock) -> Self {
        let is_short = linger.is_some_and(|linger| linger <= Self::LONG_LINGER);
        let may_repeat = is_short && clock.is_system() && !clock.is_read_seldom();
        let longest_stride = if may_repeat { Self::MAX_STRIDE } else { 1 };
        Self { now: Timestamp::from_millis(-1), left: 0, stride: 1, longest_stride }
    }

    /// The next record's time is read from the clock.
    pub(super) fn forget(&mut self) {
        self.left = 0;
        self.stride = 1;
    }

    #[inline]
    pub(super) fn take(&mut self, clock: &LogClock) -> Timestamp {
        if self.longest_stride == 1 {
            return clock.now();
        }
        if self.left == 0 {
            let now = clock.now();
            self.stride = if now == self.now { (self.stride * 2).min(self.longest_stride) } else { 1 };
            self.now = now;
            self.left = self.stride;
        }
        self.left -= 1;
        self.now
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{SystemClock, SystemTimeSource};

    #[test]
    fn a_time_is_repeated_only_where_a_thread_forgets_it_soon() {
        let (system, seldom) = (
            SystemTimeSource::default(),
            SystemTimeSource { is_read_seldom: true, ..SystemTimeSource::default() },
        );
        let clock = |system| LogClock::new(None, system);
        let own = LogClock::new(Some(Arc::new(SystemClock)), system);
        let repeats = |linger, clock: &LogClock| Stamp::new(linger, clock).longest_stride > 1;
        let short = Some(Duration::from_millis(5));
        assert!(repeats(short, &clock(system)));
        assert!(!repeats(short, &clock(seldom)));
        assert!(!repeats(short, &own));
        assert!(!repeats(None, &clock(system)));
        assert!(!repeats(Some(Duration::MAX), &clock(system)));
    }
}
