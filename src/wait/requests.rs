//! Something that is to be done before long, by the next thread that does it: a request of many, and its end.
//!
//! | who wants it done | who does it |
//! |---|---|
//! | brings about what is to be covered | [`begin`](Requests::begin): no request is open any more |
//! | [`ask`](Requests::ask): a request that is wanted earlier takes the place of the open one | looks what there is, and does it |
//!
//! Both halves of the state are one word: a request is open exactly as long as no round has begun since it was made. As
//! two words a request could be noted in a round in which it is void: it would keep others from asking, and no thread would
//! ever come for it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::sys::sync::AtomicU64;

/// Bits of the word that hold the delay, in microseconds; those above count rounds.
const DELAY_BITS: u32 = 40;
const NOT_ASKED: u64 = (1 << DELAY_BITS) - 1;

/// Rounds that have begun, and the shortest delay that was asked for since the last one.
///
/// Delays count in whole microseconds, and one of more than twelve days counts as twelve days.
#[derive(Debug)]
pub(crate) struct Requests(AtomicU64);

/// A request: to begin a round after `delay` at the latest, unless one has begun since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) delay: Duration,
    round: u64,
}

impl Default for Requests {
    fn default() -> Self {
        Self(AtomicU64::new(NOT_ASKED))
    }
}

impl Requests {
    /// Whether an open request is early enough for this delay. One load.
    #[inline]
    pub(crate) fn serves(&self, delay: Duration) -> bool {
        // What was appended before this load is covered by the round that the request leads to. Had the round begun
        // before, its work would have come to the lock before the append, and this load could not miss its beginning.
        delay_of(self.0.load(Ordering::Relaxed)) <= micros(delay)
    }

    /// Asks. `Some`: no other call has asked for it so early since the last round began, and the caller brings it about.
    pub(crate) fn ask(&self, delay: Duration) -> Option<Request> {
        let micros = micros(delay);
        let earlier =
            |word: u64| (delay_of(word) > micros).then_some((round_of(word) << DELAY_BITS) | micros);
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, earlier).ok()?;
        Some(Request { delay: Duration::from_micros(micros), round: round_of(before) })
    }

    /// A round begins: what is brought about from here on may not be covered, and asks anew.
    pub(crate) fn begin(&self) {
        let next = |word: u64| Some((round_of(word).wrapping_add(1) << DELAY_BITS) | NOT_ASKED);
        // Always `Ok`: `next` refuses no word.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// Whether no round has begun since the request was made.
    pub(crate) fn is_open(&self, request: Request) -> bool {
        round_of(self.0.load(Ordering::Acquire)) == request.round
    }
}

/// A delay as the word holds it: rounded down, never [`NOT_ASKED`].
#[inline]
fn micros(delay: Duration) -> u64 {
    u64::try_from(delay.as_micros()).unwrap_or(u64::MAX).min(NOT_ASKED - 1)
}

#[inline]
fn delay_of(word: u64) -> u64 {
    word & NOT_ASKED
}

fn round_of(word: u64) -> u64 {
    word >> DELAY_BITS
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_request_of_a_round_counts() {
        let (requests, ms) = (Requests::default(), Duration::from_millis);
        assert!(!requests.serves(Duration::MAX));
        let late = requests.ask(ms(9)).unwrap();
        assert_eq!((late.delay, requests.ask(ms(9)), requests.ask(ms(10))), (ms(9), None, None));
        assert!(requests.serves(ms(9)) && !requests.serves(ms(8)));
        let early = requests.ask(ms(8)).unwrap();
        assert!(requests.is_open(late) && requests.is_open(early));
        requests.begin();
        assert!(!requests.is_open(late) && !requests.is_open(early) && !requests.serves(Duration::MAX));
        assert!(requests.is_open(requests.ask(ms(100)).unwrap()));
    }

    #[test]
    fn delays_of_any_length_fit_the_word() {
        let requests = Requests::default();
        let longest = Duration::from_micros(NOT_ASKED - 1);
        assert_eq!(requests.ask(Duration::MAX).map(|request| request.delay), Some(longest));
        assert!(requests.serves(Duration::MAX));
        assert_eq!(requests.ask(Duration::ZERO).map(|request| request.delay), Some(Duration::ZERO));
        // The count of rounds starts again some day.
        requests.0.store(u64::MAX, Ordering::Relaxed);
        let last = requests.ask(Duration::ZERO).unwrap();
        requests.begin();
        assert!(!requests.is_open(last) && !requests.serves(Duration::MAX));
        assert_eq!(requests.0.load(Ordering::Relaxed), NOT_ASKED);
    }
}
