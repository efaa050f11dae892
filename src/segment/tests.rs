//! The entries of an offset index that are kept in memory.

use std::fs;

use super::{OFFSET_INDEX, stored_index};
use crate::format::index::OffsetEntry;
use crate::sys::Disk;

#[test]
fn entries_in_memory_answer_as_the_file_does() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = (Disk::of(dir.path(), true, true), dir.path().join("00000000000000000000.log"));
    let index = log.with_extension(OFFSET_INDEX);
    assert!(stored_index::offsets(&disk, &log, 10).unwrap().is_none());
    for count in [0, 1, 2, 9, 10, 11, 30, 20_000] {
        let entries: Vec<_> =
            (1..=count).map(|n| OffsetEntry { relative_offset: n * 10, position: n * 4096 }).collect();
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.encode()).collect();
        // As a killed broker leaves it, and cut in the middle of an entry.
        bytes.extend_from_slice(&vec![0; 100_003]);
        fs::write(&index, bytes).unwrap();
        assert_eq!(stored_index::offsets(&disk, &log, u64::from(count.max(1))).unwrap().unwrap(), entries);
        for most in [1, 10, 1 << 15] {
            let kept = stored_index::offsets(&disk, &log, most).unwrap().unwrap();
            assert!(kept.len() as u64 <= most && (kept.is_empty() == entries.is_empty()));
            for (relative, end) in
                [(0, 1 << 30), (10, 1 << 30), (95, 1 << 30), (95, 8000), (u32::MAX, 1 << 30)]
            {
                let by_file = stored_index::entry_before(&disk, &log, relative, end).unwrap();
                let found = stored_index::before(&kept, relative, end);
                if kept.len() == entries.len() {
                    assert_eq!(found, by_file, "{count} {relative} {end}");
                } else if let Some(found) = found {
                    assert!(entries.contains(&found) && found.relative_offset <= relative);
                }
            }
        }
    }
}
