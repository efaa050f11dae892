//! loom runs every interleaving of a writer and a reader of `stratalog.live`, by the shipped code over words in memory: what
//! a slot says, and that no wake is lost between processes. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --no-default-features --lib live_file::model::`.

use std::time::Duration;

use loom::thread;

use super::*;
use crate::wait::{Sleepers, before_parking};

const ID_OF_IT: Uuid = Uuid::from_bytes([7; 16]);

/// A file with space for one slot, as the writer and as a reader have it.
fn empty() -> (Arc<LiveWriter>, LiveView) {
    let (common_from, _) = shape(1);
    let slot = [ID, ID + 8, PARTITION, BASE, WORD].map(|field| HEADER + field);
    let words = SharedWords::in_memory(
        [SLOTS_IN_ALL, SLOTS_IN_USE].into_iter().chain(slot),
        [0, HEADER_FLAG, OVER, FLAGS].map(|at| common_from + at),
    );
    let page = || SharedPage { words: words.clone(), slots: 1, common_from };
    let live = LiveWriter { page: page(), path: PathBuf::new(), taking: Mutex::default() };
    (Arc::new(live), LiveView { page: page() })
}

/// The same after the writer has taken the slot.
fn one_slot() -> (LiveSlot, LiveView) {
    let (live, view) = empty();
    (live.take(ID_OF_IT, 0).unwrap(), view)
}

/// What an append does once its bytes are in the file.
fn append(slot: &LiveSlot, sleepers: &Sleepers, word: u64) {
    slot.publish(word);
    sleepers.wake_all();
    slot.wake();
}

/// What a consumer does that finds nothing new: see `consumer/following.rs`.
fn wait_until(view: &LiveView, is_new: impl Fn() -> bool) {
    while !is_new() {
        let seen = view.seen().unwrap();
        view.ask_for_new_slots();
        view.raise(Some(0));
        before_parking();
        if !is_new() {
            view.wait(seen, Duration::MAX);
        }
    }
}

#[test]
fn a_reader_in_another_process_is_woken_by_an_append() {
    loom::model(|| {
        let (slot, view) = one_slot();
        slot.begin(0, 0);
        let writer = thread::spawn(move || append(&slot, &Sleepers::default(), 1));
        wait_until(&view, || view.shown(0) == Some(Shown { base: 0, word: 1 }));
        writer.join().unwrap();
    });
}

#[test]
fn each_append_wakes_who_waits_for_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (slot, view) = one_slot();
        slot.begin(0, 0);
        let writer = thread::spawn(move || {
            let sleepers = Sleepers::default();
            append(&slot, &sleepers, 1);
            append(&slot, &sleepers, 2);
        });
        for word in [1, 2] {
            wait_until(&view, || view.shown(0).is_some_and(|shown| shown.word >= word));
        }
        writer.join().unwrap();
    });
}

#[test]
fn two_readers_of_one_slot_are_both_woken() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (slot, view) = one_slot();
        slot.begin(0, 0);
        let view = Arc::new(view);
        let other = Arc::clone(&view);
        let is_there = |view: &LiveView| view.shown(0).is_some_and(|shown| shown.word == 1);
        let other = thread::spawn(move || wait_until(&other, || is_there(&other)));
        let writer = thread::spawn(move || append(&slot, &Sleepers::default(), 1));
        wait_until(&view, || is_there(&view));
        writer.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_slot_never_says_the_word_of_one_segment_with_the_base_of_another() {
    loom::model(|| {
        let (slot, view) = one_slot();
        slot.begin(0, 10);
        let writer = thread::spawn(move || {
            slot.publish(11);
            slot.begin(100, 20);
            slot.publish(21);
        });
        let mut last = 0;
        for _ in 0..2 {
            if let Some(shown) = view.shown(0) {
                let words = if shown.base == 0 { 10..=11 } else { 20..=21 };
                assert!(words.contains(&shown.word), "{shown:?}");
                assert!(shown.word >= last, "{shown:?} after {last}");
                last = shown.word;
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_slot_is_there_whole_once_it_is_counted_and_wakes_who_waits_for_new_ones() {
    loom::model(|| {
        let (live, view) = empty();
        let writer = thread::spawn(move || live.take(ID_OF_IT, 3).unwrap().begin(5, 6));
        let is_there = || {
            let is_counted = view.in_use() == 1;
            let found = view.slot_of(ID_OF_IT, 3, 0);
            assert!(found.is_some() || !is_counted, "a slot is counted before it says whose it is");
            found.is_some_and(|slot| view.shown(slot) == Some(Shown { base: 5, word: 6 }))
        };
        wait_until(&view, is_there);
        writer.join().unwrap();
    });
}

#[test]
fn the_end_of_a_writer_wakes_its_readers() {
    loom::model(|| {
        let (slot, view) = one_slot();
        slot.begin(0, 0);
        let writer = thread::spawn(move || slot.live.page.end());
        wait_until(&view, || view.page.is_over());
        writer.join().unwrap();
    });
}
