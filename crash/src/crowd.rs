//! A group of a thousand members in one process: each record is returned from where the group is, and no position passes
//! what was handled.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, Durability, Error, EventLog, Position, Record, Topic, TopicConfig,
};

use crate::load::Say;
use crate::oracle::{number_in, value_of};
use crate::random::Random;

pub const CROWD: &str = "crowd";
pub const CROWD_PARTITIONS: u32 = 256;
const GROUP: &str = "thousand";
const MEMBERS: usize = 1000;
/// Threads that poll for the members.
const THREADS: usize = 4;

/// Writes, and polls all members in turn, until the process is killed or something must not be.
pub fn run(log: &EventLog, seed: u64, say: Say<'_>) -> Result<(), String> {
    let failed = |failure: Error| format!("the crowd: {failure}");
    let config = TopicConfig::new().partitions(CROWD_PARTITIONS).retention(None);
    let topic = log.ensure_topic(CROWD, config).map_err(failed)?;
    // Where the group is: what lies before it was handled, by processes that are dead.
    let handled: Vec<AtomicU64> = (0..CROWD_PARTITIONS).map(|_| AtomicU64::new(0)).collect();
    for position in log.group(GROUP).and_then(|group| group.committed()).map_err(failed)? {
        handled[position.topic_partition().partition() as usize].store(position.offset(), Ordering::Relaxed);
    }
    let (joined, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let handled = &handled;
    thread::scope(|scope| {
        let crowds: Vec<_> = (0..THREADS as u64)
            .map(|thread| {
                let random = Random::new(seed << 8 | thread);
                let (joined, stop, topic) = (&joined, &stop, &topic);
                scope.spawn(move || {
                    let outcome = members(log, topic, handled, (joined, stop), random, say);
                    stop.store(true, Ordering::Relaxed);
                    outcome
                })
            })
            .collect();
        let outcomes: Vec<_> =
            crowds.into_iter().map(|crowd| crowd.join().unwrap_or(Err("a panic".into()))).collect();
        outcomes.into_iter().collect()
    })
}

/// A share of the members: they join one after the other, and all are polled while the others join. Before each turn of one
/// a record is sent.
fn members(
    log: &EventLog,
    topic: &Topic,
    handled: &[AtomicU64],
    (joined, stop): (&AtomicU64, &AtomicBool),
    mut random: Random,
    say: Say<'_>,
) -> Result<(), String> {
    let failed = |failure: Error| format!("a member: {failure}");
    let producer = log.producer().map_err(failed)?;
    let mut crowd: Vec<Consumer> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..(MEMBERS / THREADS - crowd.len()).min(25) {
            let config = ConsumerConfig::new().group(GROUP).commit_durability(Durability::Buffered);
            let mut member = log.consumer_with(config).map_err(failed)?;
            member.subscribe([CROWD]).map_err(failed)?;
            crowd.push(member);
            if joined.fetch_add(1, Ordering::Relaxed) + 1 == MEMBERS as u64 {
                say(format!("members {MEMBERS}"));
            }
        }
        for member in &mut crowd {
            let (partition, length) = (random.below(CROWD_PARTITIONS.into()) as u32, 8 + random.index(60));
            let number = random.number();
            let record = value_of(number, length);
            let sent = producer.send(topic, Record::new(&record).partition(partition)).map_err(failed)?;
            say(format!("sent {CROWD} {partition} {} {number} 0 {length}", sent.offset));
            turn(member, handled, say)?;
        }
    }
    Ok(())
}

/// One poll of one member, and a commit of what it was returned.
fn turn(member: &mut Consumer, handled: &[AtomicU64], say: Say<'_>) -> Result<(), String> {
    let failed = |failure: Error| format!("a member: {failure}");
    let records = member.poll(Duration::ZERO).map_err(failed)?;
    if records.is_empty() {
        return Ok(());
    }
    for record in &records {
        let (partition, offset) = (record.partition(), record.offset());
        if record.value().and_then(number_in).is_none() {
            return Err(format!("a member: {CROWD}-{partition}@{offset} is not what was sent"));
        }
        let next = handled[partition as usize].load(Ordering::Relaxed);
        if offset > next {
            return Err(format!("a member gets {CROWD}-{partition}@{offset}, and {next} was never returned"));
        }
        handled[partition as usize].fetch_max(offset + 1, Ordering::Relaxed);
    }
    let positions: Vec<Position> = records
        .partitions()
        .map(|of| member.position(of.topic_partition()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let line = |word: &str, position: &Position| {
        format!("{word} {GROUP} {CROWD} {} {}", position.topic_partition().partition(), position.offset())
    };
    positions.iter().for_each(|position| say(line("commit", position)));
    match member.commit_to(positions.clone()) {
        Ok(()) => positions.iter().for_each(|position| say(line("committed", position))),
        Err(Error::FencedGeneration { .. }) => {}
        Err(failure) => return Err(failed(failure)),
    }
    Ok(())
}
