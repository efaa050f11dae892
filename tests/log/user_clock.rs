//! A clock of the user's: what becomes of the log when it panics, and how often it is read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use stratalog::{
    Clock, ConsumerConfig, Event, EventLog, Maintenance, ProducerConfig, Record, Timestamp, TopicConfig,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Counts who asks, and panics if it is to.
#[derive(Debug, Clone, Default)]
struct Watched(Arc<State>);

#[derive(Debug, Default)]
struct State {
    panics: AtomicBool,
    reads: AtomicUsize,
}

impl Watched {
    fn panics(&self, panics: bool) {
        self.0.panics.store(panics, Ordering::SeqCst);
    }

    fn reads(&self) -> usize {
        self.0.reads.swap(0, Ordering::SeqCst)
    }
}

impl Clock for Watched {
    fn now(&self) -> Timestamp {
        assert!(!self.0.panics.load(Ordering::SeqCst), "made to panic by a test");
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        Timestamp::from_millis(1_700_000_000_000)
    }
}

#[test]
fn lingering_records_are_written_once_a_clock_no_longer_panics() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Watched::default();
    let log = EventLog::options().clock(clock.clone()).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let events = log.events();
    let config = ProducerConfig::new().linger(Duration::from_millis(1));
    let mut producer = log.producer_with(config).unwrap().buffered();
    // Until one lingers into the panic: the thread may have been faster.
    while producer.pending() == 0 {
        clock.panics(false);
        producer.enqueue(&topic, Record::new("x")).unwrap();
        clock.panics(true);
    }
    let failed = events.next_timeout(PATIENCE);
    assert!(
        matches!(&failed, Some(Event::MaintenanceFailed { failure, .. }) if failure.contains("panicked")),
        "{failed:?}"
    );
    let pending = producer.pending();
    assert!(pending > 0);
    clock.panics(false);
    let start = std::time::Instant::now();
    while producer.pending() > 0 {
        assert!(start.elapsed() < PATIENCE, "they linger for ever");
        std::thread::yield_now();
    }
}

#[test]
fn a_clock_that_panics_ends_no_drop_and_no_close() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Watched::default();
    let open = || EventLog::options().clock(clock.clone()).open(dir.path()).unwrap();
    let log = open();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("x")).unwrap();
    let events = log.events();
    let config = ProducerConfig::new().linger(Duration::MAX);
    let mut producer = log.producer_with(config).unwrap().buffered();
    producer.enqueue(&topic, Record::new("lost")).unwrap();
    let mut consumer = log.consumer("g").unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    consumer.commit().unwrap();
    clock.panics(true);
    // Dropped by a panic: one more would end the process.
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _dropped = (producer, consumer);
        panic!("made to panic by a test");
    }));
    unwound.unwrap_err();
    let reported: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let lost = |event: &Event| matches!(event, Event::RecordsDropped { records: 1, .. });
    assert!(reported.iter().any(lost), "{reported:?}");
    log.close().unwrap();
    clock.panics(false);
    let log = open();
    assert!(log.recovery().clean);
    assert_eq!(log.group("g").unwrap().committed().unwrap().len(), 1);
}

#[test]
fn a_poll_reads_the_clock_as_often_for_one_record_as_for_thousands() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Watched::default();
    // By hand all times are the clock's, those of the groups too.
    let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
    let log = options.open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let partition = topic.partition(0).unwrap();
    log.producer().unwrap().send_batch(&partition, vec![Record::new("x"); 5_000]).unwrap();
    let member = |group: &str, most| {
        let config = ConsumerConfig::new().group(group).max_poll_records(most);
        let mut consumer = log.consumer_with(config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().len() <= most);
        consumer.seek_to_beginning().unwrap();
        consumer
    };
    for (group, most) in [("one", 1), ("many", 5_000)] {
        let mut alone = member(group, most);
        clock.reads();
        assert_eq!(alone.poll(Duration::ZERO).unwrap().len(), most);
        assert!(clock.reads() <= 1, "{most}: when it has to poll again");
        let _other = member(group, 1);
        clock.reads();
        let _ = alone.poll(Duration::ZERO).unwrap();
        assert!(clock.reads() <= 3, "{most}: and whether others poll, and the time of a change");
    }
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([&partition]).unwrap();
    clock.reads();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 5_000);
    assert_eq!(clock.reads(), 0);
}
