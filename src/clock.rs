//! Time: what a record's timestamp is, and where it comes from.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time, in milliseconds since 1970 in UTC, as Kafka stores it. May lie before 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From Unix time in milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Unix time in milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl From<SystemTime> for Timestamp {
    /// Fractions of a millisecond are dropped.
    fn from(time: SystemTime) -> Self {
        // Not `as_millis`, whose 128 bits would be divided.
        let millis = |span: Duration| {
            let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
            seconds.saturating_mul(1000).saturating_add(i64::from(span.subsec_millis()))
        };
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        })
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Where timestamps come from. Implemented by [`SystemClock`] and [`ManualClock`].
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The time now. Called while a record is sent, never under the lock of a partition, and by the threads of the log.
    ///
    /// It should not panic. In a call of yours a panic passes through to you; in a thread of the log it is an
    /// [`Event::MaintenanceFailed`](crate::Event::MaintenanceFailed), what needs the time waits, and the rest continues.
    fn now(&self) -> Timestamp;
}

/// The system's clock, to the millisecond.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

/// The clock of a log: records without a timestamp of their own take theirs from it. The user's, or the system's.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogClock {
    own: Option<Arc<dyn Clock>>,
    system: SystemTimeSource,
}

/// How the system's clock is read. It comes from above: this room knows no processors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemTimeSource {
    pub(crate) unix_millis: fn() -> i64,
    /// A reading is kept as long as its millisecond, so that there may be one for each record.
    pub(crate) is_read_seldom: bool,
}

impl Default for SystemTimeSource {
    fn default() -> Self {
        Self { unix_millis: || SystemClock.now().0, is_read_seldom: false }
    }
}

impl LogClock {
    pub(crate) fn new(own: Option<Arc<dyn Clock>>, system: SystemTimeSource) -> Self {
        Self { own, system }
    }

    /// Before 1970 it is 1970: Kafka takes nothing earlier.
    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        let now = match &self.own {
            None => Timestamp((self.system.unix_millis)()),
            Some(clock) => clock.now(),
        };
        now.max(Timestamp::from_millis(0))
    }

    /// The same where the user's clock must not end the work by a panic: it is the system's time then.
    pub(crate) fn now_unless_panicked(&self) -> Timestamp {
        time_of(self.own.as_deref()).unwrap_or_else(|| SystemClock.now()).max(Timestamp::from_millis(0))
    }

    /// Whether it may be read for each record.
    pub(crate) fn is_read_seldom(&self) -> bool {
        self.own.is_none() && self.system.is_read_seldom
    }

    pub(crate) fn is_system(&self) -> bool {
        self.own.is_none()
    }
}

/// The time by a user's clock, or by the system's without one. `None`: the user's clock panicked. For threads of the log
/// and for values that are being dropped, where a panic would end more than the call.
pub(crate) fn time_of(clock: Option<&dyn Clock>) -> Option<Timestamp> {
    match clock {
        None => Some(SystemClock.now()),
        Some(clock) => catch_unwind(AssertUnwindSafe(|| clock.now())).ok(),
    }
}

/// A clock that is stopped until it is moved, for tests. Clones share one time.
///
/// ```
/// use std::time::Duration;
/// use stratalog::{Clock, ManualClock, Timestamp};
/// let clock = ManualClock::new(Timestamp::from_millis(1_000));
/// clock.clone().advance(Duration::from_secs(2));
/// assert_eq!(clock.now(), Timestamp::from_millis(3_000));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    millis: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicI64::new(now.0)) }
    }

    /// Moves the clock forward. Fractions of a millisecond are dropped.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.millis.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.millis.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.millis.load(Ordering::Relaxed))
    }
}

/// The scale by which deadlines of background work go. Real time, so that a manual clock that is stopped does not
/// stop a running thread; or the log's clock, where no thread runs and everything is driven by hand.
#[derive(Debug, Clone)]
pub(crate) enum Pace {
    Real { since: Instant },
    Clock(Arc<dyn Clock>),
}

/// A moment on the scale of a [`Pace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self::Real { since: Instant::now() }
    }
}

impl Pace {
    pub(crate) fn now(&self) -> Moment {
        Moment(match self {
            Self::Real { since } => since.elapsed(),
            Self::Clock(clock) => Duration::from_millis(u64::try_from(clock.now().0).unwrap_or(0)),
        })
    }

    /// The same where a panic of the user's clock must not spread: `None` if it did.
    pub(crate) fn now_unless_panicked(&self) -> Option<Moment> {
        match self {
            Self::Real { .. } => Some(self.now()),
            Self::Clock(_) => catch_unwind(AssertUnwindSafe(|| self.now())).ok(),
        }
    }

    /// The same; after a panic, the start of the scale.
    pub(crate) fn now_or_start(&self) -> Moment {
        self.now_unless_panicked().unwrap_or(Moment(Duration::ZERO))
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self, Self::Clock(_))
    }

    /// When real time comes to `moment`; `None` if it does not say.
    pub(crate) fn instant_of(&self, moment: Moment) -> Option<Instant> {
        match self {
            Self::Real { since } => since.checked_add(moment.0),
            Self::Clock(_) => None,
        }
    }
}

impl Moment {
    /// On the scale, which has room for five hundred years.
    pub(crate) fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1)
    }

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }

    /// `None`: never.
    pub(crate) fn after(self, delay: Duration) -> Option<Self> {
        self.0.checked_add(delay).map(Self)
    }
}
