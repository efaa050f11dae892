//! `groups --describe`: in the columns of Kafka's tool.

use std::io::Write as _;

use serde_json::{Value, json};
use stratalog::{GroupDescription, GroupState, MemberDescription, TopicPartition};

use super::{Groups, chosen};
use crate::table::Table;
use crate::{Outcome, Output, Session, output};

/// Nothing to show.
const NONE: &str = "-";

pub(super) fn run(options: &Groups, session: &Session) -> Outcome {
    let log = session.read()?;
    // A directory that was closed cleanly is held by no process, so there is no member of anything.
    let is_idle = log.recovery().clean;
    let mut out = Output::new();
    for group in chosen(options, &log)? {
        let group = group.describe()?;
        if session.json() {
            out.json(&as_json(&group, is_idle))?;
            continue;
        }
        if group.members.is_empty() {
            warn_of_members(&group.name, is_idle);
        }
        let table = if options.members {
            members(&group, options.verbose)
        } else if options.state {
            state(&group, is_idle)
        } else {
            offsets(&group, options.verbose)
        };
        writeln!(out)?;
        out.write_all(table.text().as_bytes())?;
    }
    out.end()
}

fn warn_of_members(name: &str, is_idle: bool) {
    if is_idle {
        output::remark(format_args!("Consumer group '{name}' has no active members."));
    } else {
        output::remark(format_args!(
            "Consumer group '{name}': members, if there are any, are known to the process that holds the directory."
        ));
    }
}

/// Kafka's word for how a group is.
pub(super) fn state_of(group: &GroupDescription, is_idle: bool) -> &'static str {
    match group.state {
        GroupState::Empty if is_idle => "Empty",
        GroupState::Rebalancing => "PreparingRebalance",
        GroupState::Stable => "Stable",
        _ => NONE,
    }
}

fn offsets(group: &GroupDescription, verbose: bool) -> Table {
    let mut columns = vec![("GROUP", 15), ("TOPIC", 15), ("PARTITION", 10)];
    if verbose {
        columns.push(("LEADER-EPOCH", 15));
    }
    columns.extend([("CURRENT-OFFSET", 15), ("LOG-END-OFFSET", 15), ("LAG", 15)]);
    columns.extend([("CONSUMER-ID", 15), ("HOST", 15), ("CLIENT-ID", 0)]);
    let mut table = Table::new(columns);
    for one in &group.partitions {
        let committed = one.committed.as_ref();
        let mut row =
            vec![group.name.clone(), one.partition.topic().to_owned(), one.partition.partition().to_string()];
        if verbose {
            row.push(shown(committed.and_then(stratalog::Position::leader_epoch)));
        }
        row.extend([shown(committed.map(stratalog::Position::offset)), shown(one.log_end), shown(one.lag)]);
        row.extend([shown(one.member.as_ref()), NONE.to_owned(), NONE.to_owned()]);
        table.row(row);
    }
    table
}

fn members(group: &GroupDescription, verbose: bool) -> Table {
    let mut columns =
        vec![("GROUP", 15), ("CONSUMER-ID", 15), ("HOST", 15), ("CLIENT-ID", 15), ("#PARTITIONS", 15)];
    if verbose {
        columns.extend([
            ("CURRENT-EPOCH", 15),
            ("CURRENT-ASSIGNMENT", 15),
            ("TARGET-EPOCH", 15),
            ("TARGET-ASSIGNMENT", 0),
        ]);
    }
    let mut table = Table::new(columns);
    for MemberDescription { id, assignment, target, .. } in &group.members {
        let none = || NONE.to_owned();
        let mut row = vec![group.name.clone(), id.clone(), none(), none(), assignment.len().to_string()];
        if verbose {
            let epoch = group.generation.to_string();
            row.extend([epoch.clone(), listed(assignment), epoch, listed(target)]);
        }
        table.row(row);
    }
    table
}

fn state(group: &GroupDescription, is_idle: bool) -> Table {
    let columns = [
        ("GROUP", 15),
        ("COORDINATOR (ID)", 25),
        ("ASSIGNMENT-STRATEGY", 20),
        ("STATE", 15),
        ("#MEMBERS", 0),
    ];
    let mut table = Table::new(columns);
    table.row([
        group.name.clone(),
        NONE.to_owned(),
        assignor(group).unwrap_or(NONE).to_owned(),
        state_of(group, is_idle).to_owned(),
        group.members.len().to_string(),
    ]);
    table
}

fn assignor(group: &GroupDescription) -> Option<&'static str> {
    use stratalog::Assignor;
    match group.assignor? {
        Assignor::Range => Some("range"),
        Assignor::RoundRobin => Some("roundrobin"),
        Assignor::Sticky => Some("sticky"),
        Assignor::CooperativeSticky => Some("cooperative-sticky"),
        _ => None,
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// `orders:0,1;payments:2`.
fn listed(partitions: &[TopicPartition]) -> String {
    if partitions.is_empty() {
        return NONE.to_owned();
    }
    let mut text = String::new();
    let mut sorted: Vec<&TopicPartition> = partitions.iter().collect();
    sorted.sort_unstable();
    let mut last = None;
    for partition in sorted {
        if last == Some(partition.topic()) {
            text.push(',');
        } else {
            text.push_str(if last.is_some() { ";" } else { "" });
            text.push_str(partition.topic());
            text.push(':');
        }
        text.push_str(&partition.partition().to_string());
        last = Some(partition.topic());
    }
    text
}

fn as_json(group: &GroupDescription, is_idle: bool) -> Value {
    let names =
        |partitions: &[TopicPartition]| partitions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let members: Vec<Value> = group
        .members
        .iter()
        .map(|it| json!({ "id": it.id, "topics": it.topics, "assignment": names(&it.assignment), "target": names(&it.target) }))
        .collect();
    let partitions: Vec<Value> = group
        .partitions
        .iter()
        .map(|it| {
            let committed = it.committed.as_ref();
            json!({
                "topic": it.partition.topic(),
                "partition": it.partition.partition(),
                "committed": committed.map(stratalog::Position::offset),
                "leaderEpoch": committed.and_then(stratalog::Position::leader_epoch),
                "logEnd": it.log_end,
                "lag": it.lag,
                "member": it.member,
            })
        })
        .collect();
    json!({
        "group": group.name,
        "state": state_of(group, is_idle),
        "assignor": assignor(group),
        "generation": group.generation,
        "members": members,
        "partitions": partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_listed_by_topic() {
        let of =
            |names: &[(&str, u32)]| names.iter().map(|name| (*name).into()).collect::<Vec<TopicPartition>>();
        assert_eq!(listed(&of(&[("b", 2), ("a", 1), ("a", 0)])), "a:0,1;b:2");
        assert_eq!(listed(&[]), "-");
    }
}
