//! A device that is slower than the writer: appends wait for it, and nothing else does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::producer::ProducerConfig;
use crate::sys::gate::{Gate, OpenedAtLast};

const UNSYNCED: u64 = 10_000;
const BYTES: usize = 1000;
const RECORDS: u64 = 60;
/// Header and framing of a batch of one record, at most.
const MAX_BATCH: u64 = BYTES as u64 + 100;

pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn count(log: &EventLog, topic: &str) -> usize {
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign(log.topic(topic).unwrap().partitions()).unwrap();
    let mut found = 0;
    loop {
        let records = reader.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return found;
        }
        found += records.len();
    }
}

fn a_slow_device(by: Maintenance) {
    let (dir, gate) = (memory(), Arc::new(Gate::default()));
    let mut options = options().maintenance(by).background_sync(UNSYNCED, None);
    options.faults = gate.before_syncs();
    let log = options.open(dir.path()).unwrap();
    let _opened = OpenedAtLast(&gate);
    let (slow, other) = (
        log.create_topic("slow", TopicConfig::new()).unwrap(),
        log.create_topic("other", TopicConfig::new()).unwrap(),
    );
    let producer = log.producer().unwrap();
    for topic in [&slow, &other] {
        producer.send(topic, Record::new("first")).unwrap();
    }
    log.sync().unwrap();
    let events = log.events();
    while events.try_next().is_some() {}
    let value = vec![7; BYTES];
    let sent = AtomicU64::new(0);
    gate.shut_syncs();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = log.producer().unwrap();
            for _ in 0..RECORDS {
                producer.send(&slow, Record::new(&value)).unwrap();
                sent.fetch_add(1, Ordering::SeqCst);
            }
        });
        let _opened = OpenedAtLast(&gate);
        until("a sync is under way", || gate.inside() > 0);
        until("an append waits", || log.metrics().appends_stalled == 1);
        let unsynced = || log.metrics().bytes_appended;
        assert!(unsynced() <= 2 * UNSYNCED + 3 * MAX_BATCH, "{}", unsynced());
        // It is in the log, and readers see it; other partitions continue.
        assert_eq!(count(&log, "slow") as u64, 1 + sent.load(Ordering::SeqCst) + 1);
        for _ in 0..UNSYNCED / 2 / MAX_BATCH {
            producer.send(&other, Record::new(&value)).unwrap();
        }
        assert!(count(&log, "other") > 1);
        assert_eq!(log.metrics().appends_stalled, 1);
        assert!(sent.load(Ordering::SeqCst) < RECORDS);
        gate.open();
    });
    assert_eq!(count(&log, "slow") as u64, 1 + RECORDS);
    let reported = std::iter::from_fn(|| events.try_next()).find_map(|event| match event {
        Event::AppendsStalled { partition, unsynced } => Some((partition.topic().to_owned(), unsynced)),
        _ => None,
    });
    let (topic, unsynced) = reported.expect("it is reported");
    assert_eq!(topic, "slow");
    assert!((2 * UNSYNCED..2 * UNSYNCED + MAX_BATCH).contains(&unsynced), "{unsynced}");
    log.close().unwrap();
}

#[test]
fn appends_wait_where_the_device_is_slower_than_they_are() {
    a_slow_device(Maintenance::Manual);
    a_slow_device(Maintenance::Threads);
}

/// However short segments are: what is unsynced does not begin anew with each of them.
#[test]
fn what_is_unsynced_is_bounded_over_segments() {
    let (dir, gate) = (memory(), Arc::new(Gate::default()));
    let after: u64 = 3 << 20;
    let mut options = options().maintenance(Maintenance::Threads).background_sync(after, None);
    options.faults = gate.before_syncs();
    let log = options.open(dir.path()).unwrap();
    let _opened = OpenedAtLast(&gate);
    let topic = log.create_topic("t", TopicConfig::new().segment_bytes(1 << 20)).unwrap();
    log.producer().unwrap().send(&topic, Record::new("first")).unwrap();
    log.sync().unwrap();
    gate.shut_syncs();
    let value = vec![7; 100_000];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = log.producer().unwrap();
            for _ in 0..150 {
                producer.send(&topic, Record::new(&value)).unwrap();
            }
        });
        let _opened = OpenedAtLast(&gate);
        until("an append waits", || log.metrics().appends_stalled == 1);
        assert!(log.metrics().bytes_appended < 2 * after + 200_000, "{}", log.metrics().bytes_appended);
        gate.open();
    });
    assert_eq!(count(&log, "t"), 151);
    log.close().unwrap();
}

/// No append waits where nothing is to be synced by its size.
#[test]
fn without_a_bound_nothing_waits() {
    let (dir, gate) = (memory(), Arc::new(Gate::default()));
    let mut options = options().maintenance(Maintenance::Manual).background_sync(None, None);
    options.faults = gate.before_syncs();
    let log = options.open(dir.path()).unwrap();
    let _opened = OpenedAtLast(&gate);
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    producer.send(&topic, Record::new("first")).unwrap();
    gate.shut_syncs();
    for _ in 0..RECORDS {
        producer.send(&topic, Record::new(&[7; BYTES])).unwrap();
    }
    assert_eq!(log.metrics().appends_stalled, 0);
    gate.open();
    log.close().unwrap();
}

/// One thread writes the lingering batches of all partitions: one whose topic wants a sync holds up no other.
#[test]
fn a_lingering_batch_whose_topic_wants_a_sync_holds_up_no_other_partition() {
    let (dir, gate) = (memory(), Arc::new(Gate::default()));
    let mut options = options().maintenance(Maintenance::Threads).background_sync(None, None);
    options.faults = gate.before_syncs();
    let log = options.open(dir.path()).unwrap();
    let _opened = OpenedAtLast(&gate);
    let wants = log.create_topic("slow", TopicConfig::new().set("flush.messages", "1")).unwrap();
    let other = log.create_topic("other", TopicConfig::new()).unwrap();
    for topic in [&wants, &other] {
        log.producer().unwrap().send(topic, Record::new("first")).unwrap();
    }
    log.sync().unwrap();
    let config = ProducerConfig::new().linger(Duration::from_millis(1));
    let mut producer = log.producer_with(config).unwrap().buffered();
    gate.shut_syncs();
    producer.enqueue(&wants, Record::new("lingers")).unwrap();
    until("a sync is under way", || gate.inside() > 0);
    producer.enqueue(&other, Record::new("lingers")).unwrap();
    until("the other partition is written", || count(&log, "other") == 2);
    assert_eq!(gate.inside(), 1);
    gate.open();
    producer.flush().unwrap();
    log.close().unwrap();
}
