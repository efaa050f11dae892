//! `mirror`: brings another directory up to this one. What is there already is not copied again, so it can be stopped and
//! run again at any time.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use stratalog::inspect::{BatchRecords, BatchView};
use stratalog::{
    Consumer, ConsumerConfig, Error, EventLog, IsolationLevel, Mismatch, OwnedRecord, Partition,
    PartitionOffsets, Position, Producer, Record, RecordCopy, Timestamp, TimestampType, Topic,
};

use super::copying::{self, BATCH_BYTES};
use super::lines::push_text;
use super::output::counted;
use super::pattern::Pattern;
use super::progress::Bar;
use super::salvage::Damaged;
use super::{Failure, Outcome, Output, Session, Stop, files, topics};

const EXAMPLES: &str = "\
Examples:
  stratalog mirror --dir data --to copy
  stratalog mirror --dir data --to copy --topic 'orders|payments'";

/// Bring another directory up to this one: topics, settings, records with their offsets, and what groups have committed.
///
/// Run it again to continue where it ended. Records of transactions that were not committed are left out. A program may
/// be writing to this directory meanwhile; no other program may write to the other one.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Mirror {
    /// The other directory, which is made if it is missing.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only these topics: `orders`, `orders|payments`, `test-.*`.
    #[arg(long, value_name = "PATTERN")]
    topic: Option<String>,
    /// Read the files alone, continue after damaged parts, and list these on standard error: topic, offsets, file, bytes, reason.
    /// Their offsets stay free. Ends with 3 if there are any.
    #[arg(long)]
    skip_damage: bool,
}

pub(super) fn run(options: &Mirror, session: &Session) -> Outcome {
    let pattern = Pattern::parse(options.topic.as_deref().unwrap_or(".*"))?;
    if options.skip_damage {
        return damaged(options, session, &pattern);
    }
    let from = session.read()?;
    if files::is_same(session.dir()?, &options.to) {
        return Err(Failure::usage("--dir and --to are the same directory; name another one to copy to"));
    }
    let stop = Stop::on_signals()?;
    let to = session.open_to_fill(&options.to)?;
    let mirrored = all(&from, &to, &pattern, options.topic.is_none(), &stop);
    to.close()?;
    let copied = mirrored?;
    print(&copied, session)?;
    if stop.is_asked() {
        return Err(Failure::failed("stopped before the end; run it again to continue"));
    }
    Ok(())
}

/// The same of a directory that is damaged.
fn damaged(options: &Mirror, session: &Session, pattern: &Pattern) -> Outcome {
    if files::is_same(session.dir()?, &options.to) {
        return Err(Failure::usage("--dir and --to are the same directory; name another one to copy to"));
    }
    let mut found = Damaged::open(session, pattern, options.topic.is_none())?;
    let to = session.open_to_fill(&options.to)?;
    let mirrored = all_readable(&mut found, &to, options.topic.is_none());
    to.close()?;
    print(&mirrored?, session)?;
    found.end()
}

fn all_readable(found: &mut Damaged, to: &EventLog, with_groups: bool) -> Outcome<Vec<Copied>> {
    let (producer, mut copied) = (to.producer()?, Vec::new());
    let names: Vec<String> = found.topics.keys().filter(|name| !name.starts_with("__")).cloned().collect();
    for name in names {
        let Some(topic) = found.topics.get(&name) else { continue };
        let (config, count) = (topic.config.clone(), topic.partitions);
        let copy = to.ensure_topic_with(&name, config.clone().partitions(count), Mismatch::Keep)?;
        if copy.partitions().len() < count as usize {
            copy.add_partitions(count)?;
        }
        if found.is_known {
            copying::take_settings(&copy, &config)?;
        }
        for partition in copy.partitions().into_iter().take(count as usize) {
            let before = partition.offsets()?.log_end;
            let mut records = 0;
            found.batches(&name, partition.id().partition(), &mut |batch, found, start, is_committed| {
                if is_committed {
                    records += copy_batch(&producer, &partition, batch, found, start.max(before))?;
                }
                Ok(())
            })?;
            let after = partition.offsets()?.log_end;
            copied.push(Copied { partition, before, after, records });
        }
    }
    if with_groups {
        for (name, group) in found.groups()? {
            let positions = group.commits.iter().filter_map(|((topic, partition), commit)| {
                let is_of = |one: &&Copied| {
                    one.partition.id().topic() == topic
                        && i64::from(one.partition.id().partition()) == *partition
                };
                let offset = u64::try_from(commit.offset).ok()?;
                let one = copied.iter().find(is_of).filter(|one| offset <= one.after)?;
                Some(Position::new(one.partition.id(), offset))
            });
            let positions: Vec<_> = positions.collect();
            if !positions.is_empty() {
                to.group(&name)?.set_committed(positions)?;
            }
        }
    }
    Ok(copied)
}

