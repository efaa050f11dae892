//! `topics`: what topics there are; making, altering and deleting them. Kafka's `kafka-topics`.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};
use stratalog::{Error, EventLog, PartitionDescription, Topic, TopicConfig, TopicDescription};

use super::pattern::Pattern;
use super::{Failure, Outcome, Output, Session, output};

const EXAMPLES: &str = "\
Examples:
  stratalog topics --create --topic orders --partitions 3
  stratalog topics --create --topic ledger --config cleanup.policy=compact --if-not-exists
  stratalog topics --list
  stratalog topics --describe --topic orders
  stratalog topics --alter --topic orders --partitions 6
  stratalog topics --delete --topic 'test-.*'";

/// Create, list, describe, alter and delete topics.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Topics {
    #[command(flatten)]
    action: Action,
    /// The topic. All but --create take several: `orders,payments`, or a regular expression such as `test-.*`.
    #[arg(long, required_if_eq_any([("create", "true"), ("alter", "true"), ("delete", "true")]))]
    topic: Option<String>,
    /// The number of partitions; 1 without it.
    #[arg(long, value_name = "COUNT", required_if_eq("alter", "true"), conflicts_with_all = ["list", "describe", "delete"])]
    partitions: Option<u32>,
    /// The number of copies. It is 1: one process keeps the log.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["list", "describe", "delete", "alter"])]
    replication_factor: Option<u16>,
    /// A setting of the topic, by its Kafka name; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting, conflicts_with_all = ["list", "describe", "delete", "alter"])]
    config: Vec<(String, String)>,
    /// Do nothing if the topic is there already.
    #[arg(long, conflicts_with_all = ["list", "describe", "delete", "alter"])]
    if_not_exists: bool,
    /// Do nothing if the topic is not there.
    #[arg(long, conflicts_with_all = ["list", "create"])]
    if_exists: bool,
    /// Leave out the topics that Kafka keeps for itself.
    #[arg(long, conflicts_with_all = ["create", "delete", "alter"])]
    exclude_internal: bool,
    /// Only topics with settings of their own.
    #[arg(long, conflicts_with_all = ["list", "create", "delete", "alter"])]
    topics_with_overrides: bool,
    #[command(flatten)]
    only: Only,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Action {
    /// Make a topic, and the directory if there is none.
    #[arg(long)]
    create: bool,
    /// List the names of topics.
    #[arg(long)]
    list: bool,
    /// Show topics with their partitions and settings.
    #[arg(long)]
    describe: bool,
    /// Add partitions to a topic.
    #[arg(long)]
    alter: bool,
    /// Delete topics and their records. Programs that read them continue until they close.
    #[arg(long)]
    delete: bool,
}

/// With `--describe`: only some partitions, without the lines of their topics. With one replica each, partitions are
/// never under-replicated; in the directory of a node of a larger cluster they may be.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Only {
    /// Only partitions with fewer in-sync replicas than replicas.
    #[arg(long, conflicts_with_all = ["list", "create", "delete", "alter"])]
    under_replicated_partitions: bool,
    /// Only partitions without a leader.
    #[arg(long, conflicts_with_all = ["list", "create", "delete", "alter"])]
    unavailable_partitions: bool,
    /// Only partitions with fewer in-sync replicas than min.insync.replicas.
    #[arg(long, conflicts_with_all = ["list", "create", "delete", "alter"])]
    under_min_isr_partitions: bool,
    /// Only partitions with exactly as many in-sync replicas as min.insync.replicas.
    #[arg(long, conflicts_with_all = ["list", "create", "delete", "alter"])]
    at_min_isr_partitions: bool,
}

impl Only {
    fn is_given(&self) -> bool {
        self.under_replicated_partitions
            || self.unavailable_partitions
            || self.under_min_isr_partitions
            || self.at_min_isr_partitions
    }

