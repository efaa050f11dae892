//! Maps that lookups have left of segments which a compaction replaces.

use super::super::fixture::ANY;
use super::super::kept::mapped;
use super::{Bench, clean, fill, last_of, seen};
use crate::config::ReadUpTo;
use crate::partition::Cursor;

#[test]
fn the_maps_of_replaced_segments_are_given_up() {
    let mut bench = Bench::new(2000);
    bench.fixture.disk.map_reads = true;
    let log = bench.open(&bench.fixture.disk.faults, clean(0));
    fill(&log, 30);
    log.close().unwrap();
    drop(log);
    let log = bench.open(&bench.fixture.disk.faults, clean(90));
    let before = seen(&log);
    for (offset, _) in &before {
        Cursor::new(log.clone(), *offset, ReadUpTo::Visible).fetch(ANY).unwrap();
    }
    let mapped = || mapped(&bench.fixture);
    assert!(mapped() > 3);
    assert_eq!(bench.run().unwrap().partitions_compacted, 1);
    assert_eq!(mapped(), 0);
    assert_eq!(last_of(&seen(&log)), last_of(&before));
    log.close().unwrap();
    assert_eq!(mapped(), 0);
}
