//! Waiting for a log to grow, without ever losing a wake-up and without cost while no reader waits.
//!
//! The one concurrency protocol of the crate besides publishing itself, [`Turns`] and [`Requests`], all checked by loom in [`tests`]:
//!
//! | writer | sleeper |
//! |---|---|
//! | publish (release store) | register its waker, count + 1 |
//! | full fence | full fence |
//! | check the count; wake if it is not 0 | check the published word again; park if nothing is new |
//!
//! Of the two fences one comes first. If it is the writer's, the sleeper sees what was published and does not park; if
//! it is the sleeper's, the writer sees the count and wakes. A release store without the fence would lose wake-ups.
//!
//! The writer wakes one sleeper, however many there are. Each that was woken wakes the next when it leaves, which all do at once:
//! those that were woken, those whose time is up, and those that did not even park. A sleeper that is not parked any more leaves the
//! list, or passes the wake on that was meant for it.
//!
//! Who asks many places watches them ([`Ready`]): each wake marks for all who watch, before it wakes a sleeper.
//!
//! A sleeper is a [`Waker`]: of a thread ([`Parker`]) or, later, of a task. What is waited for is not known here.

mod parker;
mod ready;
mod requests;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

pub(crate) use parker::Parker;
pub(crate) use ready::Ready;
pub(crate) use requests::{Request, Requests};
pub(crate) use turns::Turns;

use crate::sys::sync::{AtomicUsize, Mutex, fence};

/// Those who wait at one place.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    /// How many are waiting or watching, for a look without the lock. Changed under the lock.
    count: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    next_ticket: u64,
    waiting: Vec<(u64, Waker)>,
    /// Whose marks are to be set, and the number of this place there.
    watching: Vec<(Arc<Ready>, usize)>,
    /// To be woken, one by the other.
    meant: VecDeque<(u64, Waker)>,
    /// Tickets of those that were woken and have not left.
    woken: Vec<u64>,
}

/// A sleeper at one place. When this goes, by a panic too, it is one no more, and if it was woken it wakes the next.
#[derive(Debug)]
#[must_use]
pub(crate) struct Sleeping<'s> {
    at: &'s Sleepers,
    ticket: u64,
}

impl Drop for Sleeping<'_> {
    fn drop(&mut self) {
        self.at.leave(self.ticket);
    }
}

impl List {
    fn to_be_woken(&self) -> usize {
        self.waiting.len() + self.watching.len()
    }

    /// Takes the next of those that are to be woken.
    fn next(&mut self) -> Option<Waker> {
        let (ticket, waker) = self.meant.pop_front()?;
        self.woken.push(ticket);
        Some(waker)
    }
}

impl Sleepers {
    /// For the writer, after it has published: all who wait are woken, the first by this call. One fence and one load if none does.
    #[inline]
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        // Another writer that has woken them instead has set their marks before.
        if self.count.load(Ordering::Acquire) != 0 {
            self.wake_waiting();
        }
    }

    #[cold]
    fn wake_waiting(&self) {
        let first = {
            let list = &mut *self.list.lock();
            list.watching.drain(..).for_each(|(ready, number)| ready.mark(number));
            list.meant.extend(list.waiting.drain(..));
            self.count.store(0, Ordering::Release);
            list.next()
        };
        if let Some(waker) = first {
            waker.wake();
        }
    }

    /// Registers a sleeper, as long as what is returned lives. Before it parks it must call [`before_parking`] and look again
    /// whether to park at all; as soon as it does not park any more it must drop this.
    pub(crate) fn enter(&self, waker: &Waker) -> Sleeping<'_> {
        let mut list = self.list.lock();
        let ticket = list.next_ticket;
        list.next_ticket += 1;
        list.waiting.push((ticket, waker.clone()));
        self.count.store(list.to_be_woken(), Ordering::Relaxed);
        Sleeping { at: self, ticket }
    }

    /// Has the next wake set a mark. What was published before may have found no watch, so the place is checked once more:
    /// returns what `has_news` does. The watch lasts in any case.
    #[must_use]
    pub(crate) fn watch(&self, ready: &Arc<Ready>, number: usize, has_news: impl FnOnce() -> bool) -> bool {
        {
            let mut list = self.list.lock();
            list.watching.push((Arc::clone(ready), number));
            self.count.store(list.to_be_woken(), Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        has_news()
    }

    /// Sets no mark of these any more.
    pub(crate) fn forget(&self, ready: &Arc<Ready>) {
        let mut list = self.list.lock();
        list.watching.retain(|(other, _)| !Arc::ptr_eq(other, ready));
        self.count.store(list.to_be_woken(), Ordering::Relaxed);
    }

    /// Whether there are any: from then on none of them misses a wake.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn are_there(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Takes a sleeper off, woken or not. If it was woken it wakes the next.
    fn leave(&self, ticket: u64) {
        let next = {
            let list = &mut *self.list.lock();
            if let Some(at) = list.woken.iter().position(|woken| *woken == ticket) {
                list.woken.swap_remove(at);
                list.next()
            } else {
                list.waiting.retain(|(other, _)| *other != ticket);
                list.meant.retain(|(other, _)| *other != ticket);
                self.count.store(list.to_be_woken(), Ordering::Relaxed);
                None
            }
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

/// The sleeper's fence, once after all its [`Sleepers::enter`] calls and before its last look.
pub(crate) fn before_parking() {
    fence(Ordering::SeqCst);
}