    /// Whether this partition is wanted.
    fn includes(&self, partition: &PartitionDescription, config: &TopicConfig) -> bool {
        let set = config.entries().find(|(name, _)| *name == "min.insync.replicas");
        let min_isr = set.and_then(|(_, value)| value.parse().ok()).unwrap_or(1);
        let (isr, replicas) = (partition.isr.len(), partition.replicas.len());
        match self {
            Self { under_replicated_partitions: true, .. } => isr < replicas,
            Self { unavailable_partitions: true, .. } => partition.leader.is_none(),
            Self { under_min_isr_partitions: true, .. } => isr < min_isr,
            Self { at_min_isr_partitions: true, .. } => isr == min_isr,
            _ => true,
        }
    }
}

pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("give NAME=VALUE, for example retention.ms=60000".to_owned()),
    }
}

pub(super) fn run(options: &Topics, session: &Session) -> Outcome {
    match &options.topic {
        Some(name) if options.action.create => create(options, name, session),
        Some(name) if options.action.alter => alter(options, name, session),
        Some(name) if options.action.delete => delete(options, name, session),
        _ => show(options, session),
    }
}

fn create(options: &Topics, name: &str, session: &Session) -> Outcome {
    let mut config = TopicConfig::new();
    if let Some(count) = options.partitions {
        config = config.partitions(count);
    }
    if let Some(copies) = options.replication_factor {
        config = config.replication_factor(copies);
    }
    for (name, value) in &options.config {
        config = config.set(name, value);
    }
    let (log, given) = (session.make()?, config.clone());
    match log.create_topic(name, config) {
        Ok(_) if name.contains(['.', '_']) => output::warn(format_args!(
            "Kafka takes '.' and '_' in names for the same in its metrics: a second topic whose name differs from \
             {name} only there cannot be created"
        )),
        Ok(_) => {}
        Err(Error::AlreadyExists { .. }) if options.if_not_exists => return Ok(log.close()?),
        Err(failure) => return Err(failure.into()),
    }
    log.close()?;
    output::print_without_effect(&given);
    done(session, "created", name, &format!("Created topic {name}."))
}

fn alter(options: &Topics, name: &str, session: &Session) -> Outcome {
    let pattern = Pattern::parse(name)?;
    let log = session.write()?;
    let topics = to_change(&log, &pattern, options.if_exists)?;
    let total = options.partitions.unwrap_or_default();
    // One that cannot be altered leaves all as they are.
    for topic in &topics {
        let count = topic.partitions().len();
        if count >= total as usize {
            return Err(Failure::failed(format!(
                "topic {:?} has {} and cannot get {total}: partitions can only be added; nothing was changed",
                topic.name(),
                output::counted(count as u64, "partition", "partitions")
            )));
        }
    }
    for topic in &topics {
        topic.add_partitions(total)?;
        done(
            session,
            "altered",
            topic.name(),
            &format!(
                "Topic {} has {} now.",
                topic.name(),
                output::counted(total.into(), "partition", "partitions")
            ),
        )?;
    }
    Ok(log.close()?)
}

fn delete(options: &Topics, name: &str, session: &Session) -> Outcome {
    let pattern = Pattern::parse(name)?;
    let log = session.write()?;
    for topic in to_change(&log, &pattern, options.if_exists)? {
        log.delete_topic(topic.name())?;
        done(session, "deleted", topic.name(), &format!("Deleted topic {}.", topic.name()))?;
    }
    Ok(log.close()?)
}

/// Like [`chosen`], for a command that changes topics: everything is checked before the first change. Each topic that is
/// named has to exist, and internal topics are never meant by an expression.
pub(super) fn to_change(log: &EventLog, pattern: &Pattern, may_miss: bool) -> Outcome<Vec<Topic>> {
    let mut topics = chosen(log, pattern, may_miss)?;
    let missing = pattern.names().iter().find(|name| topics.iter().all(|topic| topic.name() != *name));
    if let Some(missing) = missing.filter(|_| !may_miss) {
        return Err(Failure::failed(format!("topic {missing:?} does not exist; nothing was changed")));
    }
    let mut internal = Vec::new();
    for topic in &topics {
        if topic.describe()?.internal {
            internal.push(topic.name().to_owned());
        }
    }
    if let Some(named) = internal.iter().find(|name| pattern.is_named(name)) {
        return Err(Failure::failed(format!(
            "topic {named:?} is internal: the log keeps it for itself; nothing was changed"
        )));
    }
    topics.retain(|topic| !internal.iter().any(|name| name == topic.name()));
    if topics.is_empty() && !may_miss {
        return Err(Failure::failed(format!("no topic matches {:?}, internal ones aside", pattern.text())));
    }
    Ok(topics)
}

