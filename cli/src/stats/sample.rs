//! What the log holds at a moment, and what has changed between two.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use stratalog::{Error, EventLog, Partition, SegmentInfo, Timestamp, Topic};

use crate::Outcome;
use crate::pattern::Pattern;
use crate::time::shown;

/// As many as fit on a wide screen.
const KEPT: usize = 512;

/// What a topic holds.
#[derive(Debug, Clone, Default)]
pub(super) struct TopicContents {
    pub(super) partitions: Vec<PartitionContents>,
    pub(super) end: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) unsynced: u64,
    /// Partitions whose old records stay only because of a timestamp in the future: each with where they begin, and the
    /// timestamp.
    pub(super) kept_by_future: Vec<(u32, u64, i64)>,
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PartitionContents {
    pub(super) number: u32,
    pub(super) end: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Bytes that are not known to be on disk.
    pub(super) unsynced: u64,
    /// Records a second since the last look.
    pub(super) records_per_second: f64,
}

/// A topic over time.
#[derive(Debug, Default)]
pub(super) struct TopicStats {
    pub(super) contents: TopicContents,
    /// Records and bytes a second since the last look.
    pub(super) records_per_second: f64,
    pub(super) bytes_per_second: f64,
    /// Rates of records, the last one at the end.
    pub(super) rates: VecDeque<f64>,
}

/// A group over time: its lag in all topics that are sampled.
#[derive(Debug, Default)]
pub(super) struct GroupStats {
    pub(super) lag: u64,
    /// The last one at the end.
    pub(super) lags: VecDeque<f64>,
}

/// All topics and groups over time.
#[derive(Debug)]
pub(super) struct Stats {
    pub(super) topics: BTreeMap<String, TopicStats>,
    pub(super) groups: BTreeMap<String, GroupStats>,
    /// Rates of records of all topics together, the last one at the end.
    pub(super) rates: VecDeque<f64>,
    looked: Instant,
}

impl Stats {
    pub(super) fn new() -> Self {
        Self {
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            rates: VecDeque::new(),
            looked: Instant::now(),
        }
    }

    /// Samples all topics of a pattern, those that Kafka keeps for itself left out unless they are asked for by name.
    pub(super) fn look(&mut self, log: &EventLog, pattern: Option<&Pattern>) -> Outcome {
        let time = self.looked.elapsed();
        self.looked = Instant::now();
        let mut seen = BTreeMap::new();
        for topic in log.topics()? {
            let wanted =
                pattern.map_or(!topic.name().starts_with("__"), |pattern| pattern.matches(topic.name()));
            if !wanted {
                continue;
            }
            match contents(&topic) {
                Ok(contents) => {
                    let stats = self
                        .topics
                        .remove(topic.name())
                        .unwrap_or(TopicStats { contents: contents.clone(), ..Default::default() });
                    seen.insert(topic.name().to_owned(), stats.then(contents, time));
                }
                // Deleted since it was listed: then whatever was found wrong was because of that.
                Err(failure) => match log.topic(topic.name()) {
                    Err(Error::NotFound { .. }) => {}
                    _ => return Err(failure.into()),
                },
            }
        }
        self.topics = seen;
        let rate = self.topics.values().map(|topic| topic.records_per_second).sum();
        push(&mut self.rates, rate);
        self.look_at_groups(log)
    }

    /// A line for each partition whose old records stay only because of a timestamp in the future.
    pub(super) fn kept_by_future(&self) -> impl Iterator<Item = String> + '_ {
        self.topics.iter().flat_map(|(name, topic)| {
            topic.contents.kept_by_future.iter().map(move |(partition, base_offset, timestamp)| {
                let when = shown(Timestamp::from_millis(*timestamp));
                format!(
                    "{name}-{partition}: records from offset {base_offset} on are old, but kept because one has a timestamp \
                     in the future, {when}"
                )
            })
        })
    }

    fn look_at_groups(&mut self, log: &EventLog) -> Outcome {
        let mut seen = BTreeMap::new();
        for group in log.groups()? {
            let lags = match group.lag() {
                // Deleted since it was listed.
                Err(Error::NotFound { .. }) => continue,
                lags => lags?,
            };
            let mut lags = lags.into_iter().filter(|(of, _)| self.topics.contains_key(of.topic())).peekable();
            if lags.peek().is_some() {
                let mut stats = self.groups.remove(group.name()).unwrap_or_default();
                stats.lag = lags.map(|(_, lag)| lag).sum();
                #[expect(clippy::cast_precision_loss, reason = "one of eight bars")]
                push(&mut stats.lags, stats.lag as f64);
                seen.insert(group.name().to_owned(), stats);
            }
        }
        self.groups = seen;
        Ok(())
    }
}

fn contents(topic: &Topic) -> stratalog::Result<TopicContents> {
    let mut contents = TopicContents::default();
    for partition in topic.partitions() {
        let offsets = partition.offsets()?;
        let one = PartitionContents {
            number: partition.id().partition(),
            end: offsets.log_end,
            records: offsets.log_end.saturating_sub(offsets.log_start),
            bytes: partition.size()?,
            unsynced: unsynced(&partition, offsets.durable, offsets.log_end)?,
            records_per_second: 0.0,
        };
        contents.end += one.end;
        contents.records += one.records;
        contents.bytes += one.bytes;
        contents.unsynced += one.unsynced;
        contents.partitions.push(one);
        if let Some(kept) = partition.kept_by_future_timestamp()? {
            contents.kept_by_future.push((
                partition.id().partition(),
                kept.offsets.start,
                kept.max_timestamp.as_millis(),
            ));
        }
    }
    Ok(contents)
}

/// Bytes of the records from `durable` on. In the segment that it lies in records count as equally long.
fn unsynced(partition: &Partition, durable: u64, end: u64) -> stratalog::Result<u64> {
    if durable >= end {
        return Ok(0);
    }
    let part = |segment: SegmentInfo| {
        let offsets = segment.offsets.end.saturating_sub(segment.offsets.start).max(1);
        let unsynced = segment.offsets.end.saturating_sub(durable.max(segment.offsets.start));
        let bytes = u128::from(segment.bytes) * u128::from(unsynced) / u128::from(offsets);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    Ok(partition.segments()?.into_iter().map(part).sum())
}

impl TopicStats {
    fn then(mut self, mut now: TopicContents, time: Duration) -> Self {
        let seconds = time.as_secs_f64().max(1e-3);
        #[expect(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
        let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        self.records_per_second = rate(self.contents.end, now.end);
        // Retention makes a log smaller: that is no rate.
        self.bytes_per_second = rate(self.contents.bytes, now.bytes);
        for (before, now) in self.contents.partitions.iter().zip(&mut now.partitions) {
            now.records_per_second = rate(before.end, now.end);
        }
        self.contents = now;
        push(&mut self.rates, self.records_per_second);
        self
    }
}

/// Adds the newest value in place of the oldest.
pub(super) fn push(values: &mut VecDeque<f64>, newest: f64) {
    if values.len() == KEPT {
        values.pop_front();
    }
    values.push_back(newest);
}
