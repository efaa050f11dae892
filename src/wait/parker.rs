//! A thread that waits, as a waker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};
use std::time::Instant;

use crate::sys::sync::{AtomicBool, Thread, current, park};

/// Parks the thread that made it, until its waker is used. A wake before the park is remembered.
#[derive(Debug)]
pub(crate) struct Parker {
    state: Arc<ParkerState>,
}

#[derive(Debug)]
struct ParkerState {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for ParkerState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Parker {
    pub(crate) fn of_this_thread() -> Self {
        Self { state: Arc::new(ParkerState { woken: AtomicBool::new(false), thread: current() }) }
    }

    pub(crate) fn waker(&self) -> Waker {
        Arc::clone(&self.state).into()
    }

    /// Waits until the waker is used or the deadline has passed; `None` waits without end.
    pub(crate) fn park(&self, deadline: Option<Instant>) {
        while !self.state.woken.swap(false, Ordering::Acquire) {
            match deadline {
                None => park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    std::thread::park_timeout(left);
                }
            }
        }
    }
}
