//! `--property name=value` and its relatives, with Kafka's names.

use super::failure::{Failure, Outcome};
use super::output;

/// For clap: a name and a value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE".to_owned()),
    }
}

/// `true` or `false`, in any case as Kafka's tools take it.
pub(super) fn flag(name: &str, value: &str) -> Outcome<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Failure::usage(format!("{name} is true or false, not {value:?}"))),
    }
}

/// A property of an unknown name.
pub(super) fn unknown(name: &str, known: &[&str]) -> Failure {
    Failure::usage(format!("there is no property {name:?}; there are {}", known.join(", ")))
}

/// Settings of Kafka's clients that are about connections to servers, or about what happens on such a connection.
const OF_CONNECTIONS: [&str; 24] = [
    "allow.auto.create.topics",
    "bootstrap.servers",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "default.api.timeout.ms",
    "delivery.timeout.ms",
    "enable.metrics.push",
    "fetch.max.wait.ms",
    "fetch.min.bytes",
    "heartbeat.interval.ms",
    "max.block.ms",
    "max.in.flight.requests.per.connection",
    "max.request.size",
    "metadata.max.age.ms",
    "receive.buffer.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.ms",
    "send.buffer.bytes",
    "session.timeout.ms",
];

/// Whether a setting of a client has no counterpart where there is no server to connect to.
pub(super) fn is_for_a_connection(name: &str) -> bool {
    let prefixes = ["sasl.", "security.", "ssl."];
    OF_CONNECTIONS.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Says that a setting was taken and has no effect.
pub(super) fn no_effect(name: &str) {
    output::print_note(format_args!("{name} has no effect: there is no server to connect to"));
}
