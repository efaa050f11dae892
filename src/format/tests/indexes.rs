//! Index files of the sample log directory and of a broker: every entry points at the batch that it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::vectors_with_suffix;
use crate::format::frame::{Frame, frame_at};
use crate::format::index::{OFFSET_ENTRY, OffsetEntry, TIME_ENTRY, TimeEntry};

/// A `.log` file, and the frames in it by position.
struct Segment {
    path: PathBuf,
    base: u64,
    frames: BTreeMap<usize, Frame>,
}

impl Segment {
    /// All segments of a log directory that was closed cleanly, but for those of deleted topics: their indexes
    /// keep the zeros they were given in advance.
    fn all(log_dir: &str) -> Vec<Self> {
        let logs = vectors_with_suffix(log_dir, ".log").into_iter();
        let kept = logs.filter(|(path, _)| !path.parent().unwrap().to_str().unwrap().ends_with("-delete"));
        kept.map(|(path, file)| Self::open(path, &file)).collect()
    }

    fn open(path: PathBuf, file: &[u8]) -> Self {
        let base = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let mut frames = BTreeMap::new();
        let mut position = 0;
        while let Ok(frame) = frame_at(&file[position..]) {
            frames.insert(position, frame);
            position += frame.bytes;
        }
        assert_eq!(position, file.len(), "{}", path.display());
        Self { path, base, frames }
    }

    fn index(&self, suffix: &str) -> Vec<u8> {
        fs::read(self.path.with_extension(suffix)).unwrap_or_default()
    }

    fn offset_entries(&self) -> Vec<OffsetEntry> {
        let file = self.index("index");
        let (entries, []) = file.as_chunks::<OFFSET_ENTRY>() else { panic!("{}", self.path.display()) };
        let entries: Vec<_> = entries.iter().map(OffsetEntry::decode).collect();
        assert_eq!(entries.iter().flat_map(|entry| entry.encode()).collect::<Vec<_>>(), file);
        entries
    }

    fn time_entries(&self) -> Vec<TimeEntry> {
        let file = self.index("timeindex");
        let (entries, []) = file.as_chunks::<TIME_ENTRY>() else { panic!("{}", self.path.display()) };
        let entries: Vec<_> = entries.iter().map(TimeEntry::decode).collect();
        assert_eq!(entries.iter().flat_map(|entry| entry.encode()).collect::<Vec<_>>(), file);
        entries
    }

    fn relative(&self, frame: &Frame) -> u64 {
        frame.last_offset() - self.base
    }
}

/// Whether each entry's position is that of the batch that ends with its offset. Returns the entries.
fn check_offset_entries(log_dir: &str) -> usize {
    let mut checked = 0;
    for segment in Segment::all(log_dir) {
        let entries = segment.offset_entries();
        assert!(entries.is_sorted_by_key(|entry| entry.relative_offset));
        for entry in &entries {
            let frame = &segment.frames[&(entry.position as usize)];
            assert_eq!(
                segment.relative(frame),
                u64::from(entry.relative_offset),
                "{}",
                segment.path.display()
            );
        }
        checked += entries.len();
    }
    checked
}

/// Whether each entry is the first batch with the largest timestamp so far. Returns the entries.
fn check_time_entries(log_dir: &str) -> usize {
    let mut checked = 0;
    for segment in Segment::all(log_dir) {
        let entries = segment.time_entries();
        assert!(entries.is_sorted_by_key(|entry| entry.timestamp));
        for entry in &entries {
            let mut frames = segment.frames.values();
            let first = frames.find(|frame| frame.max_timestamp() >= entry.timestamp).unwrap();
            assert_eq!(first.max_timestamp(), entry.timestamp, "{}", segment.path.display());
            assert_eq!(
                segment.relative(first),
                u64::from(entry.relative_offset),
                "{}",
                segment.path.display()
            );
        }
        let largest = segment.frames.values().map(Frame::max_timestamp).max();
        if let (Some(last), Some(largest)) = (entries.last(), largest) {
            assert_eq!(last.timestamp, largest, "{}", segment.path.display());
        }
        checked += entries.len();
    }
    checked
}

#[test]
fn entries_of_the_sample_point_at_their_batches() {
    assert!(check_offset_entries("logdir") > 0);
    assert!(check_time_entries("logdir") > 0);
}

#[test]
fn entries_of_a_broker_point_at_their_batches() {
    assert!(check_offset_entries("broker/clean-4.1/logdir") > 0);
    assert!(check_time_entries("broker/clean-4.1/logdir") > 0);
}

#[test]
fn extremes_come_back() {
    let offset = OffsetEntry { relative_offset: i32::MAX as u32, position: u32::MAX };
    assert_eq!(offset.encode(), *b"\x7f\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(OffsetEntry::decode(&offset.encode()), offset);
    let time = TimeEntry { timestamp: i64::MIN, relative_offset: 1 };
    assert_eq!(time.encode(), *b"\x80\0\0\0\0\0\0\0\0\0\0\x01");
    assert_eq!(TimeEntry::decode(&time.encode()), time);
}
