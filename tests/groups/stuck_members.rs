//! Members that do not poll: whatever became of them, their partitions are read by others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, Error, Event, EventLog, Events, Maintenance, ManualClock, Position, Record,
    Records, Timestamp, TopicConfig,
};

const INTERVAL: Duration = Duration::from_secs(30);
const NEARLY: Duration = Duration::from_millis(29_999);

struct Scene {
    _dir: tempfile::TempDir,
    clock: ManualClock,
    log: EventLog,
    events: Events,
}

/// A topic "t" with two partitions and a record in each.
fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_000));
    let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
    let log = options.open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    for partition in topic.partitions() {
        log.producer().unwrap().send_batch(&partition, [Record::new("x")]).unwrap();
    }
    let events = log.events();
    Scene { _dir: dir, clock, log, events }
}

impl Scene {
    fn consumer(&self, interval: impl Into<Option<Duration>>) -> Consumer {
        let config = ConsumerConfig::new().group("g").max_poll_interval(interval);
        self.log.consumer_with(config).unwrap()
    }

    fn member(&self, interval: impl Into<Option<Duration>>) -> Consumer {
        let mut consumer = self.consumer(interval);
        consumer.subscribe(["t"]).unwrap();
        consumer
    }

    fn reported(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_next()).collect()
    }

    /// Within the interval `other` gets nothing more; at its end everything, and all is read.
    fn goes_to(&self, other: &mut Consumer) {
        let before = other.assignment().len();
        polls(other);
        self.clock.advance(NEARLY);
        assert_eq!((poll(other).assigned().len(), other.assignment().len()), (0, before));
        self.clock.advance(Duration::from_millis(1));
        polls(other);
        assert_eq!(other.assignment().len(), 2);
        let evicted = |event: &Event| matches!(event, Event::MemberEvicted { .. });
        assert_eq!(self.reported().iter().filter(|event| evicted(event)).count(), 1);
    }
}

fn polls(consumer: &mut Consumer) {
    let _ = consumer.poll(Duration::ZERO).unwrap();
}

fn poll(consumer: &mut Consumer) -> Records {
    consumer.poll(Duration::ZERO).unwrap()
}

#[test]
fn one_that_subscribed_and_never_polled_is_evicted() {
    let scene = scene();
    let _silent = scene.member(INTERVAL);
    let mut other = scene.member(None);
    assert_eq!(poll(&mut other).len(), 1, "half is for the other");
    scene.goes_to(&mut other);
}

#[test]
fn one_that_never_polled_is_an_event_after_ten_seconds() {
    let scene = scene();
    let _silent = scene.member(None);
    let mut other = scene.member(None);
    polls(&mut other);
    scene.clock.advance(Duration::from_millis(9_999));
    polls(&mut other);
    assert_eq!(scene.reported(), []);
    scene.clock.advance(Duration::from_millis(1));
    polls(&mut other);
    let reported = scene.reported();
    let [Event::MemberNotPolling { group, member }] = &reported[..] else { panic!("{reported:?}") };
    assert_eq!((&**group, &**member), ("g", "consumer-00000000"));
    // Once.
    scene.clock.advance(Duration::from_secs(100));
    polls(&mut other);
    assert_eq!(scene.reported(), []);
    assert_eq!(other.assignment().len(), 1, "without an interval no member is evicted");
}

#[test]
fn one_whose_poll_failed_is_evicted() {
    let scene = scene();
    let mut failing = scene.member(INTERVAL);
    assert_eq!(poll(&mut failing).len(), 2);
    failing.seek(Position::new(("t", 0), 99)).unwrap();
    failing.seek(Position::new(("t", 1), 99)).unwrap();
    let mut other = scene.member(INTERVAL);
    failing.poll(Duration::ZERO).unwrap_err();
    scene.goes_to(&mut other);
}

