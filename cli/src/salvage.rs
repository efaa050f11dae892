//! Reading a directory that is damaged, for `--skip-damage`: what partitions hold by their files alone, and what is left out.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use stratalog::inspect::{BatchRecords, BatchView, ControlKind, LeftOut, Salvaged, salvage};
use stratalog::{Error, TopicConfig};

use super::export::groups::{self, Group};
use super::output::{counted, warn};
use super::pattern::Pattern;
use super::{Failure, Outcome, Session, files, topics};

const OFFSETS_TOPIC: &str = "__consumer_offsets";
const METADATA_TOPIC: &str = "__cluster_metadata";

/// What is known of the topics of a directory.
pub(super) struct Damaged {
    dir: PathBuf,
    pub(super) topics: BTreeMap<String, DamagedTopic>,
    /// Whether the metadata could be read. Else topics are known by the names of directories.
    pub(super) is_known: bool,
    left_out: u64,
}

pub(super) struct DamagedTopic {
    pub(super) id: Option<String>,
    pub(super) config: TopicConfig,
    pub(super) partitions: u32,
    /// Where partitions begin, as far as that is known, and whether they have records.
    starts: BTreeMap<u32, (u64, bool)>,
}

impl Damaged {
    /// Finds the topics, by the metadata log or, where that cannot be read, by the names of directories.
    pub(super) fn open(session: &Session, pattern: &Pattern, may_miss: bool) -> Outcome<Self> {
        let dir = session.dir()?.to_owned();
        match session.read() {
            Ok(log) => {
                let mut found = BTreeMap::new();
                for topic in topics::chosen(&log, pattern, may_miss)? {
                    let mut starts = BTreeMap::new();
                    for partition in topic.partitions() {
                        let offsets = partition.offsets();
                        let start = offsets.as_ref().map_or(0, |offsets| offsets.log_start);
                        let has_records = offsets.map_or(true, |offsets| offsets.log_end > 0);
                        starts.insert(partition.id().partition(), (start, has_records));
                    }
                    let partitions = u32::try_from(starts.len()).unwrap_or(u32::MAX);
                    let (id, config) = (Some(topic.id().to_string()), topic.config());
                    found.insert(topic.name().to_owned(), DamagedTopic { id, config, partitions, starts });
                }
                Ok(Self { dir, topics: found, is_known: true, left_out: 0 })
            }
            Err(why) => {
                let names = files::directories(&dir)?;
                let Some(why) = why.words().filter(|_| !names.is_empty()) else { return Err(why) };
                warn(format_args!(
                    "{why}\nTopics are taken from the names of directories; their ids and settings, and which of them were \
                     deleted, are not known"
                ));
                let mut found: BTreeMap<String, DamagedTopic> = BTreeMap::new();
                for name in names {
                    let Some((topic, number)) = name.rsplit_once('-') else { continue };
                    let Some(number) = number.parse::<u32>().ok().filter(|of| of.to_string() == number)
                    else {
                        continue;
                    };
                    if topic == METADATA_TOPIC || !pattern.matches(topic) {
                        continue;
                    }
                    let topic = found.entry(topic.to_owned()).or_insert_with(|| DamagedTopic {
                        id: None,
                        config: TopicConfig::new(),
                        partitions: 0,
                        starts: BTreeMap::new(),
                    });
                    topic.partitions = topic.partitions.max(number + 1);
                }
                Ok(Self { dir, topics: found, is_known: false, left_out: 0 })
            }
        }
    }

