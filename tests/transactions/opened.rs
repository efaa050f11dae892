//! What an open makes of transactions that it finds.

use std::fs;

use stratalog::{Durability, Event, EventLog, ProducerConfig, Record, TopicConfig, TransactionState};

use crate::{all, committed, killed, open};

fn spilling() -> ProducerConfig {
    ProducerConfig::new().batch_bytes(100).buffer_bytes(100)
}

fn decided(log: &EventLog) -> Option<(usize, usize)> {
    let events = log.events();
    std::iter::from_fn(move || events.try_next()).find_map(|event| match event {
        Event::TransactionsDecided { committed, aborted } => Some((committed, aborted)),
        _ => None,
    })
}

#[test]
fn after_the_death_of_the_process_committed_ones_count_and_open_ones_do_not() {
    let root = tempfile::tempdir().unwrap();
    let log = open(&root.path().join("log"));
    let topic = log.create_topic("a", TopicConfig::new().partitions(2)).unwrap();
    let mut first = log.transactional_producer("x").unwrap();
    let mut second = log.transactional_producer_with("y", spilling()).unwrap();
    let mut transaction = first.begin().unwrap();
    for (value, partition) in [("one", 0), ("two", 1)] {
        transaction.send(&topic, Record::new(value).partition(partition)).unwrap();
    }
    transaction.commit().unwrap();
    let mut transaction = second.begin().unwrap();
    for number in 0..4 {
        transaction.send(&topic, Record::new(&"open".repeat(20)).partition(number % 2)).unwrap();
    }
    killed(&root.path().join("log"), &root.path().join("copy"));
    let copy = open(&root.path().join("copy"));
    assert_eq!(decided(&copy), Some((0, 1)));
    assert_eq!(committed(&copy, "a"), ["one", "two"]);
    assert!(all(&copy, "a").len() > 2);
    for partition in copy.topic("a").unwrap().partitions() {
        let offsets = partition.offsets().unwrap();
        assert_eq!(offsets.last_stable, offsets.log_end);
    }
    let states: Vec<_> = copy.transactional_ids().unwrap().iter().map(|id| (id.state, id.epoch)).collect();
    assert_eq!(states, [(TransactionState::CompleteCommit, 1), (TransactionState::CompleteAbort, 2)]);
    // Each id continues above.
    let mut producer = copy.transactional_producer("y").unwrap();
    let mut transaction = producer.begin().unwrap();
    for number in 0..2 {
        transaction.send(&copy.topic("a").unwrap(), Record::new("anew").partition(number)).unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(committed(&copy, "a"), ["anew", "anew", "one", "two"]);
    assert_eq!(copy.transactional_ids().unwrap()[1].epoch, 4);
    transaction_of_the_other_log_is_untouched(&log);
}

fn transaction_of_the_other_log_is_untouched(log: &EventLog) {
    assert_eq!(committed(log, "a"), ["one", "two"]);
}

/// The log files of a directory and their lengths.
fn lengths(path: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(lengths(&path));
        } else if path.extension().is_some_and(|end| end == "log") {
            found.push((path, 0));
        }
    }
    found
}

