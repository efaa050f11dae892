//! Compaction of one partition: on disks that fail, when the power goes, and with others at work meanwhile.

mod ends;
mod faults;
mod followers;
#[cfg(target_os = "linux")]
mod held;
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(held_files)))]
mod kept;
mod markers;
mod ordered;
// Holds every file open.
#[cfg(all(target_os = "linux", not(held_files)))]
mod power;
mod proof;
mod vectors;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fixture::{ANY, Fixture, MAPPED, TestRecord, append, as_log, read};
use crate::background::tests::{Alone, alone};
use crate::background::{Channels, MaintenanceReport};
use crate::clock::{ManualClock, Pace, Timestamp};
use crate::error::Result;
use crate::events::{Event, Events};
use crate::partition::settings::Compaction as Settings;
use crate::partition::{BackgroundSync, Checkpointed, Leader, PartitionLog};
use crate::sys::faults::Faults;

const NOW: i64 = 1_700_000_000_000;
const RETENTION_MS: i64 = 60_000;
/// Everything that is dirty is worth while.
const ALWAYS: Settings =
    Settings { min_dirty_ratio: 0.0, min_lag_ms: 0, max_lag_ms: i64::MAX, delete_retention_ms: RETENTION_MS };

/// Offsets with their records, as a reader gets them.
type Seen = Vec<(u64, TestRecord)>;

/// A partition that is compacted by hand, opened again and again.
struct Bench {
    fixture: Fixture,
    work: Alone,
    clock: ManualClock,
    events: Events,
}

impl Bench {
    fn new(segment_bytes: u32) -> Self {
        let mut fixture = Fixture::new(MAPPED, segment_bytes);
        fixture.settings.compaction = Some(ALWAYS);
        let clock = ManualClock::new(Timestamp::from_millis(NOW));
        let pace = Pace::Clock(Arc::new(clock.clone()));
        let channels = Channels::new(pace, BackgroundSync::default());
        fixture.context = channels.context.clone();
        let events = fixture.context.events.listen();
        let work = alone(channels, Some(Arc::new(clock.clone())), 1 << 16);
        Self { fixture, work, clock, events }
    }

    /// Opens the partition, which is the one that is maintained from now on.
    fn open(&self, faults: &Faults, checkpointed: Checkpointed) -> Arc<Leader> {
        self.work.catalog.set_partitions(Vec::new());
        let log = self.fixture.open_with(faults, checkpointed);
        log.load().unwrap();
        self.work.catalog.set_partitions(vec![Arc::new(Arc::clone(&log).into())]);
        log
    }

    fn open_new(&self) -> Arc<Leader> {
        self.open(&Faults::default(), Checkpointed::default())
    }

    fn run(&self) -> Result<MaintenanceReport> {
        self.work.background.run()
    }

    /// What was reported since the last call.
    fn reported(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_next()).collect()
    }

    /// Names of files that are only there while a swap is not finished.
    fn unfinished(&self) -> Vec<String> {
        let is_left = |name: &String| name.ends_with(".cleaned") || name.ends_with(".swap");
        self.fixture.files().into_keys().filter(is_left).collect()
    }
}

fn clean(log_end: u64) -> Checkpointed {
    Checkpointed { clean: true, recovery_point: Some(log_end), ..Checkpointed::default() }
}

fn unclean(point: u64) -> Checkpointed {
    Checkpointed { recovery_point: Some(point), ..Checkpointed::default() }
}

fn keyed(key: &str, value: Option<&str>) -> TestRecord {
    TestRecord {
        timestamp: NOW,
        key: Some(key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        ..TestRecord::default()
    }
}

/// Records with few keys and many, some of which are deleted, in batches of three.
fn fill(log: &Arc<Leader>, batches: usize) {
    for n in 0..batches {
        let often = keyed(&format!("often {}", n % 5), Some(&format!("{n:0120}")));
        let once = keyed(&format!("once {n}"), Some(&format!("{n:0100}")));
        let gone = keyed(&format!("once {}", n / 2), (n % 3 == 0).then_some("again"));
        append(log, &[often, once, gone]).unwrap();
    }
}

fn seen<T>(log: &Arc<T>) -> Seen
where
    Arc<T>: Into<PartitionLog>,
{
    read(log, as_log(log).log_start(), ANY).unwrap()
}

/// The last value of each key, tombstones included, with its offset.
fn last_of(seen: &[(u64, TestRecord)]) -> BTreeMap<Vec<u8>, (u64, Option<Vec<u8>>)> {
    let last = |(offset, record): &(u64, TestRecord)| {
        (record.key.clone().unwrap_or_default(), (*offset, record.value.clone()))
    };
    seen.iter().map(last).collect()
}