/// Writes the records of a batch from an offset on, and reports how many.
fn copy_batch(
    producer: &Producer,
    to: &Partition,
    batch: &BatchView<'_>,
    found: &BatchRecords<'_>,
    from: u64,
) -> Outcome<u64> {
    let means = batch.timestamp_type().unwrap_or(TimestampType::CreateTime);
    let mut copies = Vec::new();
    for one in found.iter() {
        let Some(offset) = u64::try_from(one.offset()).ok().filter(|offset| *offset >= from) else {
            continue;
        };
        let mut record = Record::of(one.key(), one.value());
        if one.timestamp() >= 0 {
            record = record.timestamp(Timestamp::from_millis(one.timestamp()));
        }
        for header in one.headers() {
            record = match header.value() {
                Some(value) => record.header(header.name_bytes(), value),
                None => record.null_header(header.name_bytes()),
            };
        }
        copies.push(RecordCopy::new(offset, record).timestamp_type(means));
    }
    copying::write(producer, to, &copies)?;
    Ok(copies.len() as u64)
}

/// What was done for a partition.
struct Copied {
    partition: Partition,
    /// Offsets that were there before, and are there now.
    before: u64,
    after: u64,
    records: u64,
}

fn all(
    from: &EventLog,
    to: &EventLog,
    pattern: &Pattern,
    may_miss: bool,
    stop: &Stop,
) -> Outcome<Vec<Copied>> {
    let producer = to.producer()?;
    let mut work = Vec::new();
    for topic in topics::chosen(from, pattern, may_miss)? {
        if topic.describe()?.internal {
            continue;
        }
        let copy = same_topic(&topic, to)?;
        for (source, target) in topic.partitions().into_iter().zip(copy.partitions()) {
            work.push((source, target));
        }
    }
    let mut plan = Vec::new();
    for (source, target) in work {
        let (there, here) = (source.offsets()?, target.offsets()?);
        check(from, &source, there, to, &target, here)?;
        plan.push((source, target, there, here));
    }
    let total = plan.iter().map(|(_, _, there, here)| there.last_stable.saturating_sub(here.log_end)).sum();
    let (bar, mut done) = (Bar::count("copying", Some(total)), 0);
    let mut copied = Vec::new();
    for (source, target, there, here) in plan {
        if stop.is_asked() {
            break;
        }
        let mut copying = Copying { from, producer: &producer, source: &source, target: &target };
        let records = copying.run(there, here, &mut |more| {
            done += more;
            bar.set(done);
            stop.is_asked()
        })?;
        let after = target.offsets()?.log_end;
        copied.push(Copied { partition: target, before: here.log_end, after, records });
    }
    if !stop.is_asked() {
        groups(from, to, &copied)?;
    }
    Ok(copied)
}

/// Gives groups the positions that they have committed here, as far as what was copied goes.
fn groups(from: &EventLog, to: &EventLog, copied: &[Copied]) -> Outcome {
    for group in from.groups()? {
        let mut wanted = group.committed()?;
        wanted.retain(|position| {
            let is_of = |one: &&Copied| one.partition.id() == position.topic_partition();
            copied.iter().find(is_of).is_some_and(|one| position.offset() <= one.after)
        });
        let copy = to.group(group.name())?;
        let has = copy.committed()?;
        wanted.retain(|position| !has.contains(position));
        if !wanted.is_empty() {
            copy.set_committed(wanted.iter().map(by_name))?;
        }
    }
    Ok(())
}

/// The position in whichever topic has the name.
fn by_name(position: &Position) -> Position {
    let of = position.topic_partition();
    let there = Position::new((of.topic(), of.partition()), position.offset());
    match position.leader_epoch() {
        Some(epoch) => there.with_leader_epoch(epoch),
        None => there,
    }
}

/// The topic in the other directory, made or brought to the same settings and partitions.
fn same_topic(topic: &Topic, to: &EventLog) -> Outcome<Topic> {
    let config = topic.config();
    let wanted = topic.partitions().len();
    let copy = to.ensure_topic_with(topic.name(), config.clone(), Mismatch::Keep)?;
    let has = copy.partitions().len();
    if has > wanted {
        return Err(Failure::failed(format!(
            "topic {:?} has {has} partitions there, but {wanted} here: it is no copy of this one",
            topic.name()
        )));
    }
    if has < wanted {
        copy.add_partitions(u32::try_from(wanted).unwrap_or(u32::MAX))?;
    }
    copying::take_settings(&copy, &config)?;
    Ok(copy)
}

