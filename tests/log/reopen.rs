//! The whole log against a model, with closing, dropping and stopping as operations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::common::{MODES, Mode, copy, read};
use proptest::prelude::*;
use stratalog::{Error, EventLog, Record, TopicConfig, TopicId};

const NAMES: [&str; 3] = ["a", "b", "c-1"];
const PARTITIONS: u32 = 2;

#[derive(Debug, Clone)]
enum Operation {
    Create(usize),
    Delete(usize),
    Send {
        topic: usize,
        partition: u32,
        bytes: usize,
    },
    Batch {
        topic: usize,
        partition: u32,
        sizes: Vec<usize>,
    },
    Buffered {
        topic: usize,
        sizes: Vec<usize>,
    },
    Read(usize),
    Sync,
    /// Closes, with handles left, and opens again.
    Reopen,
    /// Drops the last handle and opens again.
    Drop,
    /// Continues with a copy of the directory as it is: what a killed process leaves.
    Stop,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (topic, partition) = (0..NAMES.len(), 0..PARTITIONS);
    // A few of these fill a segment.
    let bytes = prop_oneof![4 => 0..200_usize, 1 => 50_000..400_000_usize];
    let sizes = prop::collection::vec(bytes.clone(), 0..4);
    prop_oneof![
        2 => topic.clone().prop_map(Operation::Create),
        1 => topic.clone().prop_map(Operation::Delete),
        6 => (topic.clone(), partition.clone(), bytes)
            .prop_map(|(topic, partition, bytes)| Operation::Send { topic, partition, bytes }),
        3 => (topic.clone(), partition, sizes.clone())
            .prop_map(|(topic, partition, sizes)| Operation::Batch { topic, partition, sizes }),
        2 => (topic.clone(), sizes).prop_map(|(topic, sizes)| Operation::Buffered { topic, sizes }),
        3 => topic.prop_map(Operation::Read),
        1 => Just(Operation::Sync),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Drop),
        2 => Just(Operation::Stop),
    ]
}

#[derive(Debug)]
struct Model {
    id: TopicId,
    partitions: Vec<Vec<Vec<u8>>>,
}

struct Run {
    root: tempfile::TempDir,
    directory: PathBuf,
    lives: usize,
    mode: Mode,
    log: EventLog,
    model: BTreeMap<&'static str, Model>,
    written: u64,
}

