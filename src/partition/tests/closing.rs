//! loom runs every interleaving of the close of a partition with appends, syncs and readers. The view, the tail, the
//! sleepers and the turns are the shipped code. A whole partition is too much for loom, so the order in which its methods take
//! locks is written down here once more: `append`, `sync`, `await_durable` and `end_with_order` in `writer/`. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --no-default-features --lib partition::view::`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

use super::Published;
use crate::sys::Tail;
use crate::sys::sync::Mutex;
use crate::wait::{Parker, Sleepers, Turns, before_parking};

/// Appending has ended.
#[derive(Debug, PartialEq, Eq)]
struct Closed;

#[derive(Default)]
struct Appender {
    appended: u64,
    has_ended: bool,
}

/// A partition by its locks and by what it publishes. Records are counted.
struct Partition {
    appender: Mutex<Appender>,
    finishing: Mutex<()>,
    view: Published<()>,
    tail: Tail,
    sleepers: Sleepers,
    durable: AtomicU64,
    commits: Turns,
    /// No file is synced any more.
    is_closed: AtomicBool,
}

impl Partition {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            appender: Mutex::default(),
            finishing: Mutex::default(),
            view: Published::new(()),
            tail: Tail::new(0, 0),
            sleepers: Sleepers::default(),
            durable: AtomicU64::new(0),
            commits: Turns::default(),
            is_closed: AtomicBool::new(false),
        })
    }

    fn append(&self) -> Result<u64, Closed> {
        let end = {
            let mut appender = self.appender.lock();
            if appender.has_ended {
                return Err(Closed);
            }
            appender.appended += 1;
            self.tail.publish(appender.appended, 0);
            appender.appended
        };
        self.sleepers.wake_all();
        Ok(end)
    }

    fn reaches(&self, end: u64) -> bool {
        self.durable.load(Ordering::Acquire) >= end
    }

    fn sync(&self) -> Result<(), Closed> {
        let end = {
            let appender = self.appender.lock();
            if appender.has_ended {
                return Err(Closed);
            }
            appender.appended
        };
        let _order = self.finishing.lock();
        if !self.reaches(end) {
            assert!(!self.is_closed.load(Ordering::Relaxed), "a file was synced after the close");
            self.durable.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }

    fn await_durable(&self, end: u64) -> Result<(), Closed> {
        let mut outcome = Ok(());
        self.commits.until(end, |end| self.reaches(end), || outcome = self.sync());
        if self.reaches(end) {
            return Ok(());
        }
        if outcome == Err(Closed) {
            drop(self.finishing.lock());
            if self.reaches(end) {
                return Ok(());
            }
        }
        outcome
    }

    fn close(&self) {
        let (appended, _order) = {
            let mut appender = self.appender.lock();
            let order = self.finishing.lock();
            appender.has_ended = true;
            self.view.replace_by_last(|()| ());
            (appender.appended, order)
        };
        self.sleepers.wake_all();
        self.durable.fetch_max(appended, Ordering::AcqRel);
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Reads until the log has ended, and returns how many records there were.
    fn read_to_the_end(&self) -> u64 {
        let mut read = 0;
        loop {
            let has_ended = self.view.is_last();
            let end = self.tail.load().position;
            if end > read {
                read = end;
                continue;
            }
            if has_ended {
                return read;
            }
            let parker = Parker::default();
            let sleeping = self.sleepers.enter(&parker.waker());
            before_parking();
            if self.tail.load().position == read && !self.view.is_last() {
                parker.park(None);
            }
            drop(sleeping);
        }
    }
}

fn check(bound: usize, sides: &[fn(&Partition)]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(bound);
    let sides = sides.to_vec();
    model.check(move || {
        let partition = Partition::new();
        let threads: Vec<_> = sides
            .iter()
            .map(|side| {
                let (partition, side) = (Arc::clone(&partition), *side);
                thread::spawn(move || side(&partition))
            })
            .collect();
        partition.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let appended = partition.appender.lock().appended;
        assert!(partition.reaches(appended), "the close left something unsynced");
        assert_eq!(partition.append(), Err(Closed));
    });
}

/// A record that is in the log is durable once the call returns, whether by a sync of its own or by the close.
fn append_synced(partition: &Partition) {
    if let Ok(end) = partition.append() {
        assert_eq!(partition.await_durable(end), Ok(()), "a record was taken and not made durable");
    }
}

#[test]
fn a_synced_append_beside_the_close_is_durable_or_refused() {
    check(3, &[append_synced]);
    check(2, &[append_synced, append_synced]);
}

#[test]
fn no_sync_comes_after_the_close() {
    check(
        3,
        &[|partition| {
            let _ = partition.append();
            let _ = partition.sync();
        }],
    );
}

#[test]
fn a_reader_that_waits_reads_all_and_then_sees_the_close() {
    check(
        2,
        &[
            |partition| {
                let read = partition.read_to_the_end();
                assert_eq!(read, partition.appender.lock().appended);
            },
            |partition| {
                let _ = partition.append();
            },
        ],
    );
}
