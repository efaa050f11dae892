//! Which of many places may have something new, for one who would otherwise ask each of them.
//!
//! Who asks watches a place where it has found nothing, under a number. A watch lasts for one wake: the writer takes it off and marks
//! the number. Then the place is asked, watched again, and asked once more, since what came before the watch was marked for none.
//! The fences are those of the sleepers, a watch being a sleeper that costs no thread.

use std::sync::atomic::Ordering;
use std::task::Waker;

use crate::sys::sync::{AtomicUsize, Mutex};

/// The places that were marked and not taken since.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// How many they are, for a check without the lock. Changed under the lock.
    count: AtomicUsize,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    numbers: Vec<usize>,
    /// To be woken by the next mark.
    sleeper: Option<Waker>,
}

impl Ready {
    /// Whether there are any. One load.
    #[inline]
    pub(crate) fn has_marks(&self) -> bool {
        self.count.load(Ordering::Acquire) != 0
    }

    /// Takes all.
    pub(crate) fn take(&self) -> Vec<usize> {
        if !self.has_marks() {
            return Vec::new();
        }
        let mut marks = self.marks.lock();
        self.count.store(0, Ordering::Release);
        std::mem::take(&mut marks.numbers)
    }

    /// Has the next mark wake a sleeper, which must check before it parks whether there [are marks](Self::has_marks) already.
    pub(crate) fn wakes(&self, sleeper: &Waker) {
        self.marks.lock().sleeper = Some(sleeper.clone());
    }

    pub(super) fn mark(&self, number: usize) {
        let sleeper = {
            let mut marks = self.marks.lock();
            marks.numbers.push(number);
            self.count.store(marks.numbers.len(), Ordering::Release);
            marks.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }
}
