//! How a consumer of a log that is only read learns what another process has appended.
//!
//! No writer of this process publishes to it, so it polls the files: before each fetch in partitions where it has read
//! everything, and while it waits, closely at first and then once in a while.

use std::time::{Duration, Instant};

use super::Consumer;
use super::assigned::Assigned;
use super::waiting::Waited;
use crate::config::WaitStrategy;
use crate::error::Result;
use crate::wait::before_parking;

/// Looks in a row before a consumer that may spin goes to sleep.
const LOOKS_BEFORE_SLEEPING: u32 = 16;
/// How long it sleeps between two polls of the files if it is not woken.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

impl Consumer {
    /// Looks for topics that another process makes, deletes or alters.
    pub(super) fn refresh(&self) -> Result<()> {
        if self.directory.is_read_only() { self.directory.refresh_if_due() } else { Ok(()) }
    }

    /// Looks for more where everything known was read, but for what fails.
    fn refresh_end(&self) -> Result<()> {
        self.refresh()?;
        let mut read = self.assigned.iter().filter(|one| one.is_awake() && !one.trouble.is_known(self.polls));
        read.try_for_each(Assigned::refresh_end)
    }

    /// Waits until there may be records or something to announce.
    pub(super) fn wait_for_others(&self, deadline: Option<Instant>) -> Waited {
        let looks = match self.config.wait {
            WaitStrategy::Spin => u32::MAX,
            WaitStrategy::SpinThenPark => LOOKS_BEFORE_SLEEPING,
            WaitStrategy::Park => 1,
        };
        let mut look = 0;
        loop {
            if self.wake.take() {
                return Waited::Woken;
            }
            // If the look fails, the next fetch returns the error.
            if self.refresh_end().is_err() || self.may_have_data() {
                return Waited::News;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Waited::TooLong;
            }
            look = if looks == u32::MAX { 0 } else { look + 1 };
            if look >= looks {
                self.sleep_until_notified(deadline.map(|deadline| deadline - now));
            }
        }
    }

    /// Sleeps until the writer may have appended something, or for a moment if the writer does not notify.
    fn sleep_until_notified(&self, left: Option<Duration>) {
        let left = left.unwrap_or(Duration::MAX);
        let view = self.directory.watch().and_then(|watch| watch.view());
        let asked = view.as_ref().and_then(|view| {
            let seen = view.seen()?;
            view.ask_for_new_slots();
            let awake = self.assigned.iter().filter(|one| one.is_awake());
            let mut awake = awake.map(|one| one.cursor.log().ask_to_be_woken(view));
            awake.all(|asked| asked).then_some((view, seen))
        });
        let Some((view, seen)) = asked else {
            return self.wake.park(Instant::now() + left.min(BETWEEN_LOOKS));
        };
        before_parking();
        if self.refresh_end().is_ok() && !self.may_have_data() && !self.wake.peek() {
            view.wait(seen, left);
        }
    }
}
