//! loom runs every interleaving of the shipped publish and wake protocol. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --no-default-features --lib wait::`.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::time::Duration;

use loom::sync::atomic::{AtomicU64, Ordering};

use super::super::{Parker, Ready, Request, Requests, Sleepers, Turns, before_parking};
use crate::sys::Tail;
use crate::sys::sync::Mutex;

/// A file of one byte, its tail and those who wait for it.
struct Shared {
    byte: UnsafeCell<u8>,
    tail: Tail,
    sleepers: Sleepers,
}

// The tail says when the byte may be read: the property under test.
#[expect(unsafe_code, reason = "the cell represents mapped memory, and loom checks every access to it")]
// SAFETY: loom fails the test if an access to the cell is not ordered.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { byte: UnsafeCell::new(0), tail: Tail::new(0, 0), sleepers: Sleepers::default() })
    }

    fn append(&self) {
        self.byte.with_mut(|byte| {
            #[expect(unsafe_code, reason = "the cell represents mapped memory")]
            // SAFETY: no thread reads before the tail is published; loom checks it.
            unsafe {
                *byte = 7;
            }
        });
        self.tail.publish(1, 0);
        self.sleepers.wake_all();
    }

    /// The byte, if the tail says that it is there.
    fn read(&self) -> Option<u8> {
        (self.tail.load().position == 1).then(|| {
            self.byte.with(|byte| {
                #[expect(unsafe_code, reason = "the cell represents mapped memory")]
                // SAFETY: the tail was published after the byte was written; loom checks it.
                unsafe {
                    *byte
                }
            })
        })
    }

    fn wait_and_read(&self) -> u8 {
        loop {
            if let Some(byte) = self.read() {
                return byte;
            }
            let parker = Parker::default();
            let sleeping = self.sleepers.enter(&parker.waker());
            before_parking();
            if self.tail.load().position == 0 {
                parker.park(None);
            }
            drop(sleeping);
        }
    }
}

#[test]
fn a_sleeper_is_always_woken_and_sees_the_bytes() {
    loom::model(|| {
        let shared = Shared::new();
        let writer = Arc::clone(&shared);
        let writer = thread::spawn(move || writer.append());
        assert_eq!(shared.wait_and_read(), 7);
        writer.join().unwrap();
    });
}

#[test]
fn two_sleepers_are_both_woken() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = Shared::new();
        let (writer, other) = (Arc::clone(&shared), Arc::clone(&shared));
        let writer = thread::spawn(move || writer.append());
        let other = thread::spawn(move || assert_eq!(other.wait_and_read(), 7));
        assert_eq!(shared.wait_and_read(), 7);
        writer.join().unwrap();
        other.join().unwrap();
    });
}

/// A log of so many records, and those who wait for them.
struct Counted {
    tail: Tail,
    sleepers: Sleepers,
}

impl Default for Counted {
    fn default() -> Self {
        Self { tail: Tail::new(0, 0), sleepers: Sleepers::default() }
    }
}

impl Counted {
    fn append(&self, end: u64) {
        self.tail.publish(end, 0);
        self.sleepers.wake_all();
    }

    fn wait_for(&self, end: u64) {
        while self.tail.load().position < end {
            let parker = Parker::default();
            let sleeping = self.sleepers.enter(&parker.waker());
            before_parking();
            if self.tail.load().position < end {
                parker.park(None);
            }
            drop(sleeping);
        }
    }

    /// As one whose time is up at once.
    fn wait_no_longer(&self) {
        let parker = Parker::default();
        let _sleeping = self.sleepers.enter(&parker.waker());
        before_parking();
    }

