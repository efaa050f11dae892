//! A partition in a directory of its own, and what tests write to it and read from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use tempfile::TempDir;

use crate::config::{Durability, ReadUpTo};
use crate::error::Result;
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::compression::DEFAULT_DECOMPRESSED_BYTES;
use crate::format::frame::{FrameKind, valid_batch_at};
use crate::format::header::BatchHeader;
use crate::format::index::{OFFSET_ENTRY, OffsetEntry, TIME_ENTRY, TimeEntry};
use crate::format::raw_record::RawRecord;
use crate::format::record::{Header, RecordFields};
use crate::format::uuid::Uuid;
use crate::partition::{
    AppendAt, AppendRequest, Appender, Checkpointed, Cursor, FetchLimits, Fetched, Flush, Leader,
    MaintenanceRequest, PartitionContext, PartitionLog, PartitionOpening, PartitionSettings, Retention,
};
use crate::segment;
use crate::sys::faults::Faults;
use crate::sys::{Disk, Right};

/// Exhaustive tests take every n-th step only where a system call takes long, as under Wine.
pub(super) const STRIDE: usize = if cfg!(windows) { 7 } else { 1 };

/// The ways a disk can be reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Modes {
    pub(super) map_writes: bool,
    pub(super) map_reads: bool,
    pub(super) allocates: bool,
}

pub(super) const MAPPED: Modes = Modes { map_writes: true, map_reads: true, allocates: true };
pub(super) const POSITIONED: Modes = Modes { map_writes: false, map_reads: false, allocates: true };
pub(super) const EXACT: Modes = Modes { map_writes: false, map_reads: false, allocates: false };

impl Modes {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self {
            map_writes: bits & 1 != 0,
            map_reads: bits & 2 != 0,
            allocates: bits & 4 != 0,
        })
    }
}

pub(super) const ANY: FetchLimits = FetchLimits { bytes: 1 << 20, records: usize::MAX };

/// A log directory for one partition, opened again and again.
#[derive(Debug)]
pub(super) struct Fixture {
    root: TempDir,
    pub(super) disk: Disk,
    pub(super) settings: PartitionSettings,
    pub(super) context: PartitionContext,
    /// Keeps the requests to a background that never gets to them.
    waiting: Option<Receiver<MaintenanceRequest>>,
}

impl Fixture {
    pub(super) fn new(modes: Modes, segment_bytes: u32) -> Self {
        // In memory where there is such a place: thousands of syncs of a disk take minutes.
        let memory = if cfg!(unix) { "/dev/shm" } else { "no such place" };
        let root = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        let mut disk = Disk::of(root.path(), modes.map_writes, modes.map_reads);
        disk.allocates = modes.allocates;
        let settings = PartitionSettings {
            segment_bytes,
            max_batch_bytes: 1 << 20,
            max_decompressed_bytes: DEFAULT_DECOMPRESSED_BYTES,
            index_interval_bytes: 300,
            first_epoch: 0,
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            flush: Flush::NEVER,
            retention: Retention::NEVER,
            compaction: None,
        };
        Self { root, disk, settings, context: PartitionContext::default(), waiting: None }
    }

    /// Leaves sealed segments to a background that never gets to them.
    pub(super) fn finish_late(&mut self) {
        let (finish, waiting) = crossbeam_channel::unbounded();
        self.context.maintenance = Some(finish);
        self.waiting = Some(waiting);
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.root.path().join("orders-0")
    }

    pub(super) fn log_file(&self, base: u64) -> PathBuf {
        self.directory().join(segment::file_name(base, segment::LOG))
    }

    /// A topic id that matches the one of the sample log directory.
    pub(super) fn topic_id() -> Uuid {
        Uuid::parse("ayn8QMpHQGezHQDdAQZi2g").unwrap()
    }

    pub(super) fn open(&self, checkpointed: Checkpointed) -> Arc<Leader> {
        self.open_on(&self.disk, checkpointed)
    }

    pub(super) fn open_with(&self, faults: &Faults, checkpointed: Checkpointed) -> Arc<Leader> {
        self.open_on(&Disk { faults: faults.clone(), ..self.disk.clone() }, checkpointed)
    }

