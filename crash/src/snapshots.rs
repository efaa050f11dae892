//! Snapshots of a log that is used. One that is acknowledged is clean and holds all that was acknowledged; one that failed
//! has left nothing under its name, and no answer of the log is another one.

use std::fs;
use std::path::Path;

use stratalog::{EventLog, ManualClock};

use crate::comparison::{After, compare};
use crate::disk;
use crate::faults;
use crate::interpose::unseen;
use crate::oracle::{Oracle, oracle, trace};
use crate::session::{Outcome, Session, options};

impl Session {
    pub fn snapshot(&mut self, log: &EventLog) -> Outcome {
        trace("snapshot".into());
        let copy = self.root.with_extension("snapshot");
        // Where power cuts are tried, the states that they leave are compared, not the snapshot itself: opening it would change it.
        let is_recorded = disk::covers(&copy);
        let outcome = match log.snapshot_to(&copy) {
            Ok(_) if is_recorded => {
                disk::take_last_point();
                Outcome::Done
            }
            Ok(_) => {
                if let Err(reason) = faults::spared(|| self.compare_snapshot(&copy)) {
                    self.violation(format!("a snapshot: {reason}"));
                }
                Outcome::Done
            }
            Err(failure) => {
                if unseen(|| copy.exists()) {
                    self.violation(format!("a snapshot that failed has left something: {failure}"));
                }
                Outcome::Failed(failure)
            }
        };
        if is_recorded {
            disk::without_points(|| faults::spared(|| remove_durably(&copy)));
        } else {
            let _ = unseen(|| fs::remove_dir_all(&copy));
        }
        outcome
    }

    fn compare_snapshot(&self, copy: &Path) -> Result<(), String> {
        unseen(|| compare_at(copy, self.mode, &self.clock, &oracle(|oracle| oracle.clone())))
    }
}

/// A snapshot opens clean, with all that was acknowledged.
pub fn compare_at(copy: &Path, mode: u64, clock: &ManualClock, oracle: &Oracle) -> Result<(), String> {
    let log = options(mode, clock).open(copy).map_err(|failure| format!("open: {failure}"))?;
    if !log.recovery().clean {
        return Err("it is not clean".into());
    }
    compare(&log, oracle, After::Kill)?;
    log.close().map_err(|failure| format!("close: {failure}"))
}

/// No power cut brings the name back, with some of what it held.
fn remove_durably(copy: &Path) {
    let _ = fs::remove_dir_all(copy);
    if let Some(Ok(above)) = copy.parent().map(fs::File::open) {
        let _ = above.sync_all();
    }
}
