//! `--property name=value` and its relatives, with Kafka's names.

use super::failure::{Failure, Outcome};

/// For clap: a name and a value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE".to_owned()),
    }
}

/// `true` or `false`.
pub(super) fn flag(name: &str, value: &str) -> Outcome<bool> {
    match value.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Failure::usage(format!("{name} is true or false, not {value:?}"))),
    }
}

/// A property that nobody knows.
pub(super) fn unknown(name: &str, known: &[&str]) -> Failure {
    Failure::usage(format!("there is no property {name:?}; there are {}", known.join(", ")))
}
