//! `configs`: the settings of topics. Kafka's `kafka-configs`.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use stratalog::TopicConfig;

use super::pattern::Pattern;
use super::{Failure, Outcome, Output, Session, output, topics};

const EXAMPLES: &str = "\
Examples:
  stratalog configs --entity-type topics --entity-name orders --describe
  stratalog configs --topic orders --alter --add-config retention.ms=3600000,cleanup.policy=[compact,delete]
  stratalog configs --topic orders --alter --delete-config retention.ms";

/// Show and alter the settings of topics.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Configs {
    #[command(flatten)]
    action: Action,
    /// What has the settings: topics.
    #[arg(long, value_name = "TYPE")]
    entity_type: Option<Entity>,
    /// The topic.
    #[arg(long, visible_alias = "topic", value_name = "NAME", required_if_eq("alter", "true"))]
    entity_name: Option<String>,
    /// With --describe: what holds for all topics that set nothing. There are no such settings to alter.
    #[arg(long, conflicts_with_all = ["entity_name", "alter"])]
    entity_default: bool,
    /// With --describe: also what is not set, with its default: Kafka's own, but for retention.ms, which is -1.
    #[arg(long, conflicts_with = "alter")]
    all: bool,
    /// Settings to make: `name=value,name=[value,value]`.
    #[arg(long, value_name = "SETTINGS", requires = "alter")]
    add_config: Option<String>,
    /// Settings to take away, so that the default holds again: `name,name`.
    #[arg(long, value_name = "NAMES", requires = "alter", value_delimiter = ',')]
    delete_config: Vec<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Action {
    /// Show the settings.
    #[arg(long)]
    describe: bool,
    /// Alter settings: all of what is asked for, or nothing.
    #[arg(long)]
    alter: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Entity {
    Topics,
}

pub(super) fn run(options: &Configs, session: &Session) -> Outcome {
    match &options.entity_name {
        Some(name) if options.action.alter => alter(options, name, session),
        None if options.entity_default => defaults(options, session),
        _ => describe(options, session),
    }
}

fn alter(options: &Configs, name: &str, session: &Session) -> Outcome {
    let added = settings(options.add_config.as_deref().unwrap_or_default())?;
    if added.is_empty() && options.delete_config.is_empty() {
        return Err(Failure::usage("nothing to alter: give --add-config or --delete-config"));
    }
    if let Some((both, _)) = added.iter().find(|(name, _)| options.delete_config.contains(name)) {
        return Err(Failure::usage(format!("{both} is in --add-config and in --delete-config")));
    }
    let log = session.write()?;
    let topic = log.topic(name)?;
    let config = topic.config();
    if let Some(unset) =
        options.delete_config.iter().find(|unset| config.entries().all(|(set, _)| set != **unset))
    {
        return Err(Failure::failed(format!("{unset} is not set on topic {name}")));
    }
    topic.alter_config(|now| {
        let now = options.delete_config.iter().fold(now, |config, name| config.unset(name));
        added.iter().fold(now, |config, (name, value)| config.set(name, value))
    })?;
    log.close()?;
    let given = added.iter().fold(TopicConfig::new(), |config, (name, value)| config.set(name, value));
    output::print_without_effect(&given);
    let done = if session.json() {
        json!({ "altered": name }).to_string()
    } else {
        format!("Completed updating config for topic {name}.")
    };
    Output::new().whole(format!("{done}\n").as_bytes())
}

fn describe(options: &Configs, session: &Session) -> Outcome {
    let pattern = options
        .entity_name
        .as_deref()
        .map_or_else(|| Pattern::parse(".*"), |name| Ok(Pattern::name(name)))?;
    let log = session.read()?;
    let mut out = Output::new();
    for topic in topics::chosen(&log, &pattern, options.entity_name.is_none())? {
        let (name, config) = (topic.name(), topic.config());
        let shown = shown(&config, options.all);
        if session.json() {
            let configs: Map<String, Value> =
                shown.into_iter().map(|one| (one.name, one.value.into())).collect();
            out.json(&json!({ "topic": name, "configs": configs }))?;
            continue;
        }
        let which = if options.all { "All" } else { "Dynamic" };
        writeln!(out, "{which} configs for topic {name} are:")?;
        for Shown { name, value, source } in shown {
            writeln!(out, "  {name}={value} sensitive=false synonyms={{{source}:{name}={value}}}")?;
        }
    }
    out.end()
}

/// What holds for topics that set nothing: no setting is made for all topics, so these are the built-in defaults.
fn defaults(options: &Configs, session: &Session) -> Outcome {
    let shown = if options.all { shown(&TopicConfig::new(), true) } else { Vec::new() };
    let mut out = Output::new();
    if session.json() {
        let configs: Map<String, Value> = shown.into_iter().map(|one| (one.name, one.value.into())).collect();
        out.json(&json!({ "default": configs }))?;
        return out.end();
    }
    writeln!(out, "Default configs for topics in the cluster are:")?;
    for Shown { name, value, source } in shown {
        writeln!(out, "  {name}={value} sensitive=false synonyms={{{source}:{name}={value}}}")?;
    }
    out.end()
}

/// A setting, and where its value is from.
struct Shown {
    name: String,
    value: String,
    source: &'static str,
}

/// What is set and, on request, everything else with its default; by name.
fn shown(config: &TopicConfig, all: bool) -> Vec<Shown> {
    let own = |(name, value): (&str, &str), source| Shown {
        name: name.to_owned(),
        value: value.to_owned(),
        source,
    };
    let mut shown: Vec<Shown> = config.entries().map(|set| own(set, "DYNAMIC_TOPIC_CONFIG")).collect();
    if all {
        let is_set = |name: &str| config.entries().any(|(set, _)| set == name);
        let defaults = TopicConfig::defaults();
        shown.extend(
            defaults.entries().filter(|(name, _)| !is_set(name)).map(|one| own(one, "DEFAULT_CONFIG")),
        );
        shown.sort_by(|a, b| a.name.cmp(&b.name));
    }
    shown
}

/// `name=value,name=[value,value]`.
fn settings(text: &str) -> Outcome<Vec<(String, String)>> {
    let wrong =
        |part: &str| Failure::usage(format!("{part:?} is no setting; give name=value or name=[value,value]"));
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) =
            rest.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(|| wrong(rest))?;
        let (value, more) = match after.strip_prefix('[') {
            Some(list) => {
                let (value, more) = list.split_once(']').ok_or_else(|| wrong(rest))?;
                (value, more.strip_prefix(',').or(more.is_empty().then_some("")).ok_or_else(|| wrong(rest))?)
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((name.trim().to_owned(), value.trim().to_owned()));
        rest = more.trim();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_settings() {
        let owned = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        for (text, pairs) in [
            ("", &[][..]),
            ("a=1", &[("a", "1")]),
            ("a=1,b=", &[("a", "1"), ("b", "")]),
            ("a=[x,y],b=2", &[("a", "x,y"), ("b", "2")]),
            ("b=2,a=[x,y]", &[("b", "2"), ("a", "x,y")]),
        ] {
            assert_eq!(settings(text).unwrap(), owned(pairs), "{text}");
        }
        for text in ["a", "=1", "a=[x", "a=[x]y", "a=1,b"] {
            assert!(settings(text).is_err(), "{text}");
        }
    }
}