    /// Partition 1 of the same topic.
    pub(super) fn open_second(&self, faults: &Faults) -> Arc<Leader> {
        let disk = Disk { faults: faults.clone(), ..self.disk.clone() };
        let first = self.opening(&disk, Checkpointed::default());
        Leader::new(PartitionOpening { id: ("orders", 1).into(), ..first })
    }

    fn opening<'o>(&'o self, disk: &'o Disk, checkpointed: Checkpointed) -> PartitionOpening<'o> {
        let (id, topic_id, root) = (("orders", 0).into(), Self::topic_id(), self.root.path());
        let (settings, context) = (self.settings.clone(), self.context.clone());
        PartitionOpening { id, topic_id, root, disk, settings, checkpointed, context }
    }

    fn open_on(&self, disk: &Disk, checkpointed: Checkpointed) -> Arc<Leader> {
        Leader::new(self.opening(disk, checkpointed))
    }

    /// For following what another opening of the directory writes.
    pub(super) fn follow_with(&self, map_reads: bool) -> Arc<PartitionLog> {
        let disk = Disk { right: Right::ReadOnly, map_writes: false, map_reads, ..self.disk.clone() };
        PartitionLog::open(self.opening(&disk, Checkpointed::default()))
    }

    /// The same with faults.
    pub(super) fn follow_on(&self, faults: &Faults) -> Arc<PartitionLog> {
        let faults = faults.clone();
        let disk = Disk { right: Right::ReadOnly, map_writes: false, faults, ..self.disk.clone() };
        PartitionLog::open(self.opening(&disk, Checkpointed::default()))
    }

    pub(super) fn open_new(&self) -> Arc<Leader> {
        self.open(Checkpointed::default())
    }

    /// As after a crash: nothing was closed, and this was the recovery point.
    pub(super) fn open_unclean(&self, point: u64) -> Arc<Leader> {
        self.open(Checkpointed {
            clean: false,
            recovery_point: Some(point),
            log_start: 0,
            ..Checkpointed::default()
        })
    }

    pub(super) fn open_clean(&self, point: u64) -> Arc<Leader> {
        self.open(Checkpointed {
            clean: true,
            recovery_point: Some(point),
            log_start: 0,
            ..Checkpointed::default()
        })
    }

    /// Every file of the partition with its bytes.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(self.directory()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let name = entry.file_name().into_string().unwrap();
                files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
        files
    }

    /// Asserts that there are these files with these bytes and no others.
    pub(super) fn assert_files(&self, expected: &BTreeMap<String, Vec<u8>>) {
        let files = self.files();
        let names = files.keys().chain(expected.keys());
        let different: Vec<_> = names.filter(|name| files.get(*name) != expected.get(*name)).collect();
        assert!(different.is_empty(), "these differ: {different:?}");
    }

    /// Whether a file can take the name of one that is open, as Unix and NTFS have it and Wine does not.
    pub(super) fn replaces_open_files(&self) -> bool {
        let [open, new] = ["open", "new"].map(|name| self.root.path().join(name));
        let _open = self.disk.create(&open).unwrap();
        drop(self.disk.create(&new).unwrap());
        let replaced = self.disk.rename(&new, &open).is_ok();
        assert!(replaced || cfg!(any(windows, held_files)));
        replaced
    }

    /// Drops the requests that wait: they keep files open, and on some systems an open file keeps its name.
    pub(super) fn forget_requests(&self) {
        self.waiting.iter().for_each(|waiting| waiting.try_iter().for_each(drop));
    }

    /// Removes the directory. Nothing but requests may have files in it open.
    pub(super) fn remove(&self) {
        self.forget_requests();
        let _ = fs::remove_dir_all(self.directory());
        assert!(!self.directory().exists());
    }

    /// Puts the directory back to what [`files`](Self::files) had returned.
    pub(super) fn restore(&self, files: &BTreeMap<String, Vec<u8>>) {
        self.remove();
        fs::create_dir(self.directory()).unwrap();
        for (name, bytes) in files {
            fs::write(self.directory().join(name), bytes).unwrap();
        }
    }

    /// Base offsets of the log files, ascending.
    pub(super) fn bases(&self) -> Vec<u64> {
        self.files().keys().filter_map(|name| segment::base_of(name, segment::LOG)).collect()
    }

    /// After a close: files end at their last batch, and the indexes say the truth about them.
    pub(super) fn check_closed(&self) {
        for base in self.bases() {
            check_closed_segment(self, base);
        }
        // The state of producers, where each segment but the first begins, and where the log ends.
        let files = self.files();
        let bases = self.bases();
        let last =
            bases.last().map(|base| batches_of(&files[&segment::file_name(*base, segment::LOG)], *base));
        let end = last.and_then(|last| last.last().map(|last| last.header.last_offset() + 1));
        let ends = bases.into_iter().skip(1).chain(end.map(i64::cast_unsigned));
        for at in ends {
            let snapshot = files.get(&segment::file_name(at, segment::PRODUCER_SNAPSHOT));
            assert_eq!(snapshot.map(Vec::len), Some(10), "the snapshot of {at}");
        }
    }
}

