//! Code of the user's that panics in the background: it is reported, and the background works on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{Background, Channels, Lingering, Subject, Threads};
use crate::catalog::Catalog;
use crate::catalog::tests::holding;
use crate::clock::{Clock, Moment, Pace, Timestamp};
use crate::events::{Announcer, Event, Events};
use crate::group::{CommittedOffsets, Coordinator, Deletions};
use crate::partition::BackgroundSync;
use crate::transaction::Transactions;

#[derive(Debug, Default)]
struct PanicsAtWill(AtomicBool);

impl Clock for PanicsAtWill {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::Relaxed), "made to panic by a test");
        Timestamp::from_millis(1_700_000_000_000)
    }
}

/// A background that looks after a catalog of its own, which other partitions can be put into.
pub(crate) struct Alone {
    pub(crate) background: Arc<Background>,
    pub(crate) catalog: Arc<Catalog>,
    root: TempDir,
}

pub(crate) fn alone(channels: Channels, clock: Option<Arc<dyn Clock>>, compaction_memory: usize) -> Alone {
    alone_checking(channels, clock, compaction_memory, super::RETENTION_INTERVAL)
}

fn alone_checking(
    channels: Channels,
    clock: Option<Arc<dyn Clock>>,
    compaction_memory: usize,
    retention_check_interval: Duration,
) -> Alone {
    let (root, catalog) = holding(Vec::new());
    let offsets = CommittedOffsets::new(Arc::clone(&catalog), Announcer::default(), 1);
    let groups =
        Coordinator::new(Arc::clone(&catalog), offsets, Announcer::default(), Pace::default(), clock.clone());
    let deletions = Arc::new(Deletions::new(&catalog, &groups, Announcer::default(), true));
    let offsets_retention = Some(Duration::from_secs(60));
    let subject = Subject {
        catalog: Arc::clone(&catalog),
        transactions: Transactions::new(&catalog, &groups, &channels.context),
        groups,
        deletions,
        offsets_retention,
        retention_check_interval,
        clock,
        compaction_memory,
    };
    Alone { background: Arc::new(channels.work_on(subject)), catalog, root }
}

struct Scene {
    clock: Arc<PanicsAtWill>,
    alone: Alone,
    events: Events,
    inbox: crossbeam_channel::Sender<super::Linger>,
}

fn scene() -> Scene {
    let clock = Arc::new(PanicsAtWill::default());
    let channels = Channels::new(Pace::default(), BackgroundSync::default());
    let (events, inbox) = (channels.context.events.listen(), channels.linger.clone());
    Scene { alone: alone(channels, Some(Arc::clone(&clock) as _), 1 << 20), clock, events, inbox }
}

fn failures(events: &Events) -> Vec<(&'static str, String)> {
    let reported = std::iter::from_fn(|| events.try_next());
    reported
        .map(|event| match event {
            Event::MaintenanceFailed { task, failure } => (task, failure.into()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_clock_that_panics_is_reported_and_what_does_not_need_it_is_done() {
    let Scene { clock, alone: Alone { background, root, .. }, events, .. } = scene();
    let checkpoint = root.path().join("recovery-point-offset-checkpoint");
    clock.0.store(true, Ordering::Relaxed);
    background.make_everything_due();
    let failed = background.run_tasks().unwrap_err();
    assert!(failed.to_string().contains("the clock that the log was opened with panicked"), "{failed}");
    // Retention, expiry of committed positions, of transactional ids and of producers, compaction.
    let reported = failures(&events);
    assert_eq!(reported.len(), 5, "{reported:?}");
    assert!(
        reported
            .iter()
            .all(|(task, failure)| *task == "asking the log's clock" && failure.contains("panicked"))
    );
    assert!(checkpoint.exists());
    // It does not come again at once.
    let next = background.next_task().unwrap();
    assert!(next > Pace::default().now().after(Duration::from_secs(100)).unwrap(), "{next:?}");

    clock.0.store(false, Ordering::Relaxed);
    background.make_everything_due();
    assert!(background.run_tasks().unwrap().checkpoints_written);
    assert_eq!(failures(&events), Vec::new());
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
        // Dropped: the waiting thread sees that.
        *self.written.lock() = None;
        None
    }

    fn log_has_closed(&self) {}
}

#[test]
fn records_whose_writing_panicked_continue_lingering() {
    let Scene { alone: Alone { background, .. }, events, inbox, .. } = scene();
    let threads = Threads::start(&background).unwrap();
    let (written, is_written) = crossbeam_channel::bounded(0);
    let lingering =
        Arc::new(PanicsAtFirst { trials: AtomicU32::new(0), panics: 1, written: Mutex::new(Some(written)) });
    let weak: std::sync::Weak<dyn Lingering> = Arc::downgrade(&lingering) as _;
    inbox.send((background.pace.now(), weak)).unwrap();
    let patience = Duration::from_secs(60);
    assert_eq!(is_written.recv_timeout(patience), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    threads.stop();
    assert_eq!(lingering.trials.load(Ordering::Relaxed), 2);
    let reported = failures(&events);
    assert_eq!(reported, [("writing lingering records", "panicked: made to panic by a test".to_owned())]);
}

#[test]
fn a_panic_that_no_task_catches_is_reported_and_leaves_the_round_to_be_done_again() {
    let Scene { alone: Alone { background, .. }, events, .. } = scene();
    let survive = |work: fn() -> u8| background.attempts.unless_panicked("maintenance", None, work);
    assert_eq!(survive(|| panic!("made to panic by a test: {}", 7)), None);
    assert_eq!(failures(&events), [("maintenance", "panicked: made to panic by a test: 7".to_owned())]);
    assert_eq!(survive(|| 7), Some(7));
}

#[test]
fn retention_looks_again_within_the_interval_that_was_given() {
    for interval in [1, 10, 300].map(Duration::from_secs) {
        let channels = Channels::new(Pace::default(), BackgroundSync::default());
        let context = channels.context.clone();
        let work = alone_checking(channels, None, 0, interval);
        let background = &work.background;
        let due = |background: &Background| background.tasks.lock().retention_due().unwrap();
        let at_most = background.pace.now().after(interval.min(Duration::from_secs(30))).unwrap();
        assert!(due(background) <= at_most, "{interval:?} after the open");
        background.make_everything_due();
        background.run_tasks().unwrap();
        assert_eq!(background.tasks.lock().retention_due(), None, "nothing is to be looked for");
        let before = background.pace.now().after(interval).unwrap();
        context.retain();
        background.run_tasks().unwrap();
        let after = background.pace.now().after(interval).unwrap();
        assert!((before..=after).contains(&due(background)), "{interval:?}");
    }
}
