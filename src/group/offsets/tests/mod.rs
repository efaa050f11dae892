//! Committed offsets in a real catalog: against logs of Kafka, against a model, against damage, faults and threads.

mod cleanup;
mod compacted;
mod damage;
mod faults;
mod kafka;
mod model;
mod recommits;
mod tailing;
mod threads;
mod transactions;
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::catalog::CatalogOptions;
use crate::catalog::tests::{open_to_tail, open_with};
use crate::events::{Event, Events};
use crate::format::batch::BatchBuilder;
use crate::format::compression::{BatchLimits, Encoding};
use crate::format::coordinator_record::CoordinatorKey;
use crate::format::crc::crc32c;
use crate::format::header::{BatchHeader, CHECKSUMMED, Codec};
use crate::format::record::RecordFields;
use crate::sys::Disk;

const LOG_FILE: &str = "00000000000000000000.log";
const CLEAN_MARKER: &str = ".kafka_cleanshutdown";
const NOW: i64 = 1_700_000_000_000;
/// Attributes of a batch in a transaction, and of the marker at its end.
const TRANSACTIONAL: i16 = 0x10;
const MARKER: i16 = 0x30;

impl CommittedOffsets {
    /// Commits and waits, as a group that has noted since when it has positions.
    fn commit(&self, group: &str, positions: &[Position], now: i64, level: Durability) -> Result<()> {
        self.append(group, positions, None, now, level)?.wait()
    }
}

/// An open directory as far as groups need one.
#[derive(Debug)]
struct Fixture {
    dir: Arc<TempDir>,
    catalog: Arc<Catalog>,
    offsets: CommittedOffsets,
    events: Events,
}

impl Fixture {
    fn new() -> Self {
        // In memory where there is such a place: much here is synced.
        let memory = if cfg!(unix) { "/dev/shm" } else { "no such place" };
        Self::open(Arc::new(tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()))
    }

    fn open(dir: Arc<TempDir>) -> Self {
        let disk = Disk::of(dir.path(), true, true);
        Self::open_on(dir, &disk)
    }

    fn open_on(dir: Arc<TempDir>, disk: &Disk) -> Self {
        let clean = fs::remove_file(dir.path().join(CLEAN_MARKER)).is_ok();
        let catalog = open_with(dir.path(), disk, clean, CatalogOptions::default()).unwrap();
        Self::of(dir, Arc::new(catalog))
    }

    /// The directory as another process sees it.
    fn read_only(dir: Arc<TempDir>) -> Self {
        let catalog = open_to_tail(dir.path()).unwrap();
        Self::of(dir, Arc::new(catalog))
    }

    fn of(dir: Arc<TempDir>, catalog: Arc<Catalog>) -> Self {
        let announcer = Announcer::default();
        let events = announcer.listen();
        let offsets = CommittedOffsets::new(Arc::clone(&catalog), announcer, PARTITIONS);
        Self { dir, catalog, offsets, events }
    }

    /// As the next process finds it after this one was killed.
    fn reopened(self) -> Self {
        let dir = Arc::clone(&self.dir);
        drop(self);
        Self::open(dir)
    }

    /// Makes the topic, and the log of the partition for the groups that are where this one is.
    fn with_log(group: &str, log: &[u8]) -> Self {
        let fixture = Self::new();
        fixture.put_log(group, log);
        fixture
    }

    fn put_log(&self, group: &str, log: &[u8]) {
        self.offsets.shards_to_write(NOW).unwrap();
        let directory = self.directory_of(group);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(LOG_FILE), log).unwrap();
        let topic_id = self.catalog.topic(TOPIC).unwrap().id();
        fs::write(directory.join("partition.metadata"), format!("version: 0\ntopic_id: {topic_id}\n"))
            .unwrap();
    }

    fn directory_of(&self, group: &str) -> PathBuf {
        self.dir.path().join(format!("{TOPIC}-{}", group_partition(group, PARTITIONS)))
    }

    fn commit(&self, group: &str, topic: &str, partition: u32, offset: u64) {
        let position = Position::new((topic, partition), offset);
        self.offsets.commit(group, &[position], NOW, Durability::Buffered).unwrap();
    }

    fn offset(&self, group: &str, topic: &str, partition: u32) -> Option<u64> {
        let committed = self.offsets.get(group, &(topic, partition).into()).unwrap();
        committed.map(|committed| committed.offset)
    }

    /// What a group has committed, as text.
    fn all_of(&self, group: &str) -> Vec<String> {
        let all = self.offsets.of_group(group).unwrap();
        all.iter().map(|(of, committed)| format!("{of}: {}", committed.offset)).collect()
    }

    /// How many records there are in the partition of a group.
    fn log_end(&self, group: &str) -> u64 {
        let shards = self.offsets.shards().unwrap().unwrap();
        shards.of(group).unwrap().log().bounds().unwrap().log_end
    }

    fn reported(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_next()).collect()
    }
}

/// A record with an offset commit of version 3.
fn commit(group: &str, topic: &str, partition: u32, offset: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    CoordinatorKey::Offset { group, topic, partition }.encode(&mut key).unwrap();
    let commit = OffsetCommit {
        offset,
        leader_epoch: None,
        metadata: "",
        committed_at: NOW,
        expires_at: None,
        topic_id: Uuid::ZERO,
    };
    commit.encode(&mut value).unwrap();
    (key, Some(value))
}

/// A batch as a broker writes it.
fn frame(base: i64, attributes: i16, producer_id: i64, records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<u8> {
    frame_with(Codec::None, base, attributes, producer_id, records)
}

fn frame_with(
    codec: Codec,
    base: i64,
    attributes: i16,
    producer_id: i64,
    records: &[(Vec<u8>, Option<Vec<u8>>)],
) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for (key, value) in records {
        let fields = RecordFields { key: Some(key), value: value.as_deref(), headers: &[] };
        let measured = builder.measure(&fields, NOW);
        builder.push(&fields, measured, NOW);
    }
    let encoding = Encoding { codec, level: if codec == Codec::Gzip { 1 } else { 3 } };
    let mut bytes = builder.finish_with(encoding, BatchLimits::NONE).unwrap().placed_at(base, 0).to_vec();
    let header = BatchHeader::read(bytes.first_chunk().unwrap());
    let producer_epoch = if producer_id < 0 { -1 } else { 0 };
    let attributes = attributes | codec.attributes();
    BatchHeader { attributes, producer_id, producer_epoch, ..header }.write(bytes.first_chunk_mut().unwrap());
    let crc = crc32c(&bytes[CHECKSUMMED..]);
    BatchHeader::seal(bytes.first_chunk_mut().unwrap(), crc);
    bytes
}

fn plain(base: i64, records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<u8> {
    frame(base, 0, -1, records)
}

/// The end of a transaction.
fn marker(base: i64, producer_id: i64, commits: bool) -> Vec<u8> {
    let record = (vec![0, 0, 0, u8::from(commits)], Some(vec![0; 6]));
    frame(base, MARKER, producer_id, &[record])
}

fn vector(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path)
}
