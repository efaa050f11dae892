//! `--from-file`: where groups go, as lines of a file.

use stratalog::{EventLog, Group, TopicPartition};

use super::reset::{Move, within};
use crate::csv;
use crate::{Failure, Outcome, output};

/// A line: of which group, if it says so, and which partition, where to.
pub(super) struct Line {
    number: usize,
    group: Option<String>,
    of: TopicPartition,
    to: u64,
}

impl Line {
    fn is_for(&self, group: &Group) -> bool {
        self.group.as_deref().is_none_or(|name| name == group.name())
    }
}

/// All lines of a text. Where not exactly one group was named, each has to say which it is for.
pub(super) fn read(text: &str, one_group: bool) -> Outcome<Vec<Line>> {
    let mut lines = Vec::new();
    for csv::Row { number, fields } in csv::rows(text)? {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let (group, at) = match fields.as_slice() {
            [topic, partition, offset] => (None, parse(topic, partition, offset)),
            [group, topic, partition, offset] => (Some((*group).to_owned()), parse(topic, partition, offset)),
            _ => (None, None),
        };
        let Some((of, to)) = at else {
            let line = csv::line(fields);
            return Err(Failure::failed(format!(
                "line {number}: {line:?} is not topic,partition,offset or group,topic,partition,offset"
            )));
        };
        if group.is_none() && !one_group {
            return Err(Failure::failed(format!(
                "line {number} names no group; give group,topic,partition,offset, or one --group that all lines are for"
            )));
        }
        lines.push(Line { number, group, of, to });
    }
    Ok(lines)
}

fn parse(topic: &str, partition: &str, offset: &str) -> Option<(TopicPartition, u64)> {
    let of = (topic.trim(), partition.trim().parse().ok()?).into();
    Some((of, offset.trim().parse().ok()?))
}

/// Refuses a file without a line for a group that was named, or for any of all groups.
pub(super) fn refuse_unfit(lines: &[Line], groups: &[Group], all_groups: bool) -> Outcome {
    let fits = |group: &Group| lines.iter().any(|line| line.is_for(group));
    let missing = if all_groups {
        (!groups.iter().any(fits)).then(|| "any group that exists".to_owned())
    } else {
        groups.iter().find(|group| !fits(group)).map(|group| format!("group {:?}", group.name()))
    };
    if let Some(missing) = missing {
        return Err(Failure::failed(format!("no line of the file is for {missing}; nothing was changed")));
    }
    let others: Vec<String> = lines
        .iter()
        .filter(|line| !groups.iter().any(|group| line.is_for(group)))
        .map(|line| line.number.to_string())
        .collect();
    if let [first, ..] = others.as_slice() {
        output::warn(format_args!(
            "{} for groups that were not chosen and left out, the first is line {first}",
            output::counted(others.len() as u64, "line is", "lines are")
        ));
    }
    Ok(())
}

/// What the lines say of a group.
pub(super) fn moves(lines: &[Line], log: &EventLog, group: &Group) -> Outcome<Vec<Move>> {
    let mut moves: Vec<Move> = Vec::new();
    for line in lines.iter().filter(|line| line.is_for(group)) {
        let offsets = log.topic(line.of.topic())?.partition(line.of.partition())?.offsets()?;
        if moves.iter().any(|one| one.of == line.of) {
            return Err(Failure::failed(format!("{} is named twice", line.of)));
        }
        let to = within(line.to, offsets.log_start, offsets.high_watermark, &line.of);
        moves.push(Move { of: line.of.clone(), to });
    }
    Ok(moves)
}
