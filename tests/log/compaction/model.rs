//! Compaction against a plain list of records: whatever is done to both, both hold the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use stratalog::{
    CleanupPolicy, Compression, Consumer, ConsumerConfig, Event, EventLog, Events, Maintenance, ManualClock,
    OwnedRecord, ProducerConfig, Record, RecordView, Timestamp, Topic, TopicConfig,
};

const NOW: i64 = 1_700_000_000_000;
const RETENTION_MS: i64 = 10_000;
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

#[derive(Debug, Clone)]
struct Sent {
    key: Option<u8>,
    value: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Action {
    Send {
        codec: usize,
        records: Vec<Sent>,
    },
    /// The clock continues by milliseconds.
    Wait(u16),
    Maintain,
    /// The reader that is there all the time continues.
    Poll(usize),
    CloseAndReopen,
    /// Neither closed nor synced.
    CopyAndReopen,
}

/// How the log is opened and the topic made.
#[derive(Debug, Clone)]
struct Setting {
    segment_bytes: u32,
    memory: usize,
    delete_delay_ms: u32,
    dirty_ratio: &'static str,
    min_lag_ms: u32,
}

fn sent(keyless: bool) -> impl Strategy<Value = Sent> {
    let key =
        (0..12_u8, 0..8_u8).prop_map(move |(key, kind)| if keyless && kind == 0 { None } else { Some(key) });
    let value =
        option::weighted(0.7, (0..100_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]));
    (key, value).prop_map(|(key, value)| Sent { key, value })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (0..CODECS.len(), vec(sent(false), 1..8))
            .prop_map(|(codec, records)| Action::Send { codec, records }),
        4 => (1..6000_u16).prop_map(Action::Wait),
        5 => Just(Action::Maintain),
        4 => (1..20_usize).prop_map(Action::Poll),
        1 => Just(Action::CloseAndReopen),
        1 => Just(Action::CopyAndReopen),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let ratio = prop_oneof![3 => Just("0"), 1 => Just("0.4")];
    let lag = prop_oneof![3 => Just(0), 1 => Just(3000)];
    (
        prop_oneof![Just(1024_u32), Just(3000), Just(20_000)],
        prop_oneof![Just(0_usize), Just(16 << 20)],
        prop_oneof![Just(0_u32), Just(60_000)],
        ratio,
        lag,
    )
        .prop_map(|(segment_bytes, memory, delete_delay_ms, dirty_ratio, min_lag_ms)| Setting {
            segment_bytes,
            memory,
            delete_delay_ms,
            dirty_ratio,
            min_lag_ms,
        })
}

#[derive(Debug)]
struct Kept {
    sent: Sent,
    timestamp: i64,
    /// When a cleaner run came to it first.
    passed_at: Option<i64>,
    /// The reader was given it.
    was_read: bool,
}

struct Pair {
    dirs: Vec<tempfile::TempDir>,
    setting: Setting,
    clock: ManualClock,
    now: i64,
    log: EventLog,
    events: Events,
    topic: Topic,
    reader: Consumer,
    read_end: u64,
    model: Vec<Kept>,
    /// Everything below was gone through.
    end: u64,
    last_run: i64,
    runs: usize,
}

fn open(dir: &Path, setting: &Setting, clock: &ManualClock) -> EventLog {
    let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
    let options = options.max_segment_bytes(setting.segment_bytes).compaction_memory(setting.memory);
    options.open(dir).unwrap()
}

