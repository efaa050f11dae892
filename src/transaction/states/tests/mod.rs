//! States in a real catalog: against logs of Kafka, against damage, stops and threads.

mod damage;
mod kafka;
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::catalog::CatalogOptions;
use crate::catalog::tests::{open_to_tail, open_with};
use crate::events::{Event, Events};
use crate::format::batch::BatchBuilder;
use crate::format::record::RecordFields;
use crate::format::transaction_state::{TransactionStatus, push_key};
use crate::sys::Disk;

const LOG_FILE: &str = "00000000000000000000.log";
const NOW: i64 = 1_790_000_000_000;

/// An open directory as far as transactional ids need one.
#[derive(Debug)]
struct Fixture {
    dir: Arc<TempDir>,
    catalog: Arc<Catalog>,
    states: TransactionStates,
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
        let clean = fs::remove_file(dir.path().join(".kafka_cleanshutdown")).is_ok();
        let catalog = open_with(dir.path(), &disk, clean, CatalogOptions::default()).unwrap();
        Self::of(dir, catalog)
    }

    /// The directory as another process sees it.
    fn read_only(dir: Arc<TempDir>) -> Self {
        let catalog = open_to_tail(dir.path()).unwrap();
        Self::of(dir, catalog)
    }

    fn of(dir: Arc<TempDir>, catalog: Catalog) -> Self {
        let (catalog, announcer) = (Arc::new(catalog), Announcer::default());
        let events = announcer.listen();
        let states = TransactionStates::new(Arc::clone(&catalog), announcer, PARTITIONS);
        Self { dir, catalog, states, events }
    }

    /// As the next process finds it after this one was killed.
    fn reopened(self) -> Self {
        let dir = Arc::clone(&self.dir);
        drop(self);
        Self::open(dir)
    }

    /// Makes the topic, and the log of the partition for the ids that are where this one is.
    fn with_log(id: &str, log: &[u8]) -> Self {
        let fixture = Self::new();
        fixture.states.shards_to_write(NOW).unwrap();
        let directory = fixture.directory_of(id);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(LOG_FILE), log).unwrap();
        let topic_id = fixture.catalog.topic(TOPIC).unwrap().id();
        fs::write(directory.join("partition.metadata"), format!("version: 0\ntopic_id: {topic_id}\n"))
            .unwrap();
        fixture
    }

    fn directory_of(&self, id: &str) -> PathBuf {
        self.dir.path().join(format!("{TOPIC}-{}", group_partition(id, PARTITIONS)))
    }

    fn shard_of(&self, id: &str) -> Arc<PartitionLog> {
        Arc::clone(self.states.shards().unwrap().unwrap().of(id).unwrap().log())
    }

    fn write(&self, id: &str, epoch: i16, status: TransactionStatus) {
        let _ = self.written(id, epoch, status);
    }

    fn written(&self, id: &str, epoch: i16, status: TransactionStatus) -> WrittenState {
        self.states.write(id, &state(epoch, status), NOW, Durability::Buffered).unwrap()
    }

    /// Ids, epochs and statuses, as text.
    fn ids(&self) -> Vec<String> {
        let ids = self.states.ids().unwrap();
        ids.iter().map(|(id, state)| format!("{id}: {} {:?}", state.epoch, state.status)).collect()
    }

    fn skipped(&self) -> Vec<(u64, String)> {
        let events = std::iter::from_fn(|| self.events.try_next());
        let skipped = events.map(|event| match event {
            Event::TransactionStateSkipped { partition, offset, reason } => {
                assert_eq!(partition.topic(), TOPIC);
                (offset, reason.into())
            }
            other => panic!("{other:?}"),
        });
        skipped.collect()
    }
}

fn state(epoch: i16, status: TransactionStatus) -> TransactionState {
    TransactionState {
        producer_id: 1000,
        epoch,
        timeout_ms: 60_000,
        status,
        partitions: if status.is_open() { vec![("t", 0).into(), ("t", 3).into()] } else { Vec::new() },
        updated_at: NOW,
        started_at: Some(NOW),
        next_producer_id: None,
        client_version: 0,
    }
}

type Record = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A record with a state of an id.
fn record(id: &str, state: &TransactionState) -> Record {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    push_key(id, &mut key).unwrap();
    state.encode(&mut value).unwrap();
    (Some(key), Some(value))
}

/// A batch as a broker writes it.
fn plain(base: i64, records: &[Record]) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for (key, value) in records {
        let fields = RecordFields { key: key.as_deref(), value: value.as_deref(), headers: &[] };
        let measured = builder.measure(&fields, NOW);
        builder.push(&fields, measured, NOW);
    }
    builder.finish().unwrap().placed_at(base, 0).to_vec()
}

fn vector(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path)
}
