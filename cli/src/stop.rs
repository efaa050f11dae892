//! Ctrl-C and its relatives: the first asks the command to stop, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use stratalog::ConsumerWaker;

use super::failure::{Failure, Outcome};

/// Whether the command should stop. Clones share one answer.
#[derive(Clone)]
pub(super) struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    asked: AtomicBool,
    /// What the second Ctrl-C does before it ends the process.
    last: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Whom to wake when it is asked.
    wakers: Mutex<Vec<ConsumerWaker>>,
    changed: Condvar,
}

/// What a shell reports for a program that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

impl Stop {
    /// Set by the program alone.
    #[cfg(test)]
    pub(super) fn manual() -> Self {
        Self(Arc::default())
    }

    /// From now on a first Ctrl-C, a hang-up or a SIGTERM is only recorded. A command that never checks for it must not call
    /// this, and no command before the log is open: such a signal ends the process then, as is usual, and a recovery that is
    /// ended that way begins anew the next time.
    pub(super) fn on_signals() -> Outcome<Self> {
        let stop = Self(Arc::default());
        let noted = stop.clone();
        ctrlc::set_handler(move || {
            if noted.is_asked() {
                if let Some(last) = noted.0.last.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    last();
                }
                std::process::exit(INTERRUPTED);
            }
            noted.ask();
        })
        .map_err(|failure| Failure::failed(format!("cannot watch for Ctrl-C: {failure}")))?;
        Ok(stop)
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    /// Asks the command to stop.
    pub(super) fn ask(&self) {
        let wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.asked.store(true, Ordering::Release);
        wakers.iter().for_each(ConsumerWaker::wake);
        self.0.changed.notify_all();
    }

    /// What is to be done also where the process is ended at once.
    pub(super) fn at_last(&self, act: impl FnOnce() + Send + 'static) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(act));
    }

    /// A consumer to be woken from its poll.
    pub(super) fn wakes(&self, waker: ConsumerWaker) {
        let mut wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_asked() {
            waker.wake();
        }
        wakers.push(waker);
    }

    /// Waits until the time is over, or until it is asked to stop.
    pub(super) fn wait(&self, time: Duration) {
        let wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.changed.wait_timeout_while(wakers, time, |_| !self.is_asked()));
    }
}