#[test]
fn one_whose_matcher_panicked_is_evicted_and_reads_nothing_more_before_it_has_joined_again() {
    let scene = scene();
    let mut member = scene.consumer(INTERVAL);
    let panics = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&panics);
    let wanted = move |name: &str| {
        assert!(!asked.load(Ordering::Relaxed), "made to panic by a test");
        name == "t"
    };
    member.subscribe_matching(wanted).unwrap();
    assert_eq!(poll(&mut member).len(), 2);
    let mut other = scene.member(None);
    panics.store(true, Ordering::Relaxed);
    scene.log.create_topic("u", TopicConfig::new()).unwrap();
    let mut panicking = || catch_unwind(AssertUnwindSafe(|| member.poll(Duration::ZERO))).unwrap_err();
    panicking();
    scene.goes_to(&mut other);
    assert_eq!(poll(&mut other).len(), 0, "read with the poll that got them");
    // Evicted, it meets its matcher again when it joins.
    for _ in 0..3 {
        panicking();
    }
    panics.store(false, Ordering::Relaxed);
    for partition in scene.log.topic("t").unwrap().partitions() {
        scene.log.producer().unwrap().send_batch(&partition, [Record::new("y")]).unwrap();
    }
    let records = poll(&mut member);
    assert_eq!((records.lost().len(), records.len()), (2, 0), "they are the other's");
    assert_eq!(poll(&mut other).len(), 1, "of the one that it is to keep");
}

#[test]
fn one_whose_matcher_does_not_return_is_evicted() {
    let scene = scene();
    let mut member = scene.consumer(INTERVAL);
    let (at_work, resumed) = (crossbeam_channel::bounded::<()>(0), crossbeam_channel::bounded::<()>(0));
    let (entered, released) = (at_work.0, resumed.1);
    let release = resumed.0;
    let hangs = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&hangs);
    let wanted = move |name: &str| {
        if asked.swap(false, Ordering::Relaxed) {
            entered.send(()).unwrap();
            // An error if the test has failed meanwhile.
            let _ = released.recv();
        }
        name == "t"
    };
    member.subscribe_matching(wanted).unwrap();
    assert_eq!(poll(&mut member).len(), 2);
    let mut other = scene.member(None);
    scene.log.create_topic("u", TopicConfig::new()).unwrap();
    hangs.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let release = release;
        let polling = scope.spawn(|| member.poll(Duration::ZERO).unwrap());
        at_work.1.recv().unwrap();
        scene.goes_to(&mut other);
        release.send(()).unwrap();
        assert_eq!(polling.join().unwrap().lost().len(), 2);
    });
}

#[test]
fn the_default_interval_is_kafkas_five_minutes() {
    let scene = scene();
    let mut slow = scene.log.consumer("g").unwrap();
    slow.subscribe(["t"]).unwrap();
    assert_eq!(poll(&mut slow).len(), 2);
    let mut other = scene.log.consumer("g").unwrap();
    other.subscribe(["t"]).unwrap();
    polls(&mut other);
    scene.clock.advance(Duration::from_millis(299_999));
    assert_eq!(poll(&mut other).assigned().len(), 0);
    scene.clock.advance(Duration::from_millis(1));
    assert_eq!(poll(&mut other).assigned().len(), 2);
    assert!(matches!(slow.commit(), Err(Error::FencedGeneration { .. })));
}

#[test]
fn one_that_is_alone_keeps_its_partitions_however_long_it_takes() {
    let scene = scene();
    let mut alone = scene.member(INTERVAL);
    assert_eq!(poll(&mut alone).len(), 2);
    scene.clock.advance(INTERVAL * 100);
    assert_eq!(scene.log.group("g").unwrap().describe().unwrap().members.len(), 1, "looking changes nothing");
    alone.commit().unwrap();
    assert!(poll(&mut alone).lost().is_empty());
    // What is done by hand does not wait for it for ever.
    let group = scene.log.group("g").unwrap();
    let to = || [Position::new(("t", 0), 0)];
    assert!(matches!(group.set_committed(to()), Err(Error::GroupNotEmpty { .. })));
    scene.clock.advance(INTERVAL);
    group.set_committed(to()).unwrap();
}