/// A transaction of a synced producer, cut at every point of what it writes, in the order in which it is on disk: nothing of it, or
/// all of it.
#[test]
fn a_synced_transaction_that_stops_anywhere_is_there_or_is_not() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log");
    let log = open(&path);
    let topic = log.create_topic("a", TopicConfig::new().partitions(2)).unwrap();
    let config = ProducerConfig::new().durability(Durability::Synced);
    let mut producer = log.transactional_producer_with("x", config).unwrap();
    let mut write = |value: &str| {
        let mut transaction = producer.begin().unwrap();
        for partition in 0..2 {
            transaction.send(&topic, Record::new(value).partition(partition)).unwrap();
        }
        transaction.commit().unwrap();
    };
    write("first");
    log.sync().unwrap();
    killed(&path, &root.path().join("before"));
    write("second");
    log.close().unwrap();
    drop(log);
    // What each file has at the end, and how much of it in the beginning.
    let mut seen = [false; 2];
    let after: Vec<_> = lengths(&path).into_iter().map(|(file, _)| fs::read(file).unwrap()).collect();
    let names: Vec<_> =
        lengths(&path).into_iter().map(|(file, _)| file.strip_prefix(&path).unwrap().to_owned()).collect();
    let ends = |file: &std::path::Path, bytes: &[u8]| -> Vec<usize> {
        let mut ends = vec![0];
        let _ = file;
        let mut at = 0;
        while at + 12 <= bytes.len() {
            let length =
                usize::try_from(i32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap())).unwrap();
            if length == 0 {
                break;
            }
            at += 12 + length;
            ends.push(at);
        }
        ends
    };
    let is_state = |name: &std::path::Path| name.to_str().unwrap().starts_with("__transaction_state");
    let is_data = |name: &std::path::Path| name.to_str().unwrap().starts_with("a-");
    let states = names.iter().position(|name| is_state(name)).unwrap();
    let data: Vec<_> = (0..names.len()).filter(|at| is_data(&names[*at])).collect();
    let [p, q] = data[..] else { panic!() };
    let of = |at: usize| ends(&names[at], &after[at]);
    // Of the second one: data, marker; of the states: Ongoing, PrepareCommit, CompleteCommit.
    let (ps, qs, ss) = (of(p), of(q), of(states));
    let (p_before, q_before, s_before) = (ps.len() - 3, qs.len() - 3, ss.len() - 4);
    for s in 0..4 {
        for p_kept in 0..3 {
            for q_kept in 0..3 {
                // Data is on disk before the decision, and the decision before any marker.
                let is_possible = match s {
                    0 => p_kept == 0 && q_kept == 0,
                    1 => p_kept < 2 && q_kept < 2,
                    _ => p_kept > 0 && q_kept > 0,
                };
                if !is_possible {
                    continue;
                }
                let copy = root.path().join(format!("cut {s} {p_kept} {q_kept}"));
                killed(&root.path().join("before"), &copy);
                for (at, kept) in
                    [(p, ps[p_before + p_kept]), (q, qs[q_before + q_kept]), (states, ss[s_before + s])]
                {
                    fs::write(copy.join(&names[at]), &after[at][..kept]).unwrap();
                }
                let log = open(&copy);
                let found = committed(&log, "a");
                let is_there = found.contains(&"second".to_owned());
                assert_eq!(is_there, s >= 2, "{s} {p_kept} {q_kept}");
                let expected: &[&str] =
                    if is_there { &["first", "first", "second", "second"] } else { &["first", "first"] };
                assert_eq!(found, expected, "{s} {p_kept} {q_kept}");
                seen[usize::from(is_there)] = true;
                // The same after another stop, and the id continues.
                let again = root.path().join(format!("again {s} {p_kept} {q_kept}"));
                killed(&copy, &again);
                let log = open(&again);
                assert_eq!(committed(&log, "a"), expected);
                let mut producer = log.transactional_producer("x").unwrap();
                let mut transaction = producer.begin().unwrap();
                for partition in 0..2 {
                    transaction
                        .send(&log.topic("a").unwrap(), Record::new("third").partition(partition))
                        .unwrap();
                }
                transaction.commit().unwrap();
                assert_eq!(committed(&log, "a").len(), expected.len() + 2);
            }
        }
    }
    assert_eq!(seen, [true; 2]);
}

/// Below `Synced` a power failure may take a part of a transaction. It stays as it is, and is reported.
#[test]
fn a_torn_transaction_is_reported() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log");
    let log = open(&path);
    let topic = log.create_topic("a", TopicConfig::new().partitions(2)).unwrap();
    let mut producer = log.transactional_producer("x").unwrap();
    for value in ["first", "second"] {
        let mut transaction = producer.begin().unwrap();
        for partition in 0..2 {
            transaction.send(&topic, Record::new(value).partition(partition)).unwrap();
        }
        transaction.commit().unwrap();
    }
    let copy = root.path().join("copy");
    killed(&path, &copy);
    // Of the second transaction the one partition has nothing.
    let file = copy.join("a-1/00000000000000000000.log");
    let bytes = fs::read(&file).unwrap();
    let length = |at: usize| {
        12 + usize::try_from(i32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap())).unwrap()
    };
    let first = length(0) + length(length(0));
    fs::write(&file, &bytes[..first]).unwrap();
    let log = open(&copy);
    let events = log.events();
    let torn = std::iter::from_fn(|| events.try_next()).find_map(|event| match event {
        Event::TransactionTorn { id, partition, log_end, expected_end } => {
            Some((id.to_string(), partition.to_string(), log_end, expected_end))
        }
        _ => None,
    });
    assert_eq!(torn, Some(("x".to_owned(), "a-1".to_owned(), 2, 3)));
    assert_eq!(committed(&log, "a"), ["first", "first", "second"]);
}
