//! Producers that hold records in memory: what the background and the close have to know of them.

use std::sync::Weak;

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use crate::background::{Linger, Lingering};

/// The buffered producers of an open log.
#[derive(Debug)]
pub(crate) struct BufferedProducers {
    linger: Sender<Linger>,
    /// May name some that are gone.
    registered: Mutex<Vec<Weak<dyn Lingering>>>,
}

impl BufferedProducers {
    pub(super) fn new(linger: Sender<Linger>) -> Self {
        Self { linger, registered: Mutex::default() }
    }

    /// From now on the producer is notified when the log is closed.
    pub(crate) fn register(&self, producer: Weak<dyn Lingering>) {
        let mut registered = self.registered.lock();
        if registered.len() == registered.capacity() {
            // Those that are gone make room, so that there are never more than twice as many as live.
            registered.retain(|producer| producer.strong_count() > 0);
        }
        registered.push(producer);
    }

    /// Asks the background to write the records of a producer when they have lingered. `false`: there is none any more.
    pub(crate) fn write_after(&self, linger: Linger) -> bool {
        self.linger.send(linger).is_ok()
    }

    /// Notifies all producers that the log has been closed.
    pub(super) fn report_closed(&self) {
        let registered = std::mem::take(&mut *self.registered.lock());
        registered.iter().filter_map(Weak::upgrade).for_each(|producer| producer.log_has_closed());
    }

    /// For a child process: its copy of the channel is never closed, since that would wake the threads of the parent.
    pub(super) fn forget(&self) {
        std::mem::forget(self.linger.clone());
    }
}
