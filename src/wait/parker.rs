//! A thread that waits, as a waker.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use crate::sys::sync::Signal;

/// Parks the thread that calls [`park`](Self::park) until its waker is used. A wake before the park is remembered.
/// Has its own signal instead of the thread's token, which the user's program may use for itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parker {
    state: Arc<ParkerState>,
}

#[derive(Debug, Default)]
struct ParkerState {
    signal: Signal,
}

impl Wake for ParkerState {
    fn wake(self: Arc<Self>) {
        self.signal.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.signal.set();
    }
}

impl Parker {
    pub(crate) fn waker(&self) -> Waker {
        Arc::clone(&self.state).into()
    }

    pub(crate) fn wake(&self) {
        self.state.signal.set();
    }

    /// Waits until woken or the deadline has passed; `None` waits without end.
    pub(crate) fn park(&self, deadline: Option<Instant>) {
        self.state.signal.wait(deadline);
    }
}