/// Where a batch lies and what its header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) position: usize,
    pub(super) bytes: usize,
    pub(super) header: BatchHeader,
}

/// The batches of a log file, all of which must be whole.
pub(super) fn batches_of(file: &[u8], base: u64) -> Vec<At> {
    let (mut found, mut position, mut expected) = (Vec::new(), 0, base);
    while position < file.len() {
        let frame = valid_batch_at(&file[position..], expected).unwrap();
        let FrameKind::Batch(header) = frame.kind else { panic!("a legacy message") };
        found.push(At { position, bytes: frame.bytes, header });
        position += frame.bytes;
        expected = frame.last_offset() + 1;
    }
    found
}

fn check_closed_segment(fixture: &Fixture, base: u64) {
    let path = fixture.log_file(base);
    let file = fs::read(&path).unwrap();
    let batches = batches_of(&file, base);
    let entries = segment::stored_entries(&fixture.disk, &path, file.len() as u64).unwrap();
    let entries = entries.unwrap_or_else(|| panic!("indexes of {} do not fit", path.display()));
    let base = i64::try_from(base).unwrap();
    for entry in entries.offset_file().as_chunks::<OFFSET_ENTRY>().0 {
        let entry = OffsetEntry::decode(entry);
        let batch = batches.iter().find(|batch| batch.position == entry.position as usize).unwrap();
        assert_eq!(batch.header.last_offset(), base + i64::from(entry.relative_offset));
    }
    let times = entries.time_file();
    let times: Vec<_> = times.as_chunks::<TIME_ENTRY>().0.iter().map(TimeEntry::decode).collect();
    for entry in &times {
        let end_offset = base + i64::from(entry.relative_offset);
        let before = batches.iter().filter(|batch| batch.header.base_offset <= end_offset);
        assert_eq!(before.map(|batch| batch.header.max_timestamp).max(), Some(entry.timestamp));
    }
    let largest = batches.iter().map(|batch| batch.header.max_timestamp).max();
    assert_eq!(times.last().map(|entry| entry.timestamp), largest.filter(|largest| *largest >= 0));
}

/// A record as tests compare it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TestRecord {
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl TestRecord {
    pub(super) fn of(value: impl Into<Vec<u8>>) -> Self {
        Self { timestamp: 1000, value: Some(value.into()), ..Self::default() }
    }
}

pub(super) fn batch(records: &[TestRecord]) -> BatchBuilder {
    let mut builder = BatchBuilder::default();
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| {
                value.as_ref().map_or_else(|| Header::null(name), |value| Header::new(name, value))
            })
            .collect();
        let fields =
            RecordFields { key: record.key.as_deref(), value: record.value.as_deref(), headers: &headers };
        builder.push(&fields, builder.measure(&fields, record.timestamp), record.timestamp);
    }
    builder
}

pub(super) fn append(log: &Arc<Leader>, records: &[TestRecord]) -> Result<u64> {
    let mut builder = batch(records);
    let mut batch = builder.finish().unwrap();
    let request = AppendRequest::new(&mut batch, AppendAt::End, Durability::Buffered);
    log.append(request).map(|appended| appended.base_offset)
}