impl Run {
    fn new(mode: Mode) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("0");
        let log = mode.open(&directory);
        Self { root, directory, lives: 0, mode, log, model: BTreeMap::new(), written: 0 }
    }

    fn value(&mut self, bytes: usize) -> Vec<u8> {
        self.written += 1;
        let mut value = self.written.to_be_bytes().to_vec();
        value.resize(8 + bytes, self.written.to_be_bytes()[7]);
        value
    }

    fn values(&mut self, sizes: &[usize]) -> Vec<Vec<u8>> {
        sizes.iter().map(|bytes| self.value(*bytes)).collect()
    }

    fn run(&mut self, operation: Operation) {
        let topic = |index: usize| self.log.topic(NAMES[index]);
        match operation {
            Operation::Create(index) => {
                let config = TopicConfig::new().partitions(PARTITIONS).segment_bytes(1 << 20);
                let made = self.log.create_topic(NAMES[index], config.max_batch_bytes(1 << 20));
                if self.model.contains_key(NAMES[index]) {
                    assert!(matches!(made, Err(Error::AlreadyExists { .. })));
                } else {
                    let partitions = vec![Vec::new(); PARTITIONS as usize];
                    let model = Model { id: made.unwrap().id(), partitions };
                    assert!(self.model.values().all(|other| other.id != model.id));
                    self.model.insert(NAMES[index], model);
                }
            }
            Operation::Delete(index) => {
                let deleted = self.log.delete_topic(NAMES[index]);
                assert_eq!(deleted.is_ok(), self.model.remove(NAMES[index]).is_some());
            }
            Operation::Send { topic: index, partition, bytes } => {
                let Ok(topic) = topic(index) else { return };
                let value = self.value(bytes);
                let known = self.known(index, partition);
                known.push(value.clone());
                let offset = known.len() as u64 - 1;
                let sent =
                    self.log.producer().unwrap().send(&topic, Record::new(&value).partition(partition));
                assert_eq!(sent.unwrap().offset, offset);
            }
            Operation::Batch { topic: index, partition, sizes } => {
                let Ok(topic) = topic(index) else { return };
                let values = self.values(&sizes);
                let to = topic.partition(partition).unwrap();
                let producer = self.log.producer().unwrap();
                let end = self.known(index, partition).len() as u64;
                let outcome = producer.send_batch_at(&to, end, values.iter().map(Record::new));
                match outcome {
                    Ok(sent) => {
                        assert_eq!(sent.offsets, end..end + values.len() as u64);
                        self.known(index, partition).extend(values);
                    }
                    Err(Error::TooLarge { .. }) => assert!(sizes.iter().sum::<usize>() > 1_000_000),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Operation::Buffered { topic: index, sizes } => {
                let Ok(topic) = topic(index) else { return };
                let mut producer = self.log.producer().unwrap().buffered();
                for (number, value) in (0..).zip(self.values(&sizes)) {
                    producer.enqueue(&topic, Record::new(&value).partition(number % PARTITIONS)).unwrap();
                    self.known(index, number % PARTITIONS).push(value);
                }
                producer.flush().unwrap();
            }
            Operation::Read(index) => self.check(NAMES[index]),
            Operation::Sync => self.log.sync().unwrap(),
            Operation::Reopen => {
                self.log.close().unwrap();
                self.open(true);
            }
            Operation::Drop => {
                // Until then the directory is held by the handle that is replaced.
                let aside = tempfile::tempdir().unwrap();
                self.log = self.mode.open(aside.path());
                self.open(true);
            }
            Operation::Stop => {
                self.lives += 1;
                let copied = self.root.path().join(self.lives.to_string());
                copy(&self.directory, &copied);
                self.directory = copied;
                self.open(false);
            }
        }
    }

    fn known(&mut self, topic: usize, partition: u32) -> &mut Vec<Vec<u8>> {
        &mut self.model.get_mut(NAMES[topic]).unwrap().partitions[partition as usize]
    }

    fn open(&mut self, clean: bool) {
        self.log = self.mode.open(&self.directory);
        let report = self.log.recovery();
        assert_eq!(report.clean, clean);
        assert!(report.failed.is_empty() && report.unknown_directories.is_empty(), "{report:?}");
        assert!(report.bytes_truncated() == 0 && (!clean || report.bytes_scanned() == 0), "{report:?}");
        for found in &report.partitions {
            let name = found.partition.topic();
            let known = &self.model[name].partitions[found.partition.partition() as usize];
            assert_eq!(found.log_end, known.len() as u64);
        }
        for name in NAMES {
            self.check(name);
        }
    }

    /// The topic is what the model says.
    fn check(&self, name: &str) {
        let Some(model) = self.model.get(name) else {
            assert!(matches!(self.log.topic(name), Err(Error::NotFound { .. })));
            return;
        };
        let topic = self.log.topic(name).unwrap();
        assert_eq!((topic.id(), topic.partitions().len()), (model.id, model.partitions.len()));
        for (partition, known) in (0..).zip(&model.partitions) {
            let found = read(&self.log, [(name, partition)]);
            assert!(found.iter().map(|record| record.view().offset()).eq(0..known.len() as u64));
            assert!(found.iter().zip(known).all(|(found, known)| found.value().unwrap() == &known[..]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(24), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_what_was_written_to_it(
        mode in 0..MODES.len(),
        operations in prop::collection::vec(operation(), 1..32),
    ) {
        let mut run = Run::new(MODES[mode]);
        for operation in [Operation::Create(0), Operation::Create(2)].into_iter().chain(operations) {
            run.run(operation);
        }
        run.run(Operation::Stop);
        run.run(Operation::Reopen);
    }
}
