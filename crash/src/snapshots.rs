//! Snapshots of a log that is used. One that is acknowledged is clean and holds all that was acknowledged; one that failed
//! has left nothing under its name, and no answer of the log is another one.

use std::fs;

use stratalog::EventLog;

use crate::faults;
use crate::interpose::unseen;
use crate::judge::{After, judge};
use crate::oracle::{oracle, trace};
use crate::session::{Outcome, Session, options};

impl Session {
    pub fn snapshot(&mut self, log: &EventLog) -> Outcome {
        trace("snapshot".into());
        let copy = self.root.with_extension("snapshot");
        let made = log.snapshot_to(&copy);
        let outcome = match made {
            Ok(_) => {
                if let Err(reason) = faults::spared(|| self.judge_snapshot(&copy)) {
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
        let _ = unseen(|| fs::remove_dir_all(&copy));
        outcome
    }

    fn judge_snapshot(&self, copy: &std::path::Path) -> Result<(), String> {
        unseen(|| {
            let log =
                options(self.mode, &self.clock).open(copy).map_err(|failure| format!("open: {failure}"))?;
            if !log.recovery().clean {
                return Err("it is not clean".into());
            }
            judge(&log, &oracle(|oracle| oracle.clone()), After::Kill)?;
            log.close().map_err(|failure| format!("close: {failure}"))
        })
    }
}
