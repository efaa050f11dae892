//! The oracle learns from the lines of a load.

use crate::crowd::{CROWD, CROWD_PARTITIONS};
use crate::load::{COMPACTED, COMPACTED_PARTITIONS, PLAIN, PLAIN_PARTITIONS};
use crate::oracle::{Oracle, Partition, Sent, Sort, Stage, Topic};

impl Oracle {
    /// The topics that every load uses. The first load makes them; they were there before it says anything.
    pub fn of_load() -> Self {
        let mut oracle = Self::new();
        let kinds =
            [(PLAIN, Sort::Retained, PLAIN_PARTITIONS), (COMPACTED, Sort::Compacted, COMPACTED_PARTITIONS)];
        for (name, sort, partitions) in kinds {
            let mut topic = Topic::new(name, sort, partitions as usize);
            for partition in &mut topic.partitions {
                // Several threads send, and not all of them say at once what.
                *partition = Partition { open_ended: true, start_most: u64::MAX, ..Partition::default() };
            }
            topic.partitions.iter_mut().filter(|_| sort == Sort::Compacted).for_each(|it| it.start_most = 0);
            oracle.topics.push(topic);
        }
        oracle
    }

    /// The topic of the crowd, whose records all are said by one thread but the last.
    pub fn of_crowd() -> Self {
        let mut oracle = Self::new();
        let mut topic = Topic::new(CROWD, Sort::Plain, CROWD_PARTITIONS as usize);
        topic.partitions.iter_mut().for_each(|partition| partition.open_ended = true);
        oracle.topics.push(topic);
        oracle
    }

    /// One line. `None`: it is invalid.
    pub fn hear(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let word = words.next()?;
        match word {
            "sent" => {
                let topic = self.named(words.next()?)?;
                let index: usize = words.next()?.parse().ok()?;
                let offset = words.next()?.parse().ok()?;
                // A tombstone.
                let number = match words.next()? {
                    "-" => None,
                    number => Some(number.parse().ok()?),
                };
                let (key, length) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                self.topics[topic].partitions[index].acknowledge(offset, Sent { key, number, length });
            }
            "durable" => {
                let topic = self.named(words.next()?)?;
                let index: usize = words.next()?.parse().ok()?;
                let end = words.next()?.parse().ok()?;
                let partition = &mut self.topics[topic].partitions[index];
                partition.durable = partition.durable.max(end);
            }
            "commit" | "committed" | "kept" => {
                let group = words.next()?.to_owned();
                let topic = self.named(words.next()?)?;
                let partition: u32 = words.next()?.parse().ok()?;
                // A position that is forgotten.
                let offset = match words.next()? {
                    "-" => None,
                    offset => Some(offset.parse().ok()?),
                };
                let commits = self.commits.entry((group, topic, partition)).or_default();
                if word == "commit" {
                    commits.history.push(offset);
                } else {
                    let at = commits.history.iter().rposition(|committed| *committed == offset)?;
                    commits.acked = commits.acked.max(at + 1);
                    if word == "kept" {
                        commits.durable = commits.durable.max(at + 1);
                    }
                }
            }
            "create" => {
                let mut topic = Topic::new(words.next()?, Sort::Plain, words.next()?.parse().ok()?);
                topic.partitions.iter_mut().for_each(|partition| partition.open_ended = true);
                self.topics.push(topic);
            }
            "created" => {
                let topic = self.named(words.next()?)?;
                self.topics[topic].id = Some(words.next()?.to_owned());
                self.topics[topic].stage = Stage::Live;
            }
            "delete" => {
                let topic = self.named(words.next()?)?;
                self.topics[topic].stage = Stage::Deleting;
            }
            "deleted" => {
                let topic = self.named(words.next()?)?;
                self.topics[topic].stage = Stage::Gone;
            }
            "partitions" => {
                let topic = self.named(words.next()?)?;
                let count: usize = words.next()?.parse().ok()?;
                let new = Partition { open_ended: true, ..Partition::default() };
                self.topics[topic].partitions.resize(count, new);
            }
            "partitioned" => {
                let topic = self.named(words.next()?)?;
                self.topics[topic].partitions_acked = words.next()?.parse().ok()?;
            }
            "front" => {
                let topic = self.named(words.next()?)?;
                let index: usize = words.next()?.parse().ok()?;
                let partition = &mut self.topics[topic].partitions[index];
                partition.start_least = partition.start_least.max(words.next()?.parse().ok()?);
            }
            "members" => {}
            _ => return None,
        }
        Some(())
    }

    /// Topics that are gone are of no interest any more. Only before a load begins: afterwards numbers mean them.
    pub fn forget_gone(&mut self) {
        let kept: Vec<usize> =
            (0..self.topics.len()).filter(|it| self.topics[*it].stage != Stage::Gone).collect();
        let commits = std::mem::take(&mut self.commits);
        for ((group, topic, partition), commits) in commits {
            if let Some(topic) = kept.iter().position(|it| *it == topic) {
                self.commits.insert((group, topic, partition), commits);
            }
        }
        let mut number = 0;
        self.topics.retain(|_| {
            number += 1;
            kept.contains(&(number - 1))
        });
    }
}