    fn check(bound: usize, sides: &[fn(&Self)]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(bound);
        let sides = sides.to_vec();
        model.check(move || {
            let log = Arc::new(Self::default());
            let threads: Vec<_> = sides
                .iter()
                .map(|side| {
                    let (log, side) = (Arc::clone(&log), *side);
                    thread::spawn(move || side(&log))
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

#[test]
fn a_wake_is_passed_on_by_one_whose_time_is_up_and_by_one_that_waits_for_more() {
    let appends_one: fn(&Counted) = |log| log.append(1);
    let appends_two: fn(&Counted) = |log| {
        log.append(1);
        log.append(2);
    };
    Counted::check(2, &[appends_one, Counted::wait_no_longer, |log| log.wait_for(1)]);
    Counted::check(2, &[appends_two, |log| log.wait_for(1), |log| log.wait_for(2)]);
}

/// Two logs, and one who asks both: only those that were marked.
#[derive(Default)]
struct Asking {
    logs: [Counted; 2],
    ready: std::sync::Arc<Ready>,
}

impl Asking {
    /// Asks until all was seen, and sleeps as long as there are no marks.
    fn see(&self, ends: [u64; 2]) {
        let (mut seen, mut marked) = ([0; 2], vec![0, 1]);
        while seen != ends {
            while let Some(number) = marked.pop() {
                seen[number] = self.logs[number].tail.load().position;
                let log = &self.logs[number];
                let has_news = || log.tail.load().position != seen[number];
                if log.sleepers.watch(&self.ready, number, has_news) {
                    log.sleepers.forget(&self.ready);
                    marked.push(number);
                }
            }
            if seen != ends {
                let parker = Parker::default();
                self.ready.wakes(&parker.waker());
                if !self.ready.has_marks() {
                    parker.park(None);
                }
                marked = self.ready.take();
            }
        }
    }

    fn check(bound: usize, sides: &[fn(&Self)]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(bound);
        let sides = sides.to_vec();
        model.check(move || {
            let asking = Arc::new(Self::default());
            let threads: Vec<_> = sides
                .iter()
                .map(|side| {
                    let (asking, side) = (Arc::clone(&asking), *side);
                    thread::spawn(move || side(&asking))
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

#[test]
fn one_who_asks_what_was_marked_sees_all() {
    let one: fn(&Asking) = |asking| asking.logs[0].append(1);
    let both: fn(&Asking) = |asking| {
        asking.logs[0].append(1);
        asking.logs[1].append(1);
    };
    let twice: fn(&Asking) = |asking| {
        asking.logs[0].append(1);
        asking.logs[0].append(2);
    };
    Asking::check(3, &[one, |asking| asking.see([1, 0])]);
    Asking::check(3, &[both, |asking| asking.see([1, 1])]);
    Asking::check(3, &[twice, |asking| asking.see([2, 0])]);
    // Another may be the one that is woken.
    Asking::check(2, &[one, |asking| asking.see([1, 0]), |asking| asking.logs[0].wait_for(1)]);
}

/// What is appended, and how much of that one sync has fsynced.
#[derive(Default)]
struct Synced {
    appended: AtomicU64,
    durable: AtomicU64,
    syncing: AtomicU64,
    turns: Turns,
}

impl Synced {
    fn append_and_wait(&self) {
        let goal = self.appended.fetch_add(1, Ordering::SeqCst) + 1;
        self.turns.until(
            goal,
            |goal| self.durable.load(Ordering::SeqCst) >= goal,
            || {
                assert_eq!(self.syncing.swap(1, Ordering::SeqCst), 0, "one at a time");
                let covered = self.appended.load(Ordering::SeqCst);
                self.durable.fetch_max(covered, Ordering::SeqCst);
                self.syncing.store(0, Ordering::SeqCst);
            },
        );
        assert!(self.durable.load(Ordering::SeqCst) >= goal);
    }
}

#[test]
fn a_sync_serves_all_who_appended_before_it_and_no_thread_waits_for_ever() {
    for (others, bound) in [(1, None), (2, Some(3))] {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = bound;
        model.check(move || {
            let synced = Arc::new(Synced::default());
            let threads: Vec<_> = (0..others)
                .map(|_| {
                    let synced = Arc::clone(&synced);
                    thread::spawn(move || synced.append_and_wait())
                })
                .collect();
            synced.append_and_wait();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

/// A partition, what is asked of the background for it, and how much of it the background or a call has synced.
#[derive(Default)]
struct Asked {
    appended: Mutex<u64>,
    durable: AtomicU64,
    requests: Requests,
    inbox: Mutex<Vec<Request>>,
}

impl Asked {
    fn append(&self, delay: u64) {
        *self.appended.lock() += 1;
        let delay = Duration::from_micros(delay);
        if !self.requests.serves(delay)
            && let Some(request) = self.requests.ask(delay)
        {
            self.inbox.lock().push(request);
        }
    }

    fn sync(&self) {
        self.requests.begin();
        let covered = *self.appended.lock();
        self.durable.fetch_max(covered, Ordering::SeqCst);
    }

    /// What the background does once all delays are over.
    fn serve(&self) {
        let requests = std::mem::take(&mut *self.inbox.lock());
        for request in requests {
            if self.requests.is_open(request) {
                self.sync();
            }
        }
    }

    /// Runs these beside each other: nothing that was appended may be left once the background has come by.
    fn check(bound: Option<usize>, sides: &[fn(&Self)]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = bound;
        let sides = sides.to_vec();
        model.check(move || {
            let asked = Arc::new(Self::default());
            let threads: Vec<_> = sides
                .iter()
                .map(|side| {
                    let (asked, side) = (Arc::clone(&asked), *side);
                    thread::spawn(move || side(&asked))
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            asked.serve();
            assert_eq!(asked.durable.load(Ordering::SeqCst), *asked.appended.lock(), "a sync was forgotten");
        });
    }
}

#[test]
fn no_sync_that_was_asked_for_is_forgotten_beside_others() {
    let appends: fn(&Asked) = |asked| {
        asked.append(5);
        asked.append(5);
    };
    let hurries: fn(&Asked) = |asked| asked.append(3);
    Asked::check(None, &[appends, Asked::sync]);
    Asked::check(Some(3), &[appends, Asked::sync, Asked::serve]);
    Asked::check(Some(3), &[appends, hurries, Asked::sync]);
}
