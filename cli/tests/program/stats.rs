use serde_json::Value;
use stratalog::{EventLog, Maintenance, Record};

use crate::program::Program;

#[test]
fn once_prints_what_there_is() {
    let program = Program::with_topic("t", 2);
    program.ok(&["topics", "--create", "--topic", "u"], "");
    program.ok(&["produce", "--topic", "t"], "a\nb\nc\n");
    let reported = program.ok(&["stats", "--once", "--interval", "0.01"], "");
    let lines: Vec<Vec<&str>> = reported.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TOPIC", "PARTITIONS", "RECORDS", "BYTES", "UNSYNCED", "RECORDS/S", "BYTES/S"]);
    assert_eq!((lines[1][..3].to_vec(), &lines[1][4..]), (vec!["t", "2", "3"], &["0", "0", "0"][..]));
    assert_eq!(lines[2], ["u", "1", "0", "0", "0", "0", "0"]);
    let first = ["consume", "--topic", "t", "--group", "g", "--from-beginning", "--max-messages", "1"];
    program.ok(&first, "");
    let reported = program.ok(&["stats", "--once", "--interval", "0.01"], "");
    assert!(reported.lines().any(|line| line.split_whitespace().eq(["g", "2"])), "{reported}");

    let reported = program.ok(&["stats", "--once", "--interval", "0.01", "--json", "--topic", "t"], "");
    let reported: Value = serde_json::from_str(&reported).unwrap();
    assert_eq!(reported["topics"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&reported["topics"][0]["records"], &reported["topics"][0]["recordsPerSecond"]),
        (&3.into(), &0.0.into())
    );
    assert_eq!(reported["groups"], serde_json::json!([{ "group": "g", "lag": 2 }]));
    assert!(reported["time"].as_i64().unwrap() > 1_700_000_000_000);
}

#[test]
fn what_is_not_synced_is_shown_in_bytes() {
    let program = Program::with_topic("t", 1);
    // No other process syncs it while this process holds it.
    let log = EventLog::options().maintenance(Maintenance::Manual).open(program.log()).unwrap();
    let topic = log.topic("t").unwrap();
    let producer = log.producer().unwrap();
    let look = || -> Value {
        let reported = program.ok(&["stats", "--once", "--interval", "0.01", "--json"], "");
        serde_json::from_str(&reported).unwrap()
    };
    assert_eq!(look()["topics"][0]["unsyncedBytes"], 0);
    for _ in 0..3 {
        producer.send(&topic, Record::new("abc")).unwrap();
    }
    let reported = look();
    assert_eq!(reported["topics"][0]["unsyncedBytes"], reported["topics"][0]["bytes"]);
    assert!(reported["topics"][0]["bytes"].as_u64().unwrap() > 200, "{reported}");
    log.close().unwrap();
    assert_eq!(look()["topics"][0]["unsyncedBytes"], 0);
}

#[test]
fn what_a_timestamp_in_the_future_keeps_is_shown() {
    let program = Program::with_old_record_beside_the_future();
    let reported = program.ok(&["stats", "--once", "--interval", "0.01"], "");
    assert!(reported.contains("t-0: records from offset 0 on are old, but kept"), "{reported}");
    let reported = program.ok(&["stats", "--once", "--interval", "0.01", "--json"], "");
    let reported: Value = serde_json::from_str(&reported).unwrap();
    let kept = serde_json::json!([{ "partition": 0, "baseOffset": 0, "timestamp": 253_402_300_800_000_i64 }]);
    assert_eq!(reported["topics"][0]["keptByFutureTimestamp"], kept);
}

#[test]
fn wrong_values_are_named() {
    let program = Program::with_topic("t", 1);
    for interval in ["0", "-1", "often", "1e9"] {
        let arguments = ["stats", &format!("--interval={interval}")];
        assert!(program.fails(2, &arguments, "").contains("give seconds, from 0.01 to 86400"), "{interval}");
    }
}
