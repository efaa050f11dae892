//! Who is woken by whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::super::{Sleepers, Sleeping};

/// How often it was woken.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn entered(sleepers: &Sleepers, count: usize) -> (Vec<Arc<Counting>>, Vec<Sleeping<'_>>) {
    let all: Vec<Arc<Counting>> = (0..count).map(|_| Arc::default()).collect();
    let sleeping = all.iter().map(|one| sleepers.enter(&Waker::from(Arc::clone(one)))).collect();
    (all, sleeping)
}

fn woken(all: &[Arc<Counting>]) -> Vec<usize> {
    all.iter().map(|one| one.0.load(Ordering::Relaxed)).collect()
}

#[test]
fn a_writer_wakes_one_and_each_that_leaves_the_next() {
    let sleepers = Sleepers::default();
    let (all, sleeping) = entered(&sleepers, 4);
    sleepers.wake_all();
    assert_eq!(woken(&all), [1, 0, 0, 0]);
    assert!(!sleepers.are_there(), "the next append has none to wake");
    sleepers.wake_all();
    assert_eq!(woken(&all), [1, 0, 0, 0]);
    for (left, one) in sleeping.into_iter().enumerate() {
        drop(one);
        let expected: Vec<_> = (0..4).map(|at| usize::from(at <= left + 1)).collect();
        assert_eq!(woken(&all), expected);
    }
}

#[test]
fn one_that_leaves_by_itself_keeps_none_from_being_woken() {
    // Each may leave before it was woken: while it waits, or while others are woken before it.
    for early in 0..3 {
        for is_meant in [false, true] {
            let sleepers = Sleepers::default();
            let (all, mut sleeping) = entered(&sleepers, 3);
            if is_meant {
                sleepers.wake_all();
            }
            drop(sleeping.remove(early));
            if !is_meant {
                sleepers.wake_all();
            }
            for (at, one) in (0..3).filter(|at| *at != early).zip(sleeping) {
                assert_eq!(woken(&all)[at], 1, "{at} after {early} has left, {is_meant}");
                drop(one);
            }
            let was_first = usize::from(is_meant && early == 0);
            assert_eq!(woken(&all)[early], was_first);
        }
    }
}

#[test]
fn those_that_come_while_others_are_woken_are_woken_too() {
    let sleepers = Sleepers::default();
    let (first, sleeping) = entered(&sleepers, 2);
    sleepers.wake_all();
    let (second, more) = entered(&sleepers, 2);
    // One of those that were there is woken by this call, and one of the others by each that leaves.
    sleepers.wake_all();
    assert_eq!((woken(&first), woken(&second)), (vec![1, 1], vec![0, 0]));
    drop(sleeping);
    assert_eq!((woken(&first), woken(&second)), (vec![1, 1], vec![1, 1]));
    drop(more);
    assert_eq!((woken(&first), woken(&second)), (vec![1, 1], vec![1, 1]));
}

#[test]
fn one_that_panics_wakes_the_next() {
    let sleepers = Sleepers::default();
    let (all, sleeping) = entered(&sleepers, 2);
    let mut sleeping = sleeping.into_iter();
    let first = sleeping.next();
    sleepers.wake_all();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _first = first;
        panic!("after it was woken");
    }));
    assert!(panicked.is_err());
    assert_eq!(woken(&all), [1, 1]);
}
