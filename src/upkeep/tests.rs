//! Code of the user's that panics in the background: it is reported, and the background works on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::work::Work;
use super::{Holdings, Inboxes, Lingering, Threads};
use crate::clock::{Clock, Moment, Pace, Timestamp};
use crate::error::Result;
use crate::events::{Event, Events};
use crate::partition::{BackgroundSync, PartitionLog};

#[derive(Debug, Default)]
struct PanicsAtWill(AtomicBool);

impl Clock for PanicsAtWill {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::Relaxed), "made to panic by a test");
        Timestamp::from_millis(1_700_000_000_000)
    }
}

/// Counts what is done.
#[derive(Debug, Default)]
struct Counting {
    looks: AtomicU32,
    checkpoints: AtomicU32,
}

impl Holdings for Counting {
    fn write_checkpoints(&self) -> Result<()> {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn raise_log_starts(&self, _raised: &[(Arc<PartitionLog>, u64)]) -> Result<()> {
        Ok(())
    }

    fn write_cleaned(&self) -> Result<()> {
        Ok(())
    }

    fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        Vec::new()
    }

    fn forgets_offsets(&self) -> bool {
        true
    }
}

struct Scene {
    clock: Arc<PanicsAtWill>,
    holdings: Arc<Counting>,
    events: Events,
    work: Arc<Work>,
    inbox: crossbeam_channel::Sender<super::Linger>,
}

fn scene() -> Scene {
    let (clock, holdings) = (Arc::new(PanicsAtWill::default()), Arc::new(Counting::default()));
    let inboxes = Inboxes::new(Pace::default(), BackgroundSync::default());
    let (events, inbox) = (inboxes.chores.events.listen(), inboxes.linger.clone());
    let held: Arc<dyn Holdings> = Arc::clone(&holdings) as _;
    let work = inboxes.work_on(held, Some(Arc::clone(&clock) as _), 1 << 20);
    Scene { clock, holdings, events, work: Arc::new(work), inbox }
}

fn failures(events: &Events) -> Vec<(&'static str, String)> {
    let told = std::iter::from_fn(|| events.try_next());
    told.map(|event| match event {
        Event::MaintenanceFailed { task, failure } => (task, failure.into()),
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn a_clock_that_panics_is_reported_and_what_does_not_need_it_is_done() {
    let Scene { clock, holdings, events, work, .. } = scene();
    let looks = || holdings.looks.load(Ordering::Relaxed);
    clock.0.store(true, Ordering::Relaxed);
    work.make_everything_due();
    let failed = work.run_upkeep().unwrap_err();
    assert!(failed.to_string().contains("the clock that the log was opened with panicked"), "{failed}");
    // Retention, expiry of committed positions, compaction.
    let told = failures(&events);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.iter().all(|(task, failure)| *task == "asking the log's clock" && failure.contains("panicked"))
    );
    assert_eq!((holdings.checkpoints.load(Ordering::Relaxed), looks()), (1, 0));
    // It does not come again at once.
    let next = work.next_upkeep().unwrap();
    assert!(next > Pace::default().now().after(Duration::from_secs(100)).unwrap(), "{next:?}");

    clock.0.store(false, Ordering::Relaxed);
    work.make_everything_due();
    work.run_upkeep().unwrap();
    assert_eq!((failures(&events), looks()), (Vec::new(), 2));
}

/// Lingers until it is written, which panics at first.
#[derive(Debug)]
struct PanicsAtFirst {
    trials: AtomicU32,
    panics: u32,
    written: Mutex<Option<crossbeam_channel::Sender<()>>>,
}

impl Lingering for PanicsAtFirst {
    fn write_overdue(&self, _now: Moment) -> Option<Moment> {
        assert!(self.trials.fetch_add(1, Ordering::Relaxed) >= self.panics, "made to panic by a test");
        // Dropped: whoever waits for it sees that.
        *self.written.lock() = None;
        None
    }

    fn log_has_closed(&self) {}
}

#[test]
fn records_whose_writing_panicked_go_on_lingering() {
    let Scene { events, work, inbox, .. } = scene();
    let threads = Threads::start(&work).unwrap();
    let (written, is_written) = crossbeam_channel::bounded(0);
    let lingering =
        Arc::new(PanicsAtFirst { trials: AtomicU32::new(0), panics: 1, written: Mutex::new(Some(written)) });
    let weak: std::sync::Weak<dyn Lingering> = Arc::downgrade(&lingering) as _;
    inbox.send((work.pace.now(), weak)).unwrap();
    let patience = Duration::from_secs(60);
    assert_eq!(is_written.recv_timeout(patience), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    threads.stop();
    assert_eq!(lingering.trials.load(Ordering::Relaxed), 2);
    let told = failures(&events);
    assert_eq!(told, [("writing lingering records", "panicked: made to panic by a test".to_owned())]);
}

#[test]
fn a_panic_that_no_task_catches_is_reported_and_leaves_the_round_to_be_done_again() {
    let Scene { events, work, .. } = scene();
    assert_eq!(work.survive("maintenance", || panic!("made to panic by a test: {}", 7)), None::<()>);
    assert_eq!(failures(&events), [("maintenance", "panicked: made to panic by a test: 7".to_owned())]);
    assert_eq!(work.survive("maintenance", || 7), Some(7));
}
