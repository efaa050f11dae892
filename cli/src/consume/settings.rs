//! What `--group`, `--consumer-property` and their relatives amount to.

use std::str::FromStr;

use stratalog::{ConsumerConfig, IsolationLevel, StartFrom};

use super::{Consume, Isolation, POLL_BYTES};
use crate::failure::{Failure, Outcome};
use crate::properties::{self, flag};

/// How the consumer reads.
pub(super) struct Settings {
    pub(super) config: ConsumerConfig,
    /// The group, by `--group` or by the property `group.id`.
    pub(super) group: Option<String>,
    /// Whether the positions of printed records are committed: not if `enable.auto.commit` is false.
    pub(super) commits: bool,
}

impl Settings {
    pub(super) fn of(options: &Consume) -> Outcome<Self> {
        let isolation = match options.isolation_level {
            Isolation::ReadUncommitted => IsolationLevel::ReadUncommitted,
            Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
        };
        let start = if options.from_beginning { StartFrom::Beginning } else { StartFrom::End };
        let mut config =
            ConsumerConfig::new().start_from(start).isolation(isolation).max_poll_bytes(POLL_BYTES);
        let (mut group, mut commits) = (options.group.clone(), true);
        for (name, value) in &options.settings {
            match name.as_str() {
                "group.id" => group = Some(same_group(group, value)?),
                // The command commits what it has printed, not what a poll has returned.
                "enable.auto.commit" => commits = flag(name, value)?,
                "auto.offset.reset" if options.from_beginning && value.trim() != "earliest" => {
                    return Err(Failure::usage(format!(
                        "--from-beginning and auto.offset.reset={value} contradict each other; remove one of them"
                    )));
                }
                _ if properties::is_for_a_connection(name) => properties::no_effect(name),
                _ => config = config.set(name, value),
            }
        }
        if group.is_some() && options.partition.is_some() {
            return Err(Failure::usage(
                "a group and --partition cannot be given together: a group assigns partitions itself",
            ));
        }
        if let Some(group) = &group {
            config = config.group(group);
        }
        Ok(Self { config, group, commits })
    }
}

fn same_group(given: Option<String>, value: &str) -> Outcome<String> {
    match given {
        Some(given) if given != value => Err(Failure::usage(format!(
            "two groups are named, {given:?} and {value:?} as group.id; remove one of them"
        ))),
        _ => Ok(value.to_owned()),
    }
}

/// `--max-messages`: a number, or -1 for no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(pub(super) Option<u64>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "-1" => Ok(Self(None)),
            _ => text
                .parse()
                .map(|count| Self(Some(count)))
                .map_err(|_| "give a number of records, or -1 for no limit".to_owned()),
        }
    }
}
