//! How a consumer of a log that is only read learns what another process has appended.
//!
//! Nobody publishes anything to it, so it looks by itself: before each fetch in partitions where it has read
//! everything, and while it waits, closely at first and then once in a while.

use std::time::{Duration, Instant};

use super::Consumer;
use crate::config::WaitStrategy;
use crate::error::Result;

/// Looks in a row before a consumer that may spin goes to sleep.
const LOOKS_BEFORE_SLEEPING: u32 = 16;
/// How long it sleeps between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

impl Consumer {
    /// Looks for more where everything known was read.
    pub(super) fn look_further(&self) -> Result<()> {
        if self.directory.is_read_only() {
            self.directory.look_around_at_times()?;
            for one in &self.assigned {
                if !one.paused && !one.cursor.may_have_data() {
                    one.cursor.log().refresh()?;
                }
            }
        }
        Ok(())
    }

    /// Waits until there may be records or something to tell. `false`: the deadline has passed or a waker was used.
    pub(super) fn wait_for_others(&self, deadline: Option<Instant>) -> bool {
        let looks = match self.config.wait {
            WaitStrategy::Spin => u32::MAX,
            WaitStrategy::SpinThenPark => LOOKS_BEFORE_SLEEPING,
            WaitStrategy::Park => 1,
        };
        let mut look = 0;
        loop {
            if self.wake.take() {
                return false;
            }
            // What keeps it from looking is for the next fetch to tell.
            if self.look_further().is_err() || self.may_have_data() {
                return true;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return false;
            }
            look = if looks == u32::MAX { 0 } else { look + 1 };
            if look >= looks {
                let next = now + BETWEEN_LOOKS;
                self.wake.park(deadline.map_or(next, |deadline| deadline.min(next)));
            }
        }
    }
}
