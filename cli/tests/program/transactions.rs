//! `transactions`: the columns of Kafka's tool, on what a broker left and on what we write.

use serde_json::{Value, json};
use stratalog::{EventLog, Maintenance, ProducerConfig, Record, Timestamp, TopicConfig};

use crate::common::crafted::{self, Producer};
use crate::program::{Program, text};
use crate::{common, vectors};

/// The directory of a broker that was killed while producer 1009 had a transaction open in `tx-0`.
fn killed() -> Program {
    let program = Program::new();
    common::copy(&vectors("broker/killed-4.1/logdir"), &program.log());
    program
}

/// An open transaction of which no transactional id knows, at offset 1 of `t-0`.
fn hanging() -> Program {
    let program = Program::new();
    let log = EventLog::options().maintenance(Maintenance::Manual).open(program.log()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let producer = log.producer().unwrap();
    for value in ["before", "inside", "after"] {
        let record = Record::new(value).partition(0).timestamp(Timestamp::from_millis(1_600_000_000_000));
        producer.send(&topic, record).unwrap();
    }
    log.close().unwrap();
    crafted::of_producer(&program.log(), "t-0", 1, Producer { id: 41, sequence: 0, transactional: true });
    program
}

/// The fields of each line.
fn rows(printed: &str) -> Vec<Vec<&str>> {
    printed.lines().map(|line| line.split('\t').map(str::trim_end).collect()).collect()
}

fn abort(program: &Program, id: &str) -> (String, String) {
    let assert = program.run(&["transactions", "--abort", "--transactional-id", id], "").success();
    let output = assert.get_output();
    (text(&output.stdout), text(&output.stderr))
}

const FIND: [&str; 2] = ["transactions", "--find-hanging"];

/// All, however young they are.
const FIND_ALL: [&str; 4] = ["transactions", "--find-hanging", "--max-transaction-timeout", "0"];

#[test]
fn ids_of_a_broker_are_listed_as_by_its_tool() {
    let program = killed();
    let expected = "\
TransactionalId\tCoordinator\tProducerId\tTransactionState\t
a              \t1          \t7         \tCompleteCommit  \t
b              \t1          \t8         \tCompleteAbort   \t
behind         \t1          \t1010      \tCompleteAbort   \t
left-open      \t1          \t1009      \tOngoing         \t
";
    assert_eq!(program.ok(&["transactions", "--list"], ""), expected);
    let listed = program.ok(&["transactions", "--list", "--json"], "");
    let last: Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
    let expected =
        json!({ "transactionalId": "left-open", "coordinator": 1, "producerId": 1009, "state": "Ongoing" });
    assert_eq!(last, expected);
}

#[test]
fn an_id_is_described_with_the_partitions_of_its_transaction() {
    let program = killed();
    let describe = ["transactions", "--describe", "--transactional-id", "left-open"];
    let described = program.ok(&describe, "");
    let rows = rows(&described);
    let names = [
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
        "",
    ];
    assert_eq!((rows.len(), &rows[0][..]), (2, &names[..]));
    assert_eq!(rows[1][..7], ["1", "left-open", "1009", "0", "Ongoing", "900000", "1795375243192"]);
    assert!(rows[1][7].parse::<i64>().is_ok(), "{described}");
    assert_eq!(rows[1][8], "tx-0");
    let described: Value =
        serde_json::from_str(&program.ok(&[&describe[..], &["--json"]].concat(), "")).unwrap();
    assert_eq!((&described["partitions"], &described["timeoutMs"]), (&json!(["tx-0"]), &json!(900_000)));
}

#[test]
fn what_a_killed_broker_left_open_is_aborted_and_the_open_says_so() {
    let program = killed();
    let (printed, reported) = abort(&program, "left-open");
    assert_eq!(printed, "Aborted the transaction of left-open.\n");
    assert!(reported.contains("1 transaction was aborted, 0 transactions were committed"), "{reported}");
    let (printed, reported) = abort(&program, "left-open");
    assert_eq!((printed.as_str(), reported.as_str()), ("No transaction of left-open was open.\n", ""));
    let again = program.ok(&["transactions", "--abort", "--transactional-id", "left-open", "--json"], "");
    let expected = json!({ "transactionalId": "left-open", "wasOpen": false, "state": "CompleteAbort" });
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), expected);
    let ends =
        program.ok(&["consume", "--topic", "tx", "--partition", "0", "--until-end", "--offset", "59"], "");
    assert_ne!(ends, "", "what was written after it is read");
}

/// An id that is asked for is not the only one whose transaction the open ends.
#[test]
fn an_id_without_an_open_transaction_is_not_one_with_one() {
    let program = killed();
    let (printed, reported) = abort(&program, "a");
    assert_eq!(printed, "No transaction of a was open.\n");
    assert!(reported.contains("1 transaction was aborted"), "{reported}");
}

