//! Several threads that use one log in all ways at once, and say what they ask for and what they are answered, one line
//! each: to the oracle, or to a parent process that outlives this one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use stratalog::{
    CleanupPolicy, Consumer, ConsumerConfig, Durability, Error, EventLog, HandoverOptions, OpenOptions,
    Position, ReadMode, ReadUpTo, Record, RecordCopy, Result, Timestamp, Topic, TopicConfig, TopicPartition,
    WriteMode,
};

use crate::backups;
use crate::oracle::{number_in, value_of};
use crate::random::Random;

pub const PLAIN: &str = "plain";
pub const PLAIN_PARTITIONS: u32 = 4;
pub const COMPACTED: &str = "compacted";
pub const COMPACTED_PARTITIONS: u32 = 2;

const OPERATIONS_BETWEEN_SNAPSHOTS: u64 = 100;

/// Where the lines go.
pub type Say<'s> = &'s (dyn Fn(String) + Sync);

pub fn options(mode: u64) -> OpenOptions {
    let mut options = EventLog::options().max_segment_bytes(32 << 10).offsets_partitions(3);
    if mode & 1 == 1 {
        options = options.write_mode(WriteMode::Positioned);
    }
    if mode & 2 == 2 {
        options = options.read_mode(ReadMode::Copy);
    }
    options
}

/// How long it runs, and whether it may be ended.
pub struct Load {
    pub seed: u64,
    /// Operations of each thread.
    pub most: u64,
    pub stop: AtomicBool,
    /// Operations of all threads so far.
    pub done: AtomicU64,
    /// Whether the log may be closed meanwhile.
    pub may_close: bool,
    /// Where snapshots are made meanwhile.
    pub snapshots: Option<PathBuf>,
}

impl Load {
    pub fn new(seed: u64, most: u64, may_close: bool) -> Self {
        Self { seed, most, stop: AtomicBool::new(false), done: AtomicU64::new(0), may_close, snapshots: None }
    }

    pub fn with_snapshots(self, to: PathBuf) -> Self {
        Self { snapshots: Some(to), ..self }
    }

    /// Returns when all threads have done what they should, or with the first thing that must not be.
    pub fn run(&self, log: &EventLog, say: Say<'_>) -> std::result::Result<(), String> {
        let made = topics(log).map_err(|failure| format!("topics: {failure}"))?;
        thread::scope(|scope| {
            let (plain, compacted) = &made;
            let mut threads = Vec::new();
            for writer in 0..3 {
                threads.push(scope.spawn(move || self.write(log, plain, compacted, writer, say)));
            }
            for level in [Durability::Buffered, Durability::Synced] {
                threads.push(scope.spawn(move || self.consume(log, level, say)));
            }
            threads.push(scope.spawn(move || self.make_topics(log, say)));
            threads.push(scope.spawn(move || self.administer(log, plain, say)));
            threads.push(scope.spawn(move || self.look(log, plain)));
            threads.push(scope.spawn(move || self.maintain(log, plain, say)));
            if let Some(to) = &self.snapshots {
                threads.push(scope.spawn(move || self.back_up(log, plain, to)));
            }
            // All of them end before the first failure is returned.
            let outcomes: Vec<_> =
                threads.into_iter().map(|thread| thread.join().unwrap_or(Err("a panic".into()))).collect();
            outcomes.into_iter().collect()
        })
    }

