//! The order of what a swap does to names, for disks that keep no order of their own between two syncs of a directory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Bench, fill};
use crate::partition::Checkpointed;
use crate::segment::FileState;
use crate::sys::faults::{Faults, Observer};

/// How the segments that are renamed between two syncs of the directory are after it.
#[derive(Debug, Default)]
struct Standings(Mutex<Vec<Vec<FileState>>>);

impl Observer for Standings {
    fn file_synced(&self, _file: &File) {}

    fn directory_synced(&self, _directory: &Path) {
        self.0.lock().push(Vec::new());
    }

    fn renamed(&self, to: &Path) {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let (plain, file_state) = FileState::split(&name);
        if plain.ends_with(".log") {
            self.0.lock().last_mut().map(|between| between.push(file_state)).unwrap_or_default();
        }
    }
}

/// A new segment beside an old one that it replaces would hide the records after it, or bring back what was taken out.
#[test]
fn old_segments_are_gone_for_certain_before_new_ones_have_their_names() {
    let bench = Bench::new(2000);
    let standings = Arc::new(Standings(Mutex::new(vec![Vec::new()])));
    let log = bench.open(&Faults::observed(Arc::clone(&standings) as _), Checkpointed::default());
    fill(&log, 30);
    log.sync().unwrap();
    bench.run().unwrap();
    let between = standings.0.lock();
    let is_there = |file_state| between.iter().flatten().any(|other| *other == file_state);
    assert!(is_there(FileState::Deleted) && is_there(FileState::Swap) && is_there(FileState::Plain));
    for renamed in between.iter() {
        assert!(renamed.windows(2).all(|two| two[0] == two[1]), "{renamed:?}");
    }
}
