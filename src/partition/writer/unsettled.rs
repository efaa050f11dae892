//! A partition of a topic of which it is not known what became of it: a change of the catalog failed half way.
//!
//! Nothing is wrong with the partition itself, and it can be read. But what is written to it now may belong to a topic
//! that is gone when the log is opened anew.

use crate::error::PoisonCause;
use crate::partition::{Appender, Leader};
use crate::segment::FinishFailure;

impl Leader {
    /// Takes nothing more until the log is opened anew. `cause` says why, perhaps of another partition.
    pub(crate) fn refuse_writes(&self, cause: &PoisonCause) {
        let mut appender = self.writer.appender();
        if let Appender::Active { writer, .. } = &*appender {
            let (unsynced, end) = (writer.unsynced(), writer.next_offset());
            let _order = self.writer.finishing();
            // What was acknowledged so far is promised a sync, and none succeeds from here on.
            let synced = match self.finish_queue() {
                Err(failure @ (FinishFailure::Lost(_) | FinishFailure::Refused(_))) => Err(failure),
                _ => unsynced.sync(),
            };
            match synced {
                Ok(()) => self.advance_durable(end),
                Err(failure) => self.note_lost(&failure),
            }
        }
        self.poison_by(&mut appender, cause.of_partition(self.id.clone()));
        drop(appender);
        self.sleepers.wake_all();
    }
}