    /// Calls `act` with ascending numbers until the load ends.
    fn repeat(&self, what: &str, mut act: impl FnMut(u64) -> Result<()>) -> std::result::Result<(), String> {
        for number in 0..self.most {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            match act(number) {
                Ok(()) => {}
                Err(Error::Closed) if self.may_close => break,
                Err(failure) => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Err(format!("{what}: {failure}"));
                }
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A snapshot, and the next one when the others have done something.
    fn back_up(&self, log: &EventLog, plain: &Topic, to: &Path) -> std::result::Result<(), String> {
        while !self.stop.load(Ordering::Relaxed) {
            let done = self.done.load(Ordering::Relaxed);
            match backups::make(log, plain, to) {
                Ok(true) => {}
                Ok(false) if self.may_close => break,
                Ok(false) => return Err("a log that is open is closed for a snapshot".into()),
                Err(reason) => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Err(reason);
                }
            }
            if done + OPERATIONS_BETWEEN_SNAPSHOTS > self.most {
                break;
            }
            while self.done.load(Ordering::Relaxed) < done + OPERATIONS_BETWEEN_SNAPSHOTS
                && !self.stop.load(Ordering::Relaxed)
            {
                thread::park_timeout(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    fn write(
        &self,
        log: &EventLog,
        plain: &Topic,
        compacted: &Topic,
        writer: u64,
        say: Say<'_>,
    ) -> std::result::Result<(), String> {
        let level =
            [Durability::Buffered, Durability::Interval(Duration::from_millis(3)), Durability::Synced];
        let level = level[writer as usize];
        let durable = |topic: &str, partition: u32, offset: u64| {
            if level == Durability::Synced {
                say(format!("durable {topic} {partition} {}", offset + 1));
            }
        };
        let mut random = Random::new(self.seed << 8 | writer);
        let mut number = self.seed << 32 | writer << 28;
        self.repeat("a writer", |_| {
            let producer = log.producer()?.with_durability(level);
            number += 1;
            let length = 8 + random.below(900) as usize;
            let value = value_of(number, length);
            let partition = random.below(PLAIN_PARTITIONS.into()) as u32;
            match random.below(8) {
                0..=2 => {
                    let record = Record::new(&value).partition(partition).header("writer", "a header");
                    let sent = producer.send(plain, record)?;
                    say(format!("sent {PLAIN} {partition} {} {number} 0 {length}", sent.offset));
                    durable(PLAIN, partition, sent.offset);
                }
                3..=4 => {
                    let key = random.below(40) as u32;
                    let partition = key % COMPACTED_PARTITIONS;
                    let is_tombstone = random.one_in(5);
                    let value = Some(&value[..]).filter(|_| !is_tombstone);
                    let bytes = key.to_be_bytes();
                    let record = Record::of(Some(&bytes), value).partition(partition);
                    let offset = producer.send(compacted, record)?.offset;
                    let (number, length) =
                        if is_tombstone { ("-".into(), 8) } else { (number.to_string(), length) };
                    say(format!("sent {COMPACTED} {partition} {offset} {number} {key} {length}"));
                    durable(COMPACTED, partition, offset);
                }
                way @ 5..=6 => {
                    let numbers = [number + 1, number + 2];
                    number += 2;
                    let values = numbers.map(|number| value_of(number, 30));
                    let records = || values.iter().map(Record::new);
                    let to = plain.partition(partition)?;
                    let sent = if way == 5 {
                        producer.send_batch(&to, records())
                    } else {
                        producer.send_batch_at(&to, to.offsets()?.log_end, records())
                    };
                    match sent {
                        Ok(sent) => numbers.iter().zip(sent.offsets).for_each(|(number, offset)| {
                            say(format!("sent {PLAIN} {partition} {offset} {number} 0 30"));
                        }),
                        // Another writer was quicker.
                        Err(Error::Conflict { .. }) if way == 6 => {}
                        Err(failure) => return Err(failure),
                    }
                }
                _ => {
                    let mut buffered = producer.buffered();
                    for partition in 0..PLAIN_PARTITIONS {
                        number += 1;
                        let value = value_of(number, 30);
                        buffered.enqueue(plain, Record::new(&value).partition(partition))?;
                    }
                    buffered.flush()?;
                }
            }
            Ok(())
        })
    }

    fn consume(&self, log: &EventLog, level: Durability, say: Say<'_>) -> std::result::Result<(), String> {
        let join = || -> Result<Consumer> {
            let mut consumer =
                log.consumer_with(ConsumerConfig::new().group("group").commit_durability(level))?;
            consumer.subscribe([PLAIN])?;
            Ok(consumer)
        };
        let mut consumer = None;
        let mut spoilt = None;
        let outcome = self.repeat("a consumer", |number| {
            // A member that leaves gives its partitions to the other one.
            if consumer.is_none() || number % 50 == 49 {
                consumer = None;
                consumer = Some(join()?);
            }
            let Some(consumer) = consumer.as_mut() else { return Ok(()) };
            match consumer.poll(Duration::from_millis(5)) {
                Ok(records) => {
                    let garbage = |value: Option<&[u8]>| value.and_then(number_in).is_none();
                    if let Some(record) = records.iter().find(|record| garbage(record.value())) {
                        spoilt = Some(format!(
                            "{}-{}@{} is not what was sent",
                            record.topic(),
                            record.partition(),
                            record.offset()
                        ));
                        self.stop.store(true, Ordering::Relaxed);
                    }
                    if records.is_empty() {
                        return Ok(());
                    }
                }
                Err(Error::OffsetOutOfRange { .. }) => return consumer.seek_to_beginning(),
                Err(failure) => return Err(failure),
            }
            let positions = consumer.positions();
            let line = |word: &str, position: &Position| {
                let at = position.topic_partition();
                format!("{word} group {} {} {}", at.topic(), at.partition(), position.offset())
            };
            positions.iter().for_each(|position| say(line("commit", position)));
            match consumer.commit() {
                Ok(()) => {
                    let word = if level == Durability::Synced { "kept" } else { "committed" };
                    positions.iter().for_each(|position| say(line(word, position)));
                }
                Err(Error::FencedGeneration { .. }) => {}
                Err(failure) => return Err(failure),
            }
            Ok(())
        });
        spoilt.map_or(outcome, Err)
    }

    fn make_topics(&self, log: &EventLog, say: Say<'_>) -> std::result::Result<(), String> {
        let remove = |name: &str| {
            say(format!("delete {name}"));
            log.delete_topic(name)?;
            say(format!("deleted {name}"));
            Ok(())
        };
        self.repeat("who makes topics", |number| {
            let name = format!("x{}", number % 3);
            // What an earlier load has left.
            if number < 3 && log.topic(&name).is_ok() {
                remove(&name)?;
            }
            say(format!("create {name} 1"));
            let topic = log.create_topic(&name, TopicConfig::new())?;
            say(format!("created {name} {}", topic.id()));
            let value = value_of(number, 8);
            let producer = log.producer()?.with_durability(Durability::Synced);
            let sent = producer.send(&topic, Record::new(&value).partition(0))?;
            say(format!("sent {name} 0 {} {number} 0 8", sent.offset));
            say(format!("durable {name} 0 {}", sent.offset + 1));
            topic.alter_config(|config| config.segment_bytes(1 << 20 | (number as u32 & 0xff) << 12))?;
            say(format!("partitions {name} 3"));
            topic.add_partitions(3)?;
            say(format!("partitioned {name} 3"));
            // What a mirror of another log would do.
            let copies = (0..2).map(|offset| RecordCopy::new(offset, Record::new(&value)));
            producer.send_copies(&topic.partition(2)?, copies)?;
            (0..2).for_each(|offset| say(format!("sent {name} 2 {offset} {number} 0 8")));
            log.ensure_topic(&name, TopicConfig::new().partitions(3))?;
            remove(&name)
        })
    }

    /// What is done to the positions of a group without members.
    fn administer(&self, log: &EventLog, plain: &Topic, say: Say<'_>) -> std::result::Result<(), String> {
        const GROUP: &str = "administered";
        let mut random = Random::new(self.seed ^ 0xad);
        self.repeat("who administers groups", |number| {
            let group = log.group(GROUP)?;
            let line = |word: &str, at: &TopicPartition, offset: Option<u64>| {
                let offset = offset.map_or("-".into(), |offset| offset.to_string());
                format!("{word} {GROUP} {} {} {offset}", at.topic(), at.partition())
            };
            let there = group.committed()?;
            let forgotten = match number % 8 {
                7 => there.iter().map(|position| position.topic_partition().clone()).collect(),
                3 | 5 => {
                    there.first().map(|position| position.topic_partition().clone()).into_iter().collect()
                }
                _ => Vec::new(),
            };
            if let [first, ..] = &forgotten[..] {
                forgotten.iter().for_each(|at| say(line("commit", at, None)));
                if number % 8 == 7 {
                    group.delete()?
                } else {
                    group.remove_committed([first.clone()])?
                }
                forgotten.iter().for_each(|at| say(line("committed", at, None)));
            } else {
                let of = plain.partition(random.below(PLAIN_PARTITIONS.into()) as u32)?;
                let offset = random.below(of.offsets()?.log_end + 1);
                say(line("commit", of.id(), Some(offset)));
                group.set_committed([Position::new(of.id(), offset)])?;
                say(line("committed", of.id(), Some(offset)));
            }
            log.groups().map(drop)
        })
    }

    /// Everything that only reads.
    fn look(&self, log: &EventLog, plain: &Topic) -> std::result::Result<(), String> {
        let mut reader = None;
        self.repeat("who looks", |number| {
            if reader.is_none() {
                let mut made = log.consumer_with(ConsumerConfig::new().read_up_to(ReadUpTo::Durable))?;
                made.assign(plain.partitions())?;
                reader = Some(made);
            }
            let Some(reader) = reader.as_mut() else { return Ok(()) };
            let partition = plain.partition((number % u64::from(PLAIN_PARTITIONS)) as u32)?;
            match number % 16 {
                3 => reader.seek_to_end()?,
                5 => reader.seek_to_beginning()?,
                7 => reader.seek_to_time(Timestamp::from_millis(1 << 40))?,
                9 => reader.pause([partition.id()])?,
                11 => reader.resume([partition.id()])?,
                13 => drop((partition.segments()?, partition.size()?, partition.kept_by_future_timestamp()?)),
                15 => drop((partition.offset_for_time(Timestamp::from_millis(1 << 40))?, plain.describe()?)),
                _ => {}
            }
            if number % 64 == 63 {
                log.handover(&HandoverOptions::new().dry_run(true))?;
            }
            while log.events().try_next().is_some() {}
            match reader.poll(Duration::from_millis(1)) {
                Ok(_) => {}
                Err(Error::OffsetOutOfRange { .. }) => reader.seek_to_beginning()?,
                Err(failure) => return Err(failure),
            }
            Ok(())
        })
    }

    fn maintain(&self, log: &EventLog, plain: &Topic, say: Say<'_>) -> std::result::Result<(), String> {
        self.repeat("maintenance", |number| {
            log.run_maintenance()?;
            let index = (number % u64::from(PLAIN_PARTITIONS)) as u32;
            let partition = plain.partition(index)?;
            let offsets = partition.offsets()?;
            if offsets.log_start + 400 < offsets.log_end {
                let start = partition.delete_records(offsets.log_end - 400)?;
                say(format!("front {PLAIN} {index} {start}"));
            }
            match log.group("group").and_then(|group| group.describe()) {
                // Until its first member has joined.
                Err(Error::NotFound { .. }) => {}
                described => drop(described?),
            }
            log.metrics();
            if number % 8 == 0 { log.sync() } else { Ok(()) }
        })
    }
}

fn topics(log: &EventLog) -> Result<(Topic, Topic)> {
    let plain = TopicConfig::new()
        .partitions(PLAIN_PARTITIONS)
        .retention_bytes(512 << 10)
        .set("file.delete.delay.ms", "0");
    let compacted = TopicConfig::new().partitions(COMPACTED_PARTITIONS).cleanup(CleanupPolicy::Compact);
    let compacted = compacted.set("min.cleanable.dirty.ratio", "0.01");
    Ok((log.ensure_topic(PLAIN, plain)?, log.ensure_topic(COMPACTED, compacted)?))
}
