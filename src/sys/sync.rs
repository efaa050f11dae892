//! The primitives of the protocols that loom checks (publish, view, wake), replaced by loom's when it does.

#[cfg(not(loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, fence};
    use std::time::Instant;

    pub(crate) use parking_lot::Mutex;

    /// A flag one thread waits for and any thread raises. Waiting lowers it again.
    #[derive(Debug, Default)]
    pub(crate) struct Signal {
        raised: Mutex<bool>,
        changed: parking_lot::Condvar,
    }

    impl Signal {
        pub(crate) fn raise(&self) {
            *self.raised.lock() = true;
            self.changed.notify_one();
        }

        /// Waits until the flag is raised or the deadline has passed; `None` waits without end.
        pub(crate) fn wait(&self, deadline: Option<Instant>) {
            let mut raised = self.raised.lock();
            while !*raised {
                match deadline {
                    None => self.changed.wait(&mut raised),
                    Some(deadline) if self.changed.wait_until(&mut raised, deadline).timed_out() => break,
                    Some(_) => {}
                }
            }
            *raised = false;
        }
    }
}

#[cfg(loom)]
mod real {
    use std::time::Instant;

    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, fence};
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
    }

    /// As above; there is no time in a model.
    #[derive(Debug, Default)]
    pub(crate) struct Signal {
        raised: Mutex<bool>,
        changed: Condvar,
    }

    impl Signal {
        pub(crate) fn raise(&self) {
            *self.raised.lock() = true;
            self.changed.notify_one();
        }

        pub(crate) fn wait(&self, _deadline: Option<Instant>) {
            let mut raised = self.raised.lock();
            while !*raised {
                raised = self.changed.wait(raised).expect(NO_PANIC);
            }
            *raised = false;
        }
    }
}

pub(crate) use real::*;
