//! The primitives of the protocols that loom checks (publish, view, wake, live file, growth), replaced by loom's when it does.

#[cfg(not(loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, fence};
    use std::time::Instant;

    pub(crate) use parking_lot::Mutex;

    pub(crate) use crate::sys::platform::{futex_wait, futex_wake};

    /// A flag one thread waits for and any thread sets. Waiting clears it again.
    #[derive(Debug, Default)]
    pub(crate) struct Signal {
        set: Mutex<bool>,
        changed: parking_lot::Condvar,
    }

    impl Signal {
        pub(crate) fn set(&self) {
            *self.set.lock() = true;
            self.changed.notify_one();
        }

        /// Waits until the flag is set or the deadline has passed; `None` waits without end.
        pub(crate) fn wait(&self, deadline: Option<Instant>) {
            let mut set = self.set.lock();
            while !*set {
                match deadline {
                    None => self.changed.wait(&mut set),
                    Some(deadline) if self.changed.wait_until(&mut set, deadline).timed_out() => break,
                    Some(_) => {}
                }
            }
            *set = false;
        }
    }
}

#[cfg(loom)]
mod real {
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, fence};
    use loom::sync::{Condvar, MutexGuard};

    const NO_PANIC: &str = "threads of a model do not panic with the lock held";

    /// loom's mutex with the signature of parking_lot's.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect(NO_PANIC)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    loom::lazy_static! {
        /// The queue that the kernel keeps of those who wait at a word. Comparing the word and joining the queue is one step.
        static ref QUEUE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    /// Waits without end: what only a timeout would end is a lost wake, which loom reports as a deadlock.
    pub(crate) fn futex_wait(word: &AtomicU32, seen: u32, _timeout: Duration) {
        let (queue, woken) = &*QUEUE;
        let held = queue.lock();
        if word.load(Ordering::SeqCst) == seen {
            drop(woken.wait(held).expect(NO_PANIC));
        }
    }

    pub(crate) fn futex_wake(_word: &AtomicU32) {
        let (queue, woken) = &*QUEUE;
        drop(queue.lock());
        woken.notify_all();
    }

    /// As above; there is no time in a model.
    #[derive(Debug, Default)]
    pub(crate) struct Signal {
        set: Mutex<bool>,
        changed: Condvar,
    }

    impl Signal {
        pub(crate) fn set(&self) {
            *self.set.lock() = true;
            self.changed.notify_one();
        }

        pub(crate) fn wait(&self, _deadline: Option<Instant>) {
            let mut set = self.set.lock();
            while !*set {
                set = self.changed.wait(set).expect(NO_PANIC);
            }
            *set = false;
        }
    }
}

pub(crate) use real::*;
