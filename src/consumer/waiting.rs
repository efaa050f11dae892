//! How a consumer waits for records, and how it is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Consumer;
use super::assigned::Assigned;
use super::subscription::Subscription;
use crate::config::WaitStrategy;
use crate::partition::LiveWatch;
use crate::wait::{Parker, before_parking};

/// Polls between two reads of the clock, and polls before a spinning consumer goes to sleep: some microseconds.
const LOOKS_PER_CLOCK: u32 = 64;
const LOOKS_BEFORE_PARKING: u32 = 2048;
/// How soon a poll that waits looks again whether a partition that failed can be read.
const RETRY: Duration = Duration::from_secs(1);

/// Ends the wait of a consumer, from any thread.
///
/// The wake is remembered: the poll that waits, or else the next one that would, returns early and empty.
#[derive(Debug, Clone)]
pub struct ConsumerWaker {
    woken: Arc<AtomicBool>,
    parker: Parker,
    /// Where the consumer of a log that another process writes may be waiting.
    watch: Option<Arc<LiveWatch>>,
}

/// The consumer's side of its wakers.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// Set by wakers, cleared by the poll that it ends.
    woken: Arc<AtomicBool>,
    parker: Parker,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// There may be records, or something to do.
    News,
    /// A waker was used.
    Woken,
    /// The deadline has passed.
    TooLong,
}

impl ConsumerWaker {
    /// Ends the wait.
    pub fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.parker.wake();
        if let Some(watch) = &self.watch {
            watch.notify();
        }
    }
}

impl Wake {
    pub(super) fn waker(&self, watch: Option<&Arc<LiveWatch>>) -> ConsumerWaker {
        let (woken, parker) = (Arc::clone(&self.woken), self.parker.clone());
        ConsumerWaker { woken, parker, watch: watch.cloned() }
    }

    pub(super) fn take(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::Acquire)
    }
}

impl Consumer {
    /// Waits until there may be records or something to do, or the log is closed.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Waited {
        // Others of the group may have to be checked before, and what fails to be tried again.
        let look = self.subscription.as_ref().and_then(Subscription::next_check);
        let retry = self.has_trouble().then(|| Instant::now() + RETRY);
        let until = deadline.into_iter().chain(look).chain(retry).min();
        let waited = if self.directory.is_read_only() {
            self.wait_for_others(until)
        } else {
            self.wait_for_news(until)
        };
        match waited {
            Waited::TooLong if deadline.is_none_or(|deadline| Instant::now() < deadline) => Waited::News,
            waited => waited,
        }
    }

    fn wait_for_news(&self, deadline: Option<Instant>) -> Waited {
        let looks = match self.config.wait {
            WaitStrategy::Spin => None,
            WaitStrategy::SpinThenPark => Some(LOOKS_BEFORE_PARKING),
            WaitStrategy::Park => Some(1),
        };
        let mut look = 0;
        loop {
            if self.wake.take() {
                return Waited::Woken;
            }
            if self.may_have_data() {
                return Waited::News;
            }
            look += 1;
            if looks.is_some_and(|looks| look >= looks) {
                return self.sleep(deadline);
            }
            if look % LOOKS_PER_CLOCK == 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Waited::TooLong;
            }
            std::hint::spin_loop();
        }
    }

    pub(super) fn may_have_data(&self) -> bool {
        let polls = self.polls;
        let is_read = |one: &Assigned| one.is_awake() && !one.trouble.is_known(polls);
        let have_data = match &self.assigned.turns {
            Some(turns) => turns.are_there(),
            None => self.assigned.iter().any(|one| is_read(one) && one.cursor.may_have_data()),
        };
        have_data
            || self.directory.is_closing()
            || self.subscription.as_ref().is_some_and(|group| group.has_pending_change(&self.directory))
    }

    /// Sleeps until something may be there: registers everywhere, looks once more, parks.
    fn sleep(&self, deadline: Option<Instant>) -> Waited {
        let waker = self.wake.parker.waker();
        let mut places = Vec::new();
        if let Some(turns) = &self.assigned.turns {
            // Marks that are there already are seen before it parks.
            turns.ready.wakes(&waker);
        } else {
            let awake = self.assigned.iter().filter(|one| one.is_awake());
            places.extend(awake.map(|one| one.cursor.log().sleepers()));
        }
        if let Some(subscription) = &self.subscription {
            places.extend(subscription.sleepers(&self.directory));
        }
        // With nothing else to wait for.
        if self.assigned.count_awake() == 0 {
            places.push(self.directory.idlers());
        }
        let _sleeping: Vec<_> = places.into_iter().map(|at| at.enter(&waker)).collect();
        before_parking();
        let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        loop {
            if self.wake.take() {
                return Waited::Woken;
            }
            if self.may_have_data() {
                return Waited::News;
            }
            if is_over() {
                return Waited::TooLong;
            }
            // A signal may be an old one: a writer that has woken this sleeper is no longer asked to, so go and
            // register again.
            self.wake.parker.park(deadline);
            if !self.may_have_data() && !self.wake.peek() {
                return if is_over() { Waited::TooLong } else { Waited::News };
            }
        }
    }
}

impl Wake {
    /// Sleeps until `until`, or until a waker is used.
    pub(super) fn park(&self, until: Instant) {
        self.parker.park(Some(until));
    }

    pub(super) fn peek(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }
}