    /// Returns the batches of a partition that can be read, each with its records and whether they are committed, and reports
    /// what is left out. Records before the log start are passed over.
    pub(super) fn batches(
        &mut self,
        topic: &str,
        number: u32,
        on_batch: &mut dyn FnMut(&BatchView<'_>, &BatchRecords<'_>, u64, bool) -> Outcome,
    ) -> Outcome {
        let path = self.dir.join(format!("{topic}-{number}"));
        let known = self.topics.get(topic).and_then(|topic| topic.starts.get(&number)).copied();
        let (start, has_records) = known.unwrap_or((0, false));
        if !files::is_there(&path)? {
            if has_records {
                warn(format_args!(
                    "{topic}-{number}: all records are left out: {} is missing",
                    path.display()
                ));
                self.left_out += 1;
            }
            return Ok(());
        }
        let ends = ends(&path)?;
        let (mut outcome, mut left_out) = (Ok(()), 0);
        salvage(&path, |next| {
            match next {
                Salvaged::Batch(batch) if batch.is_control() => {}
                Salvaged::Batch(batch) => {
                    outcome = batch
                        .records()
                        .map_err(Failure::from)
                        .and_then(|records| on_batch(&batch, &records, start, is_committed(&batch, &ends)));
                }
                Salvaged::LeftOut(range) if range.end.is_some_and(|end| end <= start) => {}
                Salvaged::LeftOut(range) => {
                    report(topic, number, &range);
                    left_out += 1;
                }
                _ => {}
            }
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.left_out += left_out;
        outcome
    }

    /// The groups, by what can be read of their positions.
    pub(super) fn groups(&mut self) -> Outcome<BTreeMap<String, Group>> {
        let mut found = BTreeMap::new();
        let partitions = self.topics.get(OFFSETS_TOPIC).map_or(0, |topic| topic.partitions);
        for number in 0..partitions {
            self.batches(OFFSETS_TOPIC, number, &mut |_, records, _, is_committed| {
                if is_committed {
                    records.iter().for_each(|one| groups::take(one.key(), one.value(), &mut found));
                }
                Ok(())
            })?;
        }
        found.retain(|_, group| group.is_there());
        Ok(found)
    }

    /// How the command ends: what is left out is no success.
    pub(super) fn end(&self) -> Outcome {
        match self.left_out {
            0 if self.is_known => Ok(()),
            0 => Err(Failure::LeftOut("all batches were read, but not the metadata".to_owned())),
            some => Err(Failure::LeftOut(format!(
                "{} left out; everything else was read",
                counted(some, "damaged range was", "damaged ranges were")
            ))),
        }
    }
}

fn report(topic: &str, number: u32, left_out: &LeftOut) {
    let LeftOut { first, end, path, bytes, reason, .. } = left_out;
    let offsets = match end.map(|end| end.saturating_sub(1)) {
        Some(last) if last == *first => format!("offset {first}"),
        Some(last) => format!("offsets {first} to {last}"),
        None => format!("what follows from offset {first} on"),
    };
    let (path, from, to) = (path.display(), bytes.start, bytes.end);
    warn(format_args!("{topic}-{number}: {offsets} left out: {path}, bytes {from} to {to}: {reason}"));
}

/// Where transactions end, by producer, and whether they are committed there.
type Ends = BTreeMap<i64, Vec<(i64, bool)>>;

fn ends(path: &Path) -> Result<Ends, Error> {
    let mut ends = Ends::new();
    salvage(path, |next| {
        if let Salvaged::Batch(batch) = next
            && batch.is_control()
            && let Ok(records) = batch.records()
        {
            for one in records.iter() {
                let is_commit = match one.control() {
                    Some(ControlKind::Commit { .. }) => true,
                    Some(ControlKind::Abort { .. }) => false,
                    _ => continue,
                };
                ends.entry(batch.producer_id()).or_default().push((one.offset(), is_commit));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(ends)
}

/// A transaction whose end cannot be read is not committed.
fn is_committed(batch: &BatchView<'_>, ends: &Ends) -> bool {
    let after = |ends: &Vec<(i64, bool)>| {
        ends.iter().find(|(offset, _)| *offset > batch.last_offset()).is_some_and(|(_, is_commit)| *is_commit)
    };
    !batch.is_transactional() || ends.get(&batch.producer_id()).is_some_and(after)
}
