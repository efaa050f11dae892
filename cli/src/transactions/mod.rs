//! `transactions`: transactional ids and what they are doing. Kafka's `kafka-transactions`.

mod hanging;

use std::io::Write as _;
use std::time::SystemTime;

use clap::Args;
use serde_json::json;
use stratalog::{Event, EventLog, Timestamp, TransactionState, TransactionalId};

use super::log_dirs::node_id;
use super::output::{self, counted};
use super::table::Table;
use super::{Failure, Outcome, Output, Session};
use hanging::Scope;

const EXAMPLES: &str = "\
Examples:
  stratalog transactions --list
  stratalog transactions --describe --transactional-id transfers
  stratalog transactions --abort --transactional-id transfers
  stratalog transactions --find-hanging
  stratalog transactions --find-hanging --topic orders --max-transaction-timeout 60";

/// List, describe and abort transactions, and find those that nothing will end.
///
/// All but --abort only read: what a process that was killed has left open is shown as it is.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Transactions {
    #[command(flatten)]
    action: Action,
    /// The transactional id.
    #[arg(long, value_name = "ID", required_if_eq_any([("describe", "true"), ("abort", "true")]))]
    #[arg(conflicts_with_all = ["list", "find_hanging"])]
    transactional_id: Option<String>,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Action {
    /// List the transactional ids.
    #[arg(long)]
    list: bool,
    /// Show what a transactional id is doing, and where.
    #[arg(long)]
    describe: bool,
    /// Abort the open transaction of a transactional id. No other process may have the directory open to write, so the
    /// producers of all open transactions are gone: the others are ended, too.
    #[arg(long)]
    abort: bool,
    /// Find open transactions that no transactional id says it has: consumers of committed records wait for them.
    #[arg(long)]
    find_hanging: bool,
}

pub(super) fn run(options: &Transactions, session: &Session) -> Outcome {
    let action = &options.action;
    // The parser lets this pass, because the actions exclude each other.
    if !action.find_hanging && options.scope.is_given() {
        return Err(Failure::usage(
            "--topic, --partition and --max-transaction-timeout belong to --find-hanging",
        ));
    }
    match &options.transactional_id {
        Some(id) if action.describe => describe(id, session),
        Some(id) => abort(id, session),
        None if action.find_hanging => hanging::run(&options.scope, session),
        None => list(session),
    }
}

fn list(session: &Session) -> Outcome {
    let log = session.read()?;
    let node = node_id(session)?;
    let mut out = Output::new();
    let mut table = of_columns(["TransactionalId", "Coordinator", "ProducerId", "TransactionState"]);
    for TransactionalId { id, producer_id, state, .. } in log.transactional_ids()? {
        let state = state.kafka_word();
        if session.json() {
            out.json(&json!({
                "transactionalId": id, "coordinator": node, "producerId": producer_id, "state": state,
            }))?;
        } else {
            table.row([id.into(), node.to_string(), producer_id.to_string(), state.to_owned()]);
        }
    }
    if !session.json() {
        out.write_all(table.tabbed().as_bytes())?;
    }
    out.end()
}

fn describe(id: &str, session: &Session) -> Outcome {
    let found = find(&session.read()?, id)?;
    let node = node_id(session)?;
    let started = found.started.map(Timestamp::as_millis);
    let duration = started.map(|started| now_millis().saturating_sub(started));
    let state = found.state.kafka_word();
    let partitions: Vec<String> = found.partitions.iter().map(ToString::to_string).collect();
    let mut out = Output::new();
    if session.json() {
        out.json(&json!({
            "coordinator": node, "transactionalId": id, "producerId": found.producer_id, "producerEpoch": found.epoch,
            "state": state, "timeoutMs": found.timeout.as_millis(), "startTimeMs": started, "durationMs": duration,
            "partitions": partitions,
        }))?;
        return out.end();
    }
    let or_none = |millis: Option<i64>| millis.map_or_else(|| "None".to_owned(), |millis| millis.to_string());
    let mut table = of_columns([
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ]);
    table.row([
        node.to_string(),
        id.to_owned(),
        found.producer_id.to_string(),
        found.epoch.to_string(),
        state.to_owned(),
        found.timeout.as_millis().to_string(),
        or_none(started),
        or_none(duration),
        partitions.join(","),
    ]);
    out.write_all(table.tabbed().as_bytes())?;
    out.end()
}

fn abort(id: &str, session: &Session) -> Outcome {
    // The open to write ends what it finds open: whether that was the case is to be seen only before it.
    let was_open = is_open(find(&session.read()?, id)?.state);
    let log = session.write()?;
    report_opening(&log);
    let was_open = log.abort_transaction(id)? || was_open;
    let state = find(&log, id)?.state;
    log.close()?;
    let text = match state {
        _ if is_open(state) => {
            let state = state.kafka_word();
            return Err(Failure::failed(format!(
                "the transaction of {id:?} could not be ended: it is {state}"
            )));
        }
        _ if !was_open => format!("No transaction of {id} was open."),
        TransactionState::CompleteCommit => {
            format!("The transaction of {id} had been decided before, and is committed.")
        }
        _ => format!("Aborted the transaction of {id}."),
    };
    let line = if session.json() {
        json!({ "transactionalId": id, "wasOpen": was_open, "state": state.kafka_word() }).to_string()
    } else {
        text
    };
    Output::new().whole(format!("{line}\n").as_bytes())
}

/// What the open to write has ended, and what it could not end.
fn report_opening(log: &EventLog) {
    let events = log.events();
    while let Some(event) = events.try_next() {
        match event {
            Event::TransactionsDecided { committed, aborted } => output::print_note(format_args!(
                "the open ended what no producer could end any more: {} aborted, {} committed",
                counted(aborted as u64, "transaction was", "transactions were"),
                counted(committed as u64, "transaction was", "transactions were")
            )),
            Event::TransactionUndecided { partition, first_offset } => output::warn(format_args!(
                "the transaction in {partition} from offset {first_offset} on stays open: what would decide it cannot be read"
            )),
            Event::MarkersPending { id, failure } => {
                output::warn(format_args!(
                    "the transaction of {id} could not be ended everywhere: {failure}"
                ));
            }
            _ => {}
        }
    }
}

fn find(log: &EventLog, id: &str) -> Outcome<TransactionalId> {
    let found = log.transactional_ids()?.into_iter().find(|known| *known.id == *id);
    found.ok_or_else(|| Failure::failed(format!("transactional id {id:?} does not exist")))
}

/// Whether a transaction has begun and not ended everywhere.
fn is_open(state: TransactionState) -> bool {
    matches!(
        state,
        TransactionState::Ongoing
            | TransactionState::PrepareCommit
            | TransactionState::PrepareAbort
            | TransactionState::PrepareEpochFence
    )
}

fn of_columns<const COLUMNS: usize>(names: [&str; COLUMNS]) -> Table {
    Table::new(names.map(|name| (name, 0)))
}

fn now_millis() -> i64 {
    Timestamp::from(SystemTime::now()).as_millis()
}