/// Whether what is there already is the beginning of what is here.
fn check(
    from: &EventLog,
    source: &Partition,
    there: PartitionOffsets,
    to: &EventLog,
    target: &Partition,
    here: PartitionOffsets,
) -> Outcome {
    let id = target.id();
    if here.log_end > there.high_watermark {
        return Err(Failure::failed(format!(
            "{id} ends at offset {} there, but at {} here: it is no copy of this one",
            here.log_end, there.high_watermark
        )));
    }
    let Some(last) = here.log_end.checked_sub(1).filter(|last| *last >= here.log_start.max(there.log_start))
    else {
        return Ok(());
    };
    // Where a gap was noted or records were compacted away, there is nothing to compare.
    let (Some(ours), Some(theirs)) = (record_at(from, source, last)?, record_at(to, target, last)?) else {
        return Ok(());
    };
    let (ours, theirs) = (ours.view(), theirs.view());
    let same = ours.timestamp() == theirs.timestamp()
        && ours.key() == theirs.key()
        && ours.value() == theirs.value()
        && ours.headers().eq(theirs.headers());
    if same {
        return Ok(());
    }
    Err(Failure::failed(format!("{id} has another record at offset {last} there: it is no copy of this one")))
}

fn record_at(log: &EventLog, partition: &Partition, offset: u64) -> Outcome<Option<OwnedRecord>> {
    let mut reader = reader(log, partition, offset, IsolationLevel::ReadUncommitted)?;
    let records = reader.poll(Duration::ZERO)?;
    Ok(records.iter().next().filter(|record| record.offset() == offset).map(|record| record.detach()))
}

fn reader(log: &EventLog, of: &Partition, from: u64, isolation: IsolationLevel) -> Outcome<Consumer> {
    let config =
        ConsumerConfig::new().isolation(isolation).max_poll_bytes(BATCH_BYTES).max_poll_records(usize::MAX);
    let mut reader = log.consumer_with(config)?;
    reader.assign([of])?;
    reader.seek(Position::new(of, from))?;
    Ok(reader)
}

/// One partition.
struct Copying<'c> {
    from: &'c EventLog,
    producer: &'c Producer,
    source: &'c Partition,
    target: &'c Partition,
}

impl Copying<'_> {
    /// Copies what is committed, and reports how many records that were. `progressed` is given how many offsets were passed,
    /// and says whether to stop.
    fn run(
        &mut self,
        there: PartitionOffsets,
        here: PartitionOffsets,
        progressed: &mut dyn FnMut(u64) -> bool,
    ) -> Outcome<u64> {
        let end = there.last_stable;
        let start = here.log_end.max(there.log_start);
        if here.log_end == 0 && end > 0 {
            self.producer.advance_log_end(self.target, there.log_start)?;
        }
        let mut records = 0;
        let mut reader = reader(self.from, self.source, start, IsolationLevel::ReadCommitted)?;
        let mut position = start;
        while position < end {
            let polled = match reader.poll(Duration::ZERO) {
                // Retention was faster.
                Err(Error::OffsetOutOfRange { valid, .. }) if valid.start > position => {
                    reader.seek(Position::new(self.source, valid.start))?;
                    position = valid.start;
                    continue;
                }
                polled => polled?,
            };
            let copies: Vec<_> =
                polled.iter().filter(|one| one.offset() < end).map(RecordCopy::from).collect();
            copying::write(self.producer, self.target, &copies)?;
            records += copies.len() as u64;
            let next = reader.position(self.source)?.offset();
            if progressed(next.min(end).saturating_sub(position)) {
                return Ok(records);
            }
            if polled.is_empty() && next == position {
                break;
            }
            position = next;
        }
        if self.target.offsets()?.log_end < end {
            self.producer.advance_log_end(self.target, end)?;
        }
        // What has left here leaves there, too.
        if there.log_start > self.target.offsets()?.log_start {
            self.target.delete_records(there.log_start)?;
        }
        Ok(records)
    }
}

fn print(copied: &[Copied], session: &Session) -> Outcome {
    let mut out = Output::new();
    for Copied { partition, before, after, records } in copied {
        let id = partition.id();
        if session.json() {
            let mut line = b"{\"topic\":".to_vec();
            push_text(id.topic(), &mut line);
            out.write_all(&line)?;
            writeln!(
                out,
                ",\"partition\":{},\"records\":{records},\"before\":{before},\"after\":{after}}}",
                id.partition()
            )?;
        } else if before != after {
            let records = counted(*records, "record", "records");
            writeln!(out, "{id}: {records}, from offset {before} to {after}")?;
        }
    }
    if !session.json() {
        let records = counted(copied.iter().map(|one| one.records).sum(), "record", "records");
        let partitions = counted(copied.len() as u64, "partition", "partitions");
        writeln!(out, "Copied {records} of {partitions}.")?;
    }
    out.end()
}