impl Pair {
    fn new(setting: Setting, keyless: Vec<Sent>) -> Self {
        let dir = super::in_memory();
        let clock = ManualClock::new(Timestamp::from_millis(NOW));
        let log = open(dir.path(), &setting, &clock);
        let config = TopicConfig::new()
            .retention(None)
            .segment_age(Duration::from_secs(5))
            .set("min.cleanable.dirty.ratio", setting.dirty_ratio)
            .set("min.compaction.lag.ms", setting.min_lag_ms.to_string())
            .set("delete.retention.ms", RETENTION_MS.to_string())
            .set("file.delete.delay.ms", setting.delete_delay_ms.to_string());
        let topic = log.create_topic("t", config).unwrap();
        let (events, reader) = (log.events(), reader(&log));
        let mut pair = Self {
            dirs: vec![dir],
            setting,
            clock,
            now: NOW,
            log,
            events,
            topic,
            reader,
            read_end: 0,
            model: Vec::new(),
            end: 0,
            last_run: i64::MIN,
            runs: 0,
        };
        // A compacted topic takes no records without key; one may become compacted that has some.
        pair.send(0, keyless);
        pair.topic.alter_config(|now| now.cleanup(CleanupPolicy::Compact)).unwrap();
        pair
    }

    fn run(&mut self, action: Action) {
        match action {
            Action::Send { codec, records } => self.send(codec, records),
            Action::Wait(millis) => {
                self.clock.advance(Duration::from_millis(millis.into()));
                self.now += i64::from(millis);
            }
            Action::Maintain => self.maintain(),
            Action::Poll(most) => self.poll(most),
            Action::CloseAndReopen => {
                self.log.close().unwrap();
                self.reopen();
                assert!(self.log.recovery().clean);
            }
            Action::CopyAndReopen => {
                let copy = super::in_memory();
                crate::common::copy(self.dirs.last().unwrap().path(), copy.path());
                self.dirs.push(copy);
                self.reopen();
                assert!(self.log.recovery().failed.is_empty(), "{:?}", self.log.recovery());
            }
        }
    }

    fn reopen(&mut self) {
        self.log = open(self.dirs.last().unwrap().path(), &self.setting, &self.clock);
        (self.events, self.topic) = (self.log.events(), self.log.topic("t").unwrap());
        let position = self.reader.positions().remove(0);
        self.reader = reader(&self.log);
        self.reader.seek(position).unwrap();
    }

    fn send(&mut self, codec: usize, records: Vec<Sent>) {
        let config = ProducerConfig::new().compression(CODECS[codec]);
        let producer = self.log.producer_with(config).unwrap();
        let partition = self.topic.partition(0).unwrap();
        let keys: Vec<_> = records.iter().map(|sent| sent.key.map(|key| format!("key {key}"))).collect();
        let made = keys.iter().zip(&records).map(|(key, sent)| {
            let record = match (&sent.value, key) {
                (Some(value), _) => Record::new(value),
                (None, Some(key)) => Record::tombstone(key),
                (None, None) => Record::new(b"neither"),
            };
            match key {
                Some(key) => record.key(key),
                None => record,
            }
        });
        if records.is_empty() {
            return;
        }
        producer.send_batch(&partition, made).unwrap();
        let timestamp = self.now;
        self.model.extend(records.into_iter().map(|mut sent| {
            if sent.key.is_none() && sent.value.is_none() {
                sent.value = Some(b"neither".to_vec());
            }
            Kept { sent, timestamp, passed_at: None, was_read: false }
        }));
    }

