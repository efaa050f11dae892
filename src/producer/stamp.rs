//! The time of records in a row.

use std::time::Duration;

use crate::clock::{LogClock, Timestamp};

/// The clock is read for the first record of a batch and then as often as the time changes by a millisecond, at least
/// every 64th record; a clock of the user's is read for every record. When a batch is written the time is forgotten, so
/// that no record's is older than the linger; if that is long, the clock is read for every record too.
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

    pub(super) fn new(linger: Duration) -> Self {
        let longest_stride = if linger > Self::LONG_LINGER { 1 } else { Self::MAX_STRIDE };
        Self { now: Timestamp::from_millis(-1), left: 0, stride: 1, longest_stride }
    }

    /// The next record's time is read from the clock.
    pub(super) fn forget(&mut self) {
        self.left = 0;
        self.stride = 1;
    }

    #[inline]
    pub(super) fn take(&mut self, clock: &LogClock) -> Timestamp {
        if self.left == 0 {
            let now = clock.now();
            let slow = now != self.now || !clock.is_system();
            self.stride = if slow { 1 } else { (self.stride * 2).min(self.longest_stride) };
            self.now = now;
            self.left = self.stride;
        }
        self.left -= 1;
        self.now
    }
}
