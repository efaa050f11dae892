//! What is said to follow bytes of a map, and may be brought nearer: nothing that a writer may store to.

use std::sync::Arc;

use crate::sys::mapping::MapBudget;
use crate::sys::{Confirmed, Disk, LogWriter, Mapping};

#[test]
fn only_published_bytes_follow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let disk = Disk::of(dir.path(), true, true);
    let mut writer = LogWriter::create(&disk, &path, 1 << 20, 0).unwrap();
    for byte in 1..=3 {
        writer.put(&[byte; 100], false).unwrap();
        writer.publish(100, 0);
    }
    let budget = Arc::new(MapBudget::of(2));
    let growing = Mapping::of_growing(writer.file(), writer.tail(), 1 << 20, &budget).unwrap();
    let sealed = Mapping::of_sealed(writer.file(), writer.tail(), &budget).unwrap();
    let followed_by = |mapping: &Arc<Mapping>, range| {
        let bytes = mapping.confirmed(range, &path, &mut (0..0)).unwrap().unwrap();
        bytes.followed_by()
    };
    for mapping in [&growing, &sealed] {
        assert_eq!([0..100, 100..200, 0..150].map(|range| followed_by(mapping, range)), [100, 100, 150]);
        assert_eq!([200..300, 0..151, 0..300].map(|range| followed_by(mapping, range)), [0; 3]);
    }
    writer.put(&[4; 100], false).unwrap();
    writer.publish(100, 0);
    // The map of what was there before has no more than that.
    assert_eq!([&growing, &sealed].map(|mapping| followed_by(mapping, 200..300)), [100, 0]);
    assert_eq!(Confirmed::copied(vec![0; 100]).followed_by(), 0);
}
