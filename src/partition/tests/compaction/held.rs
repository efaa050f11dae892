//! Readers keep the old segments open, by the strictest rules that Windows has for that: see `sys::held_names`.

use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;

use super::super::fixture::{ANY, Fixture};
use super::{Bench, clean, fill, last_of, seen, unclean};
use crate::config::ReadUpTo;
use crate::partition::{Checkpointed, Cursor, Leader};
use crate::sys::faults::{Faults, Operation};

/// Nothing is mapped, as on such a system.
fn bench() -> Bench {
    let mut bench = Bench::new(2000);
    (bench.fixture.disk.map_writes, bench.fixture.disk.map_reads) = (false, false);
    bench.fixture.disk.keeps_removed_names = true;
    bench
}

/// A reader in each segment, with its file open.
fn readers(log: &Arc<Leader>) -> Vec<Cursor> {
    let begin = |base| {
        let mut reader = Cursor::new(Arc::clone(log), base, ReadUpTo::Visible);
        reader.fetch(ANY).unwrap().unwrap();
        reader
    };
    log.segments().iter().map(|segment| begin(segment.base())).collect()
}

fn deleted(fixture: &Fixture) -> usize {
    let names = fixture.disk.list(&fixture.directory()).unwrap();
    names.iter().filter(|(name, _)| name.ends_with(".deleted")).count()
}

#[test]
fn passes_follow_each_other_while_readers_have_all_segments_open() {
    let mut bench = bench();
    bench.fixture.settings.retention.file_delete_delay_ms = 0;
    bench.fixture.disk.faults = Faults::default().with_held_names();
    let log = bench.open(&bench.fixture.disk.faults, clean(0));
    let mut open = Vec::new();
    for _ in 0..4 {
        fill(&log, 10);
        log.finish_sealed().unwrap();
        open.extend(readers(&log));
        let before = last_of(&seen(&log));
        assert_eq!(bench.run().unwrap().partitions_compacted, 1);
        assert_eq!(bench.unfinished(), [""; 0]);
        assert_eq!(last_of(&seen(&log)), before);
    }
    assert!(deleted(&bench.fixture) > 0, "nothing was open");
    let (before, end) = (seen(&log), log.bounds().unwrap().log_end);
    for reader in &mut open {
        while reader.fetch(ANY).unwrap().is_some() {}
    }
    drop(open);
    bench.run().unwrap();
    assert_eq!(deleted(&bench.fixture), 0);
    log.close().unwrap();
    drop(log);
    let log = bench.open(&bench.fixture.disk.faults, clean(end));
    assert_eq!(last_of(&seen(&log)), last_of(&before));
}

#[test]
fn a_swap_that_was_interrupted_is_finished_at_open_while_others_have_the_old_files_open() {
    let names = || Faults::default().with_held_names();
    let first = bench();
    let log = first.open(&names(), Checkpointed::default());
    fill(&log, 14);
    let before = last_of(&seen(&log));
    let end = log.bounds().unwrap().log_end;
    log.close().unwrap();
    for n in 0.. {
        let bench = bench();
        bench.fixture.restore(&first.fixture.files());
        let faults = Faults::after(Operation::Rename, n, ErrorKind::Other, true).with_held_names();
        drop(bench.open(&faults, clean(end)));
        let failed = bench.run().is_err();
        assert_eq!(failed, faults.have_struck());
        bench.work.catalog.set_partitions(Vec::new());
        // Another process that reads along has all logs open.
        let logs = bench.fixture.files().into_keys().filter(|name| name.contains(".log"));
        let paths = logs.map(|name| bench.fixture.directory().join(name));
        let open: Vec<_> = paths.map(|path| File::open(path).unwrap()).collect();
        for _ in 0..2 {
            let log = bench.open(&names(), unclean(0));
            assert_eq!(last_of(&seen(&log)), before, "stopped after {n} renames");
            assert_eq!(bench.unfinished(), [""; 0]);
            log.close().unwrap();
        }
        drop(open);
        if !failed {
            assert!(n > 8, "{n}");
            break;
        }
    }
}
