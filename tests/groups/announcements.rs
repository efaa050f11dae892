//! What a member is handed records of, by its announcements it has: whatever comes, goes, fails and polls in between.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use stratalog::{
    Consumer, ConsumerConfig, EventLog, Maintenance, ManualClock, Position, Record, Timestamp, TopicConfig,
};

const MEMBERS: usize = 3;
const INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Leave(usize),
    Subscribe(usize, bool),
    Poll(usize),
    /// Sends a member past the end of a partition, so that its polls fail.
    SendAway(usize),
    /// Brings it back.
    Return(usize),
    Commit(usize),
    /// Deletes "u" or makes it again.
    Delete,
    Grow,
    /// All who do not poll before another member does are evicted.
    TimePasses,
}

fn step() -> impl Strategy<Value = Step> {
    let member = || 0..MEMBERS;
    prop_oneof![
        3 => member().prop_map(Step::Join),
        2 => member().prop_map(Step::Leave),
        1 => (member(), any::<bool>()).prop_map(|(member, both)| Step::Subscribe(member, both)),
        12 => member().prop_map(Step::Poll),
        1 => member().prop_map(Step::SendAway),
        2 => member().prop_map(Step::Return),
        2 => member().prop_map(Step::Commit),
        1 => Just(Step::Delete),
        1 => Just(Step::Grow),
        1 => Just(Step::TimePasses),
    ]
}

/// A consumer and what it knows by announcements.
struct Member {
    consumer: Consumer,
    assigned: BTreeSet<(String, u32)>,
}

struct World {
    _dir: tempfile::TempDir,
    clock: ManualClock,
    log: EventLog,
    members: [Option<Member>; MEMBERS],
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(0));
        let options = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual);
        let log = options.offsets_partitions(1).open(dir.path()).unwrap();
        let world = Self { _dir: dir, clock, log, members: Default::default() };
        world.make("t", 3);
        world.make("u", 2);
        world
    }

    fn make(&self, name: &str, partitions: u32) {
        let topic = self.log.create_topic(name, TopicConfig::new().partitions(partitions)).unwrap();
        for partition in topic.partitions() {
            self.log.producer().unwrap().send_batch(&partition, vec![Record::new("x"); 200]).unwrap();
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join(at) if self.members[at].is_none() => {
                let config = ConsumerConfig::new().group("g").max_poll_records(3).max_poll_interval(INTERVAL);
                let mut consumer = self.log.consumer_with(config).unwrap();
                consumer.subscribe(["t", "u"]).unwrap();
                self.members[at] = Some(Member { consumer, assigned: BTreeSet::new() });
            }
            Step::Leave(at) => self.members[at] = None,
            Step::Delete => match self.log.topic("u") {
                Ok(_) => self.log.delete_topic("u").unwrap(),
                Err(_) => self.make("u", 2),
            },
            Step::Grow => {
                let topic = self.log.topic("t").unwrap();
                let count = u32::try_from(topic.partitions().len()).unwrap() + 1;
                if count < 6 {
                    topic.add_partitions(count).unwrap();
                }
            }
            Step::TimePasses => self.clock.advance(INTERVAL),
            Step::Join(_) => {}
            Step::Subscribe(at, _)
            | Step::Poll(at)
            | Step::SendAway(at)
            | Step::Return(at)
            | Step::Commit(at) => {
                if let Some(member) = &mut self.members[at] {
                    member.take(&step);
                }
            }
        }
    }
}

impl Member {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Subscribe(_, both) => {
                let topics: &[&str] = if *both { &["t", "u"] } else { &["t"] };
                self.consumer.subscribe(topics).unwrap();
            }
            Step::Poll(_) => self.poll(),
            Step::SendAway(_) | Step::Return(_) => {
                let offset = if matches!(step, Step::Return(_)) { 0 } else { 9_999 };
                if let Some(of) = self.consumer.assignment().first().cloned() {
                    // Its topic may be gone.
                    let _ = self.consumer.seek(Position::new(of, offset));
                }
            }
            // It may have been evicted, or sent away.
            Step::Commit(_) => drop(self.consumer.commit()),
            _ => {}
        }
    }

    fn poll(&mut self) {
        let Ok(records) = self.consumer.poll(Duration::ZERO) else { return };
        let name = |of: &stratalog::TopicPartition| (of.topic().to_owned(), of.partition());
        for gone in records.lost() {
            self.assigned.remove(&name(gone));
        }
        for new in records.assigned() {
            assert!(self.assigned.insert(name(new)), "{new} is assigned twice");
        }
        for leaving in records.revoked() {
            assert!(self.assigned.remove(&name(leaving)), "{leaving} is revoked and was not assigned");
        }
        for part in records.partitions() {
            let of = name(part.topic_partition());
            assert!(
                self.assigned.contains(&of),
                "records of {of:?}, which is not assigned: {:?}",
                self.assigned
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(windows) { 4 } else { 24 }))]
    #[test]
    fn records_are_of_partitions_that_were_announced(steps in proptest::collection::vec(step(), 10..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
    }
}

fn numbers(of: &[stratalog::TopicPartition]) -> Vec<u32> {
    of.iter().map(stratalog::TopicPartition::partition).collect()
}

#[test]
fn a_revocation_that_is_taken_back_is_announced_and_begins_where_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    for partition in topic.partitions() {
        log.producer().unwrap().send_batch(&partition, vec![Record::new("x"); 100]).unwrap();
    }
    let config = ConsumerConfig::new().group("g").max_poll_records(5);
    let mut stays = log.consumer_with(config).unwrap();
    stays.subscribe(["t"]).unwrap();
    let mut poll = || {
        let records = stays.poll(Duration::ZERO).unwrap();
        let offsets: Vec<_> = records.iter().map(|record| (record.partition(), record.offset())).collect();
        if offsets.last() == Some(&(1, 4)) {
            stays.commit_to([Position::new(("t", 1), 2)]).unwrap();
        }
        let (assigned, revoked) = (numbers(records.assigned()), numbers(records.revoked()));
        (assigned, revoked, offsets)
    };
    assert_eq!(poll().0, [0, 1]);
    poll();
    let mut goes = log.consumer("g").unwrap();
    goes.subscribe(["t"]).unwrap();
    let (assigned, revoked, records) = poll();
    assert_eq!((assigned.len(), &revoked[..]), (0, &[1][..]));
    assert!(records.iter().all(|(partition, _)| *partition == 0));
    drop(goes);
    let mut of_1 = Vec::new();
    let mut announced = Vec::new();
    while of_1.is_empty() {
        let (assigned, revoked, records) = poll();
        assert!(revoked.is_empty());
        announced.extend(assigned);
        of_1.extend(records.iter().filter(|(partition, _)| *partition == 1).map(|(_, offset)| *offset));
    }
    assert_eq!(announced, [1]);
    // What was returned and not committed may have been left to the next one.
    assert_eq!(of_1[0], 2);
}
