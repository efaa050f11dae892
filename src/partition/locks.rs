//! A mutex that knows its place in the order of a partition's locks, and checks it in debug builds.
//!
//! The order is at the head of [`partition`](super). A thread that waits for a lock holds only locks of lower rank, of
//! whichever partition. One that only tries for a lock waits for nothing, so any order is right for it.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

/// Where a lock is: a lower one is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    TransactionEnds,
    TailedTransactions,
    Ages,
    Watching,
    Appender,
    OpenFiles,
    Finishing,
    Names,
    Epochs,
    Producers,
    Preallocation,
    Unfinished,
}

#[derive(Debug)]
pub(super) struct Lock<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    value: Mutex<T>,
}

#[derive(Debug)]
pub(super) struct Guard<'l, T> {
    value: MutexGuard<'l, T>,
    #[cfg(debug_assertions)]
    _held: held::HeldRank,
}

impl<T> Lock<T> {
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "checked in debug builds"))]
    pub(super) fn new(rank: Rank, value: T) -> Self {
        Self {
            #[cfg(debug_assertions)]
            rank,
            value: Mutex::new(value),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> Guard<'_, T> {
        #[cfg(debug_assertions)]
        held::check(self.rank);
        self.guard(self.value.lock())
    }

    /// The same while locks of the same rank are held, of partitions that come before this one.
    pub(super) fn lock_beside_others(&self) -> Guard<'_, T> {
        #[cfg(debug_assertions)]
        held::check_beside(self.rank);
        self.guard(self.value.lock())
    }

    pub(super) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.value.try_lock().map(|value| self.guard(value))
    }

    pub(super) fn try_lock_for(&self, patience: Duration) -> Option<Guard<'_, T>> {
        self.value.try_lock_for(patience).map(|value| self.guard(value))
    }

    #[inline]
    fn guard<'l>(&'l self, value: MutexGuard<'l, T>) -> Guard<'l, T> {
        Guard {
            value,
            #[cfg(debug_assertions)]
            _held: held::HeldRank::note(self.rank),
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// The ranks that this thread holds.
#[cfg(debug_assertions)]
mod held {
    use std::cell::RefCell;

    use super::Rank;

    thread_local! {
        static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
    }

    /// Nothing is checked in a thread that is so far at its end that it has no list: values that it kept may take locks then.
    fn with(act: impl FnOnce(&mut Vec<Rank>)) {
        let _ = HELD.try_with(|held| act(&mut held.borrow_mut()));
    }

    pub(super) fn check(rank: Rank) {
        with(|held| {
            assert!(held.iter().all(|other| *other < rank), "{rank:?} is waited for while {held:?} are held");
        });
    }

    pub(super) fn check_beside(rank: Rank) {
        with(|held| {
            assert!(
                held.iter().all(|other| *other <= rank),
                "{rank:?} is waited for while {held:?} are held"
            );
        });
    }

    #[derive(Debug)]
    pub(super) struct HeldRank(Rank);

    impl HeldRank {
        pub(super) fn note(rank: Rank) -> Self {
            with(|held| held.push(rank));
            Self(rank)
        }
    }

    impl Drop for HeldRank {
        fn drop(&mut self) {
            with(|held| {
                if let Some(at) = held.iter().rposition(|rank| *rank == self.0) {
                    held.swap_remove(at);
                }
            });
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_thread_that_ends_drops_what_takes_locks() {
        struct Kept(Lock<()>);

        impl Drop for Kept {
            fn drop(&mut self) {
                drop(self.0.lock());
            }
        }

        thread_local! {
            static KEPT: Kept = const { Kept(Lock { rank: Rank::Appender, value: Mutex::new(()) }) };
        }
        // The list of what is held is made later and dropped first.
        let ended = std::thread::spawn(|| KEPT.with(|kept| drop(kept.0.lock()))).join();
        assert!(ended.is_ok());
    }

    #[test]
    fn a_lock_that_is_waited_for_out_of_order_is_found() {
        let [first, second] = [Rank::Appender, Rank::Finishing].map(|rank| Lock::new(rank, ()));
        drop((first.lock(), second.lock()));
        let held = second.lock();
        assert!(catch_unwind(std::panic::AssertUnwindSafe(|| drop(first.lock()))).is_err());
        assert!(first.try_lock().is_some(), "a thread that only tries waits for nothing");
        drop(held);
        drop(first.lock());
        let other = Lock::new(Rank::Appender, ());
        let held = first.lock();
        assert!(catch_unwind(std::panic::AssertUnwindSafe(|| drop(other.lock()))).is_err());
        drop((other.lock_beside_others(), held));
    }
}
