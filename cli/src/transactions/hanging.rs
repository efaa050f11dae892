//! `transactions --find-hanging`: in the columns of Kafka's tool.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use stratalog::inspect::{BatchView, ControlKind, LogFile, producer_snapshot};
use stratalog::{Partition, PartitionOffsets, Topic};

use super::{now_millis, of_columns};
use crate::{Outcome, Output, Session, files};

const MINUTE: i64 = 60_000;

/// Where to look, and what is too short to be of interest.
#[derive(Debug, Args)]
pub(super) struct Scope {
    /// With --find-hanging: only this topic.
    #[arg(long)]
    topic: Option<String>,
    /// With --find-hanging: only this partition of the topic.
    #[arg(long, value_name = "NUMBER", requires = "topic")]
    partition: Option<u32>,
    /// With --find-hanging: leave out what was written in the last so many minutes, 15 without it; 0 leaves out nothing.
    /// A process that writes at this moment may be about to end what it has open.
    #[arg(long, value_name = "MINUTES")]
    max_transaction_timeout: Option<u32>,
}

impl Scope {
    pub(super) fn is_given(&self) -> bool {
        self.topic.is_some() || self.partition.is_some() || self.max_transaction_timeout.is_some()
    }

    /// Whether it was written to long enough ago.
    fn includes(&self, last_timestamp: i64, now: i64) -> bool {
        let minutes = self.max_transaction_timeout.unwrap_or(15);
        minutes == 0 || now.saturating_sub(last_timestamp) > i64::from(minutes) * MINUTE
    }
}

/// A transaction that a partition has open.
struct Open {
    producer_epoch: i16,
    start: i64,
    /// The largest of its last batch.
    timestamp: i64,
}

/// What the batches of a partition say, one after another.
#[derive(Default)]
struct Producers {
    /// By producer id.
    open: BTreeMap<i64, Open>,
    /// By producer id: of the coordinator that wrote its last marker.
    coordinator_epochs: HashMap<i64, i32>,
}

impl Producers {
    fn take(&mut self, batch: &BatchView<'_>) -> Outcome {
        let id = batch.producer_id();
        let Some(start) = batch.base_offset().filter(|_| batch.is_transactional()) else { return Ok(()) };
        if !batch.is_control() {
            let (producer_epoch, timestamp) = (batch.producer_epoch(), batch.max_timestamp());
            let open = self.open.entry(id).or_insert(Open { producer_epoch, start, timestamp });
            (open.producer_epoch, open.timestamp) = (producer_epoch, timestamp);
            return Ok(());
        }
        for record in batch.records()?.iter() {
            if let Some(
                ControlKind::Abort { coordinator_epoch } | ControlKind::Commit { coordinator_epoch },
            ) = record.control()
            {
                self.open.remove(&id);
                self.coordinator_epochs.insert(id, coordinator_epoch);
            }
        }
        Ok(())
    }
}

pub(super) fn run(scope: &Scope, session: &Session) -> Outcome {
    let log = session.read()?;
    let topics = match &scope.topic {
        Some(name) => vec![log.topic(name)?],
        None => log.topics()?,
    };
    let mut partitions: Vec<Partition> = match (scope.partition, topics.as_slice()) {
        (Some(number), [topic]) => vec![topic.partition(number)?],
        _ => topics.iter().flat_map(Topic::partitions).collect(),
    };
    partitions.sort_by(|a, b| a.id().cmp(b.id()));
    let ids = log.transactional_ids()?;
    let expected: HashSet<_> =
        ids.iter().flat_map(|id| id.partitions.iter().map(|of| (id.producer_id, of))).collect();
    let now = now_millis();
    let mut out = Output::new();
    let mut table = of_columns([
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ]);
    for partition in &partitions {
        let of = partition.id();
        let Producers { open, coordinator_epochs } = producers(partition, session)?;
        for (id, Open { producer_epoch, start, timestamp }) in open {
            if expected.contains(&(id, of)) || !scope.includes(timestamp, now) {
                continue;
            }
            let coordinator_epoch = coordinator_epochs.get(&id).copied().unwrap_or(-1);
            let minutes = now.saturating_sub(timestamp) / MINUTE;
            if session.json() {
                out.json(&json!({
                    "topic": of.topic(), "partition": of.partition(), "producerId": id, "producerEpoch": producer_epoch,
                    "coordinatorEpoch": coordinator_epoch, "startOffset": start, "lastTimestamp": timestamp,
                    "durationMinutes": minutes,
                }))?;
                continue;
            }
            table.row([
                of.topic().to_owned(),
                of.partition().to_string(),
                id.to_string(),
                producer_epoch.to_string(),
                coordinator_epoch.to_string(),
                start.to_string(),
                timestamp.to_string(),
                minutes.to_string(),
            ]);
        }
    }
    if !session.json() {
        out.write_all(table.tabbed().as_bytes())?;
    }
    out.end()
}

/// The producers of a partition with a transaction open. Every one begins at the last stable offset or after it, so the
/// files before are not read.
fn producers(partition: &Partition, session: &Session) -> Outcome<Producers> {
    let mut found = Producers::default();
    let PartitionOffsets { last_stable, log_end, .. } = partition.offsets()?;
    if last_stable >= log_end {
        return Ok(found);
    }
    let dir = session.existing_dir()?.join(partition.id().to_string());
    let mut segments = partition.segments()?;
    segments.retain(|segment| segment.offsets.end > last_stable);
    for (at, segment) in segments.iter().enumerate() {
        let base = segment.offsets.start;
        if at == 0 {
            found.coordinator_epochs = coordinator_epochs(&file(&dir, base, "snapshot"))?;
        }
        let mut file = LogFile::open(file(&dir, base, "log"))?;
        if let Some(bytes) = session.decompressed() {
            file = file.max_decompressed_batch_bytes(bytes);
        }
        while let Some(batch) = file.next_batch()? {
            // What a killed process has left after the end is no part of the log.
            if !u64::try_from(batch.last_offset()).is_ok_and(|last| last < log_end) {
                break;
            }
            found.take(&batch)?;
        }
    }
    found.open.retain(|_, open| u64::try_from(open.start).is_ok_and(|start| start >= last_stable));
    Ok(found)
}

fn file(dir: &Path, base: u64, suffix: &str) -> PathBuf {
    dir.join(format!("{base:020}.{suffix}"))
}

/// By producer id, as a snapshot of producers has them. There is none at the beginning of a partition.
fn coordinator_epochs(snapshot: &Path) -> Outcome<HashMap<i64, i32>> {
    if !files::is_there(snapshot)? {
        return Ok(HashMap::new());
    }
    let entries = producer_snapshot(snapshot)?;
    Ok(entries.iter().map(|entry| (entry.producer_id, entry.coordinator_epoch)).collect())
}
