//! Many want something done that one can do for all: the first thread does it, the others wait for their turn.
//!
//! What is done for one is done for all who asked before it began. So those who come while it is being done wait, and
//! the first of them who was not served is handed the turn, before the served ones are woken: the next round begins
//! while these get going. Waiters are woken one by one, each by a signal of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::sys::sync::{AtomicU64, Mutex, Signal};

/// Those who want the same thing.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// A thread has the turn.
    taken: bool,
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    goal: u64,
    /// Whether the turn was handed over, once the signal is set.
    has_turn: AtomicU64,
    signal: Signal,
}

impl Turns {
    /// Returns once `is_served(goal)`, or after having done `work` itself. `work` must serve all goals there were when
    /// it began, or none if it fails.
    pub(crate) fn until(&self, goal: u64, is_served: impl Fn(u64) -> bool, work: impl FnOnce()) {
        if is_served(goal) {
            return;
        }
        let waiter = {
            let mut line = self.line.lock();
            // The thread that has the turn serves first and then looks into the queue: no thread is left in it.
            if is_served(goal) {
                return;
            }
            if line.taken {
                let waiter = Waiter { goal, has_turn: AtomicU64::new(0), signal: Signal::default() };
                let waiter = Arc::new(waiter);
                line.waiting.push_back(Arc::clone(&waiter));
                Some(waiter)
            } else {
                line.taken = true;
                None
            }
        };
        if let Some(waiter) = waiter {
            waiter.signal.wait(None);
            if waiter.has_turn.load(Ordering::Acquire) == 0 {
                return;
            }
        }
        // Also when the work panics: no thread may wait for one that is gone.
        let _turn = Turn { turns: self, is_served: &is_served };
        work();
    }
}

/// Having the turn, until it is handed on.
struct Turn<'t> {
    turns: &'t Turns,
    is_served: &'t dyn Fn(u64) -> bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let served = {
            let mut line = self.turns.line.lock();
            let waiting = std::mem::take(&mut line.waiting).into_iter();
            let (served, mut left): (VecDeque<_>, VecDeque<_>) =
                waiting.partition(|waiter| (self.is_served)(waiter.goal));
            let next = left.pop_front();
            line.taken = next.is_some();
            line.waiting = left;
            if let Some(next) = next {
                next.has_turn.store(1, Ordering::Release);
                next.signal.set();
            }
            served
        };
        for waiter in served {
            waiter.signal.set();
        }
    }
}
