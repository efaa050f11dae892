//! What groups are asked for: positions that are committed, set, forgotten.

use std::time::Duration;

use stratalog::{ConsumerConfig, Durability, Error, EventLog, Position};

use crate::operations::Target;
use crate::oracle::{Commits, Stage, oracle, trace};
use crate::session::{Outcome, Session};

/// The group of [`Session::member`].
const GROUP: &str = "g3";

impl Session {
    pub fn commit(
        &mut self,
        log: &EventLog,
        of: &Target,
        group: &str,
        share: u64,
        level: Option<Durability>,
    ) -> Outcome {
        let place = (group.to_owned(), of.number, of.index);
        let offset = oracle(|oracle| {
            let offset = oracle.partition(of.number, of.index).acked as u64 * share / 1000;
            oracle.trace.push(format!("{group} commits {offset} of {} {level:?}", of.partition.id()));
            oracle.commits.entry(place.clone()).or_default().history.push(Some(offset));
            offset
        });
        let position = Position::new(&of.partition, offset);
        let answer = match level {
            None => log.group(group).and_then(|group| group.set_committed([position])),
            Some(level) => {
                let config = ConsumerConfig::new().group(group).commit_durability(level);
                log.consumer_with(config).and_then(|mut consumer| {
                    consumer.assign([&of.partition])?;
                    consumer.commit_to([position])
                })
            }
        };
        if answer.is_ok() && oracle(|oracle| oracle.topics[of.number].stage == Stage::Unknown) {
            self.violation(format!("{} takes commits although it may be gone", of.partition.id()));
        }
        self.committed(&place, &answer, level == Some(Durability::Synced));
        self.outcome(answer, |()| ())
    }

    /// What the answer to a commit, the last of the history, says of it.
    fn committed(&self, place: &(String, usize, u32), answer: &stratalog::Result<()>, is_durable: bool) {
        oracle(|oracle| {
            let Some(commits) = oracle.commits.get_mut(place) else { return };
            match answer {
                Ok(()) => commits.acked = commits.history.len(),
                // Nothing was committed.
                Err(failure) if !matches!(failure, Error::Poisoned(_)) && !self.may_not_read => {
                    commits.history.pop();
                }
                Err(_) => {}
            }
            if answer.is_ok() && is_durable {
                commits.durable = commits.acked;
            }
            if commits.history.is_empty() {
                oracle.commits.remove(place);
            }
        });
    }

    /// Forgets the position of one partition, or with `all` the group with all of its positions.
    pub fn forget(&mut self, log: &EventLog, of: &Target, group: &str, all: bool) -> Outcome {
        let places: Vec<(String, usize, u32)> = oracle(|oracle| {
            let is_there = |commits: &Commits| {
                commits.acked == commits.history.len() && commits.history.last().is_some_and(Option::is_some)
            };
            let live = |topic: &usize| oracle.topics[*topic].stage == Stage::Live;
            let mut places: Vec<_> = oracle.commits.iter().collect();
            places.retain(|((name, topic, partition), _)| {
                name == group && (all || (*topic, *partition) == (of.number, of.index))
            });
            // Those of topics that may be gone are another matter.
            let is_known = places.iter().all(|((_, topic, _), commits)| live(topic) && is_there(commits));
            places.into_iter().filter(|_| is_known).map(|(place, _)| place.clone()).collect()
        });
        if places.is_empty() {
            return Outcome::Skipped;
        }
        oracle(|oracle| {
            oracle.trace.push(format!("{group} forgets {places:?}"));
            for place in &places {
                oracle.commits.entry(place.clone()).or_default().history.push(None);
            }
        });
        let answer = log.group(group).and_then(|group| {
            if all { group.delete() } else { group.remove_committed([of.partition.id().clone()]) }
        });
        for place in &places {
            self.committed(place, &answer, false);
        }
        self.outcome(answer, |()| ())
    }

    /// Reads the topic as the member of a group, and commits.
    pub fn member(&mut self, log: &EventLog, of: &Target) -> Outcome {
        trace(format!("a member of {GROUP} reads {}", of.topic.name()));
        let mut places = Vec::new();
        let answer = log.consumer_with(ConsumerConfig::new().group(GROUP)).and_then(|mut member| {
            member.subscribe([of.topic.name()])?;
            loop {
                match member.poll(Duration::ZERO) {
                    Ok(records) if records.is_empty() => break,
                    Ok(_) => {}
                    // Records before what the group has committed may have been deleted since. Others it begins with.
                    Err(Error::OffsetOutOfRange { at, valid }) if was_at(of.number, &at) => {
                        member.seek(Position::new(at.topic_partition(), valid.start))?;
                    }
                    Err(failure) => return Err(failure),
                }
            }
            let positions = member.positions();
            for position in &positions {
                places.push((GROUP.to_owned(), of.number, position.topic_partition().partition()));
                oracle(|oracle| {
                    let commits = oracle.commits.entry(places[places.len() - 1].clone()).or_default();
                    commits.history.push(Some(position.offset()));
                });
            }
            let answer = member.commit();
            // It leaves its group.
            answer.and(member.close())
        });
        for place in &places {
            self.committed(place, &answer, false);
        }
        self.outcome(answer, |()| ())
    }
}

fn was_at(topic: usize, position: &Position) -> bool {
    let place = (GROUP.to_owned(), topic, position.topic_partition().partition());
    oracle(|oracle| {
        oracle.commits.get(&place).is_some_and(|commits| commits.history.contains(&Some(position.offset())))
    })
}