    fn maintain(&mut self) {
        self.log.run_maintenance().unwrap();
        while let Some(event) = self.events.try_next() {
            match event {
                Event::PartitionCompacted { end, bytes_before, bytes_after, .. } => {
                    assert!(end > self.end, "each run comes further");
                    assert!(bytes_before > 0 && bytes_after > 0);
                    (self.end, self.last_run) = (end, self.now);
                    self.runs += 1;
                    let passed = usize::try_from(end).unwrap();
                    for kept in &mut self.model[..passed] {
                        kept.passed_at.get_or_insert(self.now);
                    }
                }
                Event::MaintenanceFailed { .. } | Event::CompactionRefused { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
        let again = self.log.run_maintenance().unwrap();
        assert_eq!(again.partitions_compacted, 0, "there is nothing left to do");
    }

    fn poll(&mut self, most: usize) {
        for _ in 0..most {
            let records = self.reader.poll(Duration::ZERO).unwrap();
            for record in &records {
                assert!(record.offset() >= self.read_end, "in order");
                self.read_end = record.offset() + 1;
                self.compare(record);
                self.model[usize::try_from(record.offset()).unwrap()].was_read = true;
            }
            self.read_end = self.read_end.max(self.reader.positions()[0].offset());
        }
    }

    fn compare(&self, record: RecordView<'_>) {
        let kept = &self.model[usize::try_from(record.offset()).unwrap()];
        let key = kept.sent.key.map(|key| format!("key {key}"));
        assert_eq!(record.key(), key.as_ref().map(String::as_bytes));
        assert_eq!(record.value(), kept.sent.value.as_deref());
        assert_eq!(record.timestamp().as_millis(), kept.timestamp);
    }

    /// What must be there, what may be, and nothing else.
    fn check(&mut self) {
        let found = crate::common::read(&self.log, self.topic.partitions());
        let found: BTreeMap<u64, OwnedRecord> =
            found.into_iter().map(|record| (record.view().offset(), record)).collect();
        for record in found.values() {
            self.compare(record.view());
        }
        let mut last = BTreeMap::new();
        for (offset, kept) in (0_u64..).zip(&self.model) {
            if offset < self.end
                && let Some(key) = kept.sent.key
            {
                last.insert(key, offset);
            }
        }
        for (offset, kept) in (0_u64..).zip(&self.model) {
            let is_there = found.contains_key(&offset);
            let is_expected = if offset >= self.end {
                Some(true)
            } else if kept.sent.key.is_none_or(|key| last[&key] > offset) {
                Some(false)
            } else if kept.sent.value.is_some()
                || kept.passed_at.is_none_or(|at| self.last_run < at + RETENTION_MS)
            {
                Some(true)
            } else {
                // The time of its batch may have been set earlier, by another tombstone; never later.
                Some(false)
            };
            let is_expected = match is_expected {
                Some(true) if kept.sent.value.is_none() && offset < self.end => {
                    if self.may_be_gone() {
                        None
                    } else {
                        Some(true)
                    }
                }
                other => other,
            };
            assert!(is_expected.is_none_or(|expected| expected == is_there), "{offset}: {is_there} {kept:?}");
            // A reader beside it misses nothing that stays.
            if is_there && offset < self.read_end {
                assert!(kept.was_read, "the reader passed {offset}");
            }
        }
        let offsets = self.topic.partition(0).unwrap().offsets().unwrap();
        assert_eq!((offsets.log_start, offsets.log_end), (0, self.model.len() as u64));
    }

    /// A tombstone shares the time from which on it may go with its batch: another one in it may have been passed first.
    fn may_be_gone(&self) -> bool {
        self.model.iter().any(|kept| kept.passed_at.is_some_and(|at| self.last_run >= at + RETENTION_MS))
    }
}

fn reader(log: &EventLog) -> Consumer {
    let mut reader = log.consumer_with(ConsumerConfig::new()).unwrap();
    reader.assign([("t", 0)]).unwrap();
    reader
}

fn run(setting: Setting, keyless: Vec<Sent>, actions: Vec<Action>) {
    let mut pair = Pair::new(setting, keyless);
    for action in actions {
        pair.run(action);
        pair.check();
    }
    for last in [Action::Wait(20_000), Action::Maintain, Action::Poll(1000), Action::CloseAndReopen] {
        pair.run(last);
        pair.check();
    }
    pair.log.close().unwrap();
    eprintln!("{} runs over {} records", pair.runs, pair.model.len());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: crate::cases(if cfg!(windows) { 8 } else { 48 }),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_compacted_log_holds_the_same_as_all_records(
        setting in setting(),
        keyless in vec(sent(true), 0..10),
        actions in vec(action(), 1..40),
    ) {
        run(setting, keyless, actions);
    }
}