/// Appends a batch of `count` records with recognisable values.
pub(super) fn append_numbered(log: &Arc<Leader>, count: u64, bytes: usize) -> Result<u64> {
    let next = log.bounds()?.log_end;
    let records: Vec<_> = (next..next + count).map(|offset| numbered(offset, bytes)).collect();
    append(log, &records)
}

/// Deletes the records below an offset, as a directory does that keeps no checkpoint.
pub(super) fn delete_records(log: &Arc<Leader>, before: u64) -> Result<u64> {
    log.prepare_start(before)?;
    log.advance_start(before);
    Ok(log.log_start())
}

/// What [`append_numbered`] writes at an offset.
pub(super) fn numbered(offset: u64, bytes: usize) -> TestRecord {
    let timestamp = 1000 + i64::try_from(offset).unwrap();
    TestRecord { timestamp, ..TestRecord::of(format!("{offset:>bytes$}")) }
}

/// The records of one fetch, with their offsets.
pub(super) fn records_of(fetched: &Fetched) -> Vec<(u64, TestRecord)> {
    let (mut rest, mut found) = (fetched.bytes.as_ref(), Vec::new());
    while let Some((batch, after)) = Batch::take_checked(rest) {
        rest = after;
        let mut input = batch.records();
        let count = if batch.header.is_control() { 0 } else { batch.header.record_count };
        for _ in 0..count {
            let record = RawRecord::take(&mut input).unwrap();
            let offset = u64::try_from(batch.header.base_offset + i64::from(record.offset_delta)).unwrap();
            if (fetched.from..fetched.end_offset).contains(&offset) {
                found.push((offset, owned(&record, batch.timestamp_of(&record))));
            }
        }
    }
    assert!(rest.is_empty(), "complete batches only");
    assert_eq!(found.len(), fetched.records, "as many as were counted");
    found
}

fn owned(record: &RawRecord<'_>, timestamp: i64) -> TestRecord {
    TestRecord {
        timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record
            .headers
            .iter()
            .map(|header| (header.name().to_owned(), header.value().map(<[u8]>::to_vec)))
            .collect(),
    }
}

/// A partition as the rooms above know it.
pub(super) fn as_log<T>(log: &Arc<T>) -> PartitionLog
where
    Arc<T>: Into<PartitionLog>,
{
    Arc::clone(log).into()
}

/// Everything from `from` to the end.
pub(super) fn read<T>(log: &Arc<T>, from: u64, limits: FetchLimits) -> Result<Vec<(u64, TestRecord)>>
where
    Arc<T>: Into<PartitionLog>,
{
    let mut cursor = Cursor::new(Arc::clone(log), from, ReadUpTo::Visible);
    let mut found = Vec::new();
    while let Some(fetched) = cursor.fetch(limits)? {
        assert!(fetched.records > 0 && fetched.records <= limits.records);
        found.extend(records_of(&fetched));
        assert_eq!(cursor.offset(), fetched.end_offset);
    }
    Ok(found)
}

/// Asserts that the log holds exactly the numbered records of these offsets.
pub(super) fn assert_numbered<T>(log: &Arc<T>, offsets: std::ops::Range<u64>, bytes: usize)
where
    Arc<T>: Into<PartitionLog>,
{
    let bounds = as_log(log).bounds().unwrap();
    assert_eq!((bounds.log_start, bounds.log_end), (offsets.start, offsets.end));
    let expected: Vec<_> = offsets.clone().map(|offset| (offset, numbered(offset, bytes))).collect();
    assert_eq!(read(log, offsets.start, ANY).unwrap(), expected);
}

/// What the preallocation thread does, at once.
pub(super) fn preallocate_now(log: &Leader) {
    if let Appender::Active { writer, .. } = &*log.writer.appender() {
        let (growth, tail) = writer.growth();
        growth.preallocate_now(tail.load().position);
    }
}

/// What retention asks for, without a checkpoint.
#[expect(clippy::unnecessary_wraps, reason = "what is asked for may fail")]
pub(super) fn raise(raised: &[(Arc<Leader>, u64)]) -> Result<()> {
    for (log, to) in raised {
        log.advance_start(*to);
    }
    Ok(())
}
