mod following;
mod looking;

#[cfg(target_os = "linux")]
use super::{Disk, LogWriter, platform};

/// Numbers of processes begin anew when they are used up, so a child may have the lower one.
#[cfg(target_os = "linux")]
#[test]
fn a_lock_is_held_by_the_parent_of_a_child_that_has_its_descriptors() {
    let parent_of = |process: u32| match process {
        400 | 32_001 => Some(32_000),
        32_000 => Some(7),
        _ => None,
    };
    assert_eq!(platform::first_holder(&[400, 32_000, 32_001], parent_of), Some(32_000));
    assert_eq!(
        platform::first_holder(&[400], parent_of),
        Some(400),
        "the parent is gone, or has closed the log"
    );
    // One that has just ended has no parent to be seen.
    assert_eq!(platform::first_holder(&[399, 32_000], parent_of), Some(32_000));
    assert_eq!(platform::first_holder(&[399], parent_of), Some(399));
    assert_eq!(platform::first_holder(&[], parent_of), None);
}

/// A page that a sync has had taken out may be gone from memory when it is read, and the device may not give it again.
#[cfg(target_os = "linux")]
#[test]
fn what_was_taken_out_of_a_map_is_brought_in_before_it_is_read() {
    const BATCH: usize = 8 << 10;
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::of(dir.path(), true, true);
    let path = dir.path().join("log");
    let mut writer = LogWriter::create(&disk, &path, 8 << 20, 0).unwrap();
    writer.growth().preallocate_now(0);
    for batch in 0..24 {
        writer.put(&[batch + 1; BATCH], false).unwrap();
        writer.publish(BATCH, 0);
    }
    let mapping = writer.mapping().unwrap();
    let brought_in = |at: u64| {
        let mut warmed = 0..0;
        let read = mapping.confirmed(at..at + 100, &path, &mut warmed).unwrap().unwrap();
        assert!(read.as_ref().iter().all(|byte| u64::from(*byte) == at / BATCH as u64 + 1));
        warmed.start < warmed.end
    };
    assert!(!brought_in(0) && !brought_in(130_000), "they are in the map since they were written");
    writer.growth().unmap_below(150_000);
    assert!(brought_in(0) && brought_in(130_000));
    assert!(!brought_in(140_000), "in a page with what was not to be taken out");
}