fn done(session: &Session, what: &str, topic: &str, text: &str) -> Outcome {
    let line = if session.json() { json!({ what: topic }).to_string() } else { text.to_owned() };
    Output::new().whole(format!("{line}\n").as_bytes())
}

/// The topics that a pattern means, in order of their names. A name that means none is an error.
pub(super) fn chosen(log: &EventLog, pattern: &Pattern, may_miss: bool) -> Outcome<Vec<Topic>> {
    let mut topics = log.topics()?;
    topics.retain(|topic| pattern.matches(topic.name()));
    topics.sort_by(|a, b| a.name().cmp(b.name()));
    match topics.is_empty() && !may_miss {
        true if pattern.is_name() => {
            Err(Failure::failed(format!("topic {:?} does not exist", pattern.text())))
        }
        true => Err(Failure::failed(format!("no topic matches {:?}", pattern.text()))),
        false => Ok(topics),
    }
}

fn show(options: &Topics, session: &Session) -> Outcome {
    let pattern = Pattern::parse(options.topic.as_deref().unwrap_or(".*"))?;
    let log = session.read()?;
    let may_miss = options.if_exists || options.topic.is_none();
    let mut out = Output::new();
    for topic in chosen(&log, &pattern, may_miss)? {
        let mut described = topic.describe()?;
        if options.exclude_internal && described.internal {
            continue;
        }
        if options.topics_with_overrides && described.config.entries().next().is_none() {
            continue;
        }
        if options.only.is_given() {
            described.partitions.retain(|it| options.only.includes(it, &described.config));
            if described.partitions.is_empty() {
                continue;
            }
        }
        match (session.json(), options.action.describe) {
            (false, true) if options.only.is_given() => {
                out.write_all(lines_of_partitions(&described).as_bytes())?;
            }
            (false, true) => out.write_all(as_kafka_shows(&described).as_bytes())?,
            (false, false) => writeln!(out, "{}", described.name)?,
            (true, true) => out.json(&as_json(&described))?,
            (true, false) => out.json(&json!({ "topic": described.name }))?,
        }
    }
    out.end()
}

/// In the layout of Kafka 4's `kafka-topics --describe`: tabs between, one line for the topic, one for each partition.
fn as_kafka_shows(topic: &TopicDescription) -> String {
    let configs: Vec<String> =
        topic.config.entries().map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = format!(
        "Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}\n",
        topic.name,
        topic.id,
        topic.partitions.len(),
        topic.replication_factor,
        configs.join(",")
    );
    text.push_str(&lines_of_partitions(topic));
    text
}

fn lines_of_partitions(topic: &TopicDescription) -> String {
    let mut text = String::new();
    for partition in &topic.partitions {
        let PartitionDescription { partition: number, leader, replicas, isr, .. } = partition;
        let leader = leader.map_or_else(|| "none".to_owned(), |node| node.to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\tTopic: {}\tPartition: {number}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: \tLastKnownElr: ",
            topic.name,
            nodes(replicas),
            nodes(isr)
        );
    }
    text
}

fn nodes(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn as_json(topic: &TopicDescription) -> Value {
    let configs: serde_json::Map<String, Value> =
        topic.config.entries().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let partitions: Vec<Value> = topic
        .partitions
        .iter()
        .map(|it| json!({ "partition": it.partition, "leader": it.leader, "replicas": it.replicas, "isr": it.isr }))
        .collect();
    json!({
        "topic": topic.name,
        "topicId": topic.id.to_string(),
        "internal": topic.internal,
        "replicationFactor": topic.replication_factor,
        "configs": configs,
        "partitions": partitions,
    })
}