#[test]
fn a_transaction_that_no_id_has_is_hanging() {
    let program = hanging();
    let expected = [
        [
            "Topic",
            "Partition",
            "ProducerId",
            "ProducerEpoch",
            "CoordinatorEpoch",
            "StartOffset",
            "LastTimestamp",
        ],
        ["t", "0", "41", "0", "-1", "1", "1600000000000"],
    ];
    for scope in [&[][..], &["--topic", "t"], &["--topic", "t", "--partition", "0"]] {
        let found = program.ok(&[&FIND[..], scope].concat(), "");
        let rows = rows(&found);
        assert_eq!(rows.iter().map(|row| &row[..7]).collect::<Vec<_>>(), expected, "{scope:?}");
        assert_eq!(rows[0][7], "Duration(min)");
        assert!(rows[1][7].parse::<i64>().is_ok(), "{found}");
    }
    for scope in [&["--topic", "t", "--partition", "1"][..], &["--max-transaction-timeout", "4294967295"]] {
        assert_eq!(rows(&program.ok(&[&FIND[..], scope].concat(), "")).len(), 1, "{scope:?}");
    }
    let found: Value = serde_json::from_str(&program.ok(&[&FIND[..], &["--json"]].concat(), "")).unwrap();
    assert_eq!((&found["producerId"], &found["startOffset"]), (&json!(41), &json!(1)));
    // Looking changes nothing; an open to write ends it.
    program.ok(&["topics", "--create", "--topic", "u"], "");
    assert_eq!(rows(&program.ok(&FIND_ALL, "")).len(), 1);
}

#[test]
fn a_transaction_that_its_id_has_is_not_hanging() {
    assert_eq!(rows(&killed().ok(&FIND_ALL, "")).len(), 1);
}

#[test]
fn a_transaction_of_another_process_is_shown_and_left_alone() {
    let (program, copy) = (Program::new(), Program::new());
    let log = EventLog::options().maintenance(Maintenance::Manual).open(program.log()).unwrap();
    let topic = log.create_topic("orders", TopicConfig::new()).unwrap();
    let small = ProducerConfig::new().batch_bytes(2000).buffer_bytes(10_000);
    let mut producer = log.transactional_producer_with("transfers", small).unwrap();
    let mut transaction = producer.begin().unwrap();
    for n in 0..400 {
        transaction.send(&topic, Record::new(&format!("{n:090}"))).unwrap();
    }
    let describe = ["transactions", "--describe", "--transactional-id", "transfers"];
    let described = program.ok(&describe, "");
    assert_eq!((rows(&described)[1][4], rows(&described)[1][8]), ("Ongoing", "orders-0"));
    assert_eq!(rows(&program.ok(&FIND_ALL, "")).len(), 1);
    let refused = program.fails(1, &["transactions", "--abort", "--transactional-id", "transfers"], "");
    assert!(refused.contains("is held by"), "{refused}");

    // As if the process had been killed now.
    common::copy(&program.log(), &copy.log());
    assert_eq!(abort(&copy, "transfers").0, "Aborted the transaction of transfers.\n");
    assert_eq!(rows(&copy.ok(&describe, ""))[1][4], "CompleteAbort");
    transaction.commit().unwrap();
    assert_eq!(rows(&program.ok(&describe, ""))[1][4], "CompleteCommit");
    log.close().unwrap();
}

#[test]
fn a_log_without_transactions_has_headings_alone() {
    let program = Program::with_topic("t", 1);
    assert_eq!(rows(&program.ok(&["transactions", "--list"], "")).len(), 1);
    assert_eq!(program.ok(&["transactions", "--list", "--json"], ""), "");
    assert_eq!(rows(&program.ok(&FIND_ALL, "")).len(), 1);
}

#[test]
fn wrong_options_are_refused() {
    let program = Program::with_topic("t", 1);
    for (code, arguments, reason) in [
        (2, &[][..], "required arguments were not provided"),
        (2, &["--list", "--abort"], "cannot be used with"),
        (2, &["--describe"], "--transactional-id <ID>"),
        (2, &["--abort"], "--transactional-id <ID>"),
        (2, &["--list", "--transactional-id", "x"], "cannot be used with"),
        (2, &["--find-hanging", "--transactional-id", "x"], "cannot be used with"),
        (2, &["--list", "--topic", "t"], "belong to --find-hanging"),
        (
            2,
            &["--describe", "--transactional-id", "x", "--max-transaction-timeout", "1"],
            "belong to --find-hanging",
        ),
        (2, &["--find-hanging", "--partition", "0"], "--topic <TOPIC>"),
        (2, &["--find-hanging", "--max-transaction-timeout", "soon"], "invalid value 'soon'"),
        (1, &["--find-hanging", "--topic", "x"], "topic \"x\" does not exist"),
        (1, &["--find-hanging", "--topic", "t", "--partition", "1"], "partition \"t-1\" does not exist"),
        (1, &["--describe", "--transactional-id", "x"], "transactional id \"x\" does not exist"),
        (1, &["--abort", "--transactional-id", "x"], "transactional id \"x\" does not exist"),
    ] {
        let reported = program.fails(code, &[&["transactions"], arguments].concat(), "");
        assert!(reported.contains(reason), "{arguments:?}: {reported}");
    }
}
