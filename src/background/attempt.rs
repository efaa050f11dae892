//! Things that are tried: what fails or panics becomes an event, and ends no thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::clock::{Clock, Timestamp, time_of};
use crate::error::{Error, Result};
use crate::events::{Announcer, Event};
use crate::partition::Leader;

/// Reports what fails.
#[derive(Debug)]
pub(super) struct Attempts {
    events: Announcer,
}

impl Attempts {
    pub(super) fn new(events: Announcer) -> Self {
        Self { events }
    }

    pub(super) fn report(&self, event: impl FnOnce() -> Event) {
        self.events.emit(event);
    }

    /// Does `work`. A failure is reported and returned.
    pub(super) fn attempt<T>(
        &self,
        task: &'static str,
        partition: Option<&Leader>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let outcome = self.unless_panicked(task, partition, work).unwrap_or(Err(Error::Closed));
        if let Err(failure) = &outcome {
            self.events.emit(|| Event::MaintenanceFailed { task, failure: failure.to_string().into() });
        }
        outcome
    }

    /// A panic ends what was being done, and the partition it was done to, but not the thread.
    pub(super) fn unless_panicked<T>(
        &self,
        task: &'static str,
        partition: Option<&Leader>,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(value) => Some(value),
            Err(panic) => {
                if let Some(partition) = partition {
                    partition.poison_after_panic(task);
                }
                self.events.emit(|| Event::MaintenanceFailed { task, failure: words_of(&*panic).into() });
                None
            }
        }
    }

    /// The time by which records are old. A clock of the user's that panics is reported, and what needs the time is done
    /// later; what does not need it is done.
    pub(super) fn now(&self, clock: Option<&dyn Clock>) -> Result<i64> {
        let asked = || time_of(clock).map(Timestamp::as_millis);
        self.attempt("asking the log's clock", None, || asked().ok_or_else(clock_panicked))
    }
}

fn clock_panicked() -> Error {
    Error::invalid("clock", "the clock that the log was opened with panicked; it must not")
}

/// What a panic says of itself.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let words =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|s| &**s));
    words.map_or_else(|| "panicked".to_owned(), |words| format!("panicked: {words}"))
}
