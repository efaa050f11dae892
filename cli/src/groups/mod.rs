//! `groups`: consumer groups, their committed offsets and their lag. Kafka's `kafka-consumer-groups`.

mod describe;
mod listed;
mod plan;
mod reset;

use std::io::Write as _;

use clap::Args;
use serde_json::json;
use stratalog::{Error, EventLog, Group};

use super::{Failure, Outcome, Output, Session};
use reset::Reset;

const EXAMPLES: &str = "\
Examples:
  stratalog groups --list
  stratalog groups --describe --group billing
  stratalog groups --describe --all-groups --state
  stratalog groups --reset-offsets --group billing --topic orders --to-earliest --dry-run
  stratalog groups --reset-offsets --group billing --topic orders:0,1 --by-duration PT1H --execute
  stratalog groups --delete-offsets --group billing --topic orders
  stratalog groups --delete --group billing";

/// List, describe, reset and delete consumer groups.
///
/// The members of a group are consumers in one process. While another process holds the directory, what it has committed
/// is shown, but not who its members are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Groups {
    #[command(flatten)]
    action: Action,
    /// The group; may be given several times.
    #[arg(long, value_name = "NAME", conflicts_with = "list")]
    group: Vec<String>,
    /// All groups there are.
    #[arg(long, conflicts_with_all = ["group", "list"])]
    all_groups: bool,
    /// With --describe: the members and what is assigned to them.
    #[arg(long, conflicts_with_all = ["state", "offsets"])]
    members: bool,
    /// With --describe: the state. With --list: show it too.
    #[arg(long, conflicts_with_all = ["reset_offsets", "delete", "delete_offsets", "offsets"])]
    state: bool,
    /// With --describe: committed offsets and lag, as without it.
    #[arg(long)]
    offsets: bool,
    /// With --describe: more columns.
    #[arg(long)]
    verbose: bool,
    /// The topics, or partitions of them: `orders`, `orders:0,1`; may be given several times.
    #[arg(long, value_name = "TOPIC[:PARTITIONS]", conflicts_with_all = ["list", "describe", "delete", "all_topics"])]
    topic: Vec<String>,
    /// All topics that the group has committed offsets of.
    #[arg(long, conflicts_with_all = ["list", "describe", "delete"])]
    all_topics: bool,
    #[command(flatten)]
    reset: Reset,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Action {
    /// List the groups.
    #[arg(long)]
    list: bool,
    /// Show what groups have committed, and how far they lag.
    #[arg(long)]
    describe: bool,
    /// Put the committed offsets of a group elsewhere. The group must have no members.
    #[arg(long, requires = "how")]
    reset_offsets: bool,
    /// Delete groups. They must have no members.
    #[arg(long)]
    delete: bool,
    /// Delete the committed offsets of topics.
    #[arg(long)]
    delete_offsets: bool,
}

pub(super) fn run(options: &Groups, session: &Session) -> Outcome {
    let action = &options.action;
    if !action.list && options.group.is_empty() && !options.all_groups {
        return Err(Failure::usage("which group? give --group or --all-groups"));
    }
    // The parser lets this pass, because the actions exclude each other.
    if !action.reset_offsets && options.reset.is_given() {
        return Err(Failure::usage(
            "where to go, --dry-run, --execute and --export belong to --reset-offsets",
        ));
    }
    if !action.describe && (options.members || options.offsets || options.verbose) {
        return Err(Failure::usage("--members, --offsets and --verbose belong to --describe"));
    }
    if action.list {
        list(options, session)
    } else if action.describe {
        describe::run(options, session)
    } else if action.reset_offsets {
        reset::run(options, session)
    } else if action.delete {
        delete(options, session)
    } else {
        delete_offsets(options, session)
    }
}

fn list(options: &Groups, session: &Session) -> Outcome {
    let log = session.read()?;
    let mut out = Output::new();
    let mut table = super::table::Table::new([("GROUP", 15), ("STATE", 15)]);
    let is_idle = log.recovery().clean;
    for group in log.groups()? {
        let state = describe::state_of(&group.describe()?, is_idle);
        if session.json() {
            out.json(&json!({ "group": group.name(), "state": state }))?;
        } else if options.state {
            table.row([group.name().to_owned(), state.to_owned()]);
        } else {
            writeln!(out, "{}", group.name())?;
        }
    }
    if options.state && !session.json() {
        out.write_all(table.text().as_bytes())?;
    }
    out.end()
}

/// The groups that are meant, in order of their names.
fn chosen(options: &Groups, log: &EventLog) -> Outcome<Vec<Group>> {
    if options.all_groups {
        return Ok(log.groups()?);
    }
    let all = log.groups()?;
    let find = |name: &String| {
        let found = all.iter().find(|group| group.name() == name).cloned();
        found.ok_or_else(|| Failure::failed(format!("group {name:?} does not exist")))
    };
    named(options).into_iter().map(find).collect()
}

/// The names that were given, each once.
fn named(options: &Groups) -> Vec<&String> {
    let mut names: Vec<&String> = Vec::new();
    for name in &options.group {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Refuses groups with members: so that none is changed where one cannot be.
fn refuse_members(groups: &[Group]) -> Outcome {
    for group in groups {
        match group.describe() {
            Ok(described) if !described.members.is_empty() => {
                let reason = format!("group {:?} has members; nothing was changed", group.name());
                return Err(Failure::failed(reason));
            }
            // One that is given its first offsets is not there yet.
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}

fn delete(options: &Groups, session: &Session) -> Outcome {
    let log = session.write()?;
    let groups = chosen(options, &log)?;
    refuse_members(&groups)?;
    for group in &groups {
        group.delete()?;
        let name = group.name();
        let done = if session.json() {
            json!({ "deleted": name }).to_string()
        } else {
            format!("Deletion of requested consumer groups ('{name}') was successful.")
        };
        Output::new().whole(format!("{done}\n").as_bytes())?;
    }
    Ok(log.close()?)
}

fn delete_offsets(options: &Groups, session: &Session) -> Outcome {
    let log = session.write()?;
    let groups = chosen(options, &log)?;
    let mut expiring = Vec::new();
    for group in &groups {
        expiring.push(plan::partitions(options, &log, group)?);
    }
    refuse_members(&groups)?;
    let mut out = Output::new();
    for (group, expiring) in groups.iter().zip(&expiring) {
        group.remove_committed(expiring.iter())?;
        for partition in expiring {
            if session.json() {
                out.json(&json!({
                    "group": group.name(), "topic": partition.topic(), "partition": partition.partition(),
                    "deleted": true,
                }))?;
            } else {
                writeln!(out, "Deleted the committed offset of {} in {partition}.", group.name())?;
            }
        }
        out.flush()?;
    }
    log.close()?;
    out.end()
}

/// Reads a text as `--from-file` and `--topic` do.
#[cfg(any(fuzzing, test))]
pub(super) fn read_text(text: &str) {
    let _ = (listed::read(text, true), listed::read(text, false), plan::parse(text));
}
