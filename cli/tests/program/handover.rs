//! `handover`: what goes to standard output is a file, and what was done is reported beside it.

use serde_json::Value;
use stratalog::Maintenance;

use crate::program::{Program, text};

#[test]
fn properties_are_printed_and_the_rest_is_reported() {
    let program = Program::with_topic("t", 1);
    let arguments =
        ["handover", "--kafka", "4.1.0", "--listener", "10.0.0.5:19092", "--controller", "[::1]:19093"];
    let assert = program.run(&arguments, "").success();
    let (out, reported) = (text(&assert.get_output().stdout), text(&assert.get_output().stderr));
    assert!(
        out.starts_with("# Kafka 4.1, on a directory that stratalog has handed over\nprocess.roles="),
        "{out}"
    );
    for line in ["listeners=PLAINTEXT://10.0.0.5:19092,CONTROLLER://[::1]:19093", "node.id=1"] {
        assert!(out.lines().any(|one| one == line), "{out}");
    }
    assert_eq!(reported, "ready for Kafka 4.1; start it with\n");

    let reported = text(&program.run(&["handover", "--dry-run"], "").success().get_output().stderr);
    assert_eq!(reported, "would be ready for Kafka 4.4; start it with\n");
    let json: Value = serde_json::from_str(&program.ok(&["handover", "--json"], "")).unwrap();
    assert_eq!((&json["kafka"], &json["obstacles"]), (&"4.4".into(), &Value::Array(Vec::new())));
    assert!(json["serverProperties"].as_str().unwrap().contains("node.id=1\n"));
}

#[test]
fn what_keeps_a_broker_from_starting_is_a_failure() {
    let program = Program::with_topic("t", 1);
    std::fs::create_dir(program.log().join("lost+found")).unwrap();
    let reported = program.fails(1, &["handover", "--node-id", "7"], "");
    assert!(
        reported.contains("Kafka 4.4 would not start on it: meta.properties has the node.id 1"),
        "{reported}"
    );
    assert!(reported.contains("lost+found is no partition"), "{reported}");
    let reported = program.fails(1, &["handover", "--dry-run"], "");
    assert!(
        reported.contains("obstacle: ") && reported.contains("an obstacle keeps Kafka 4.4 from starting"),
        "{reported}"
    );
    for (arguments, reason) in [
        (["--kafka", "2.8"], "is not known; give one of 3.9"),
        (["--listener", "9092"], "give a host and a port"),
    ] {
        let reported = program.fails(2, &["handover", arguments[0], arguments[1]], "");
        assert!(reported.contains(reason), "{reported}");
    }
    // Still a log, and free.
    let log = stratalog::EventLog::options().maintenance(Maintenance::Manual).open(program.log()).unwrap();
    assert!(log.recovery().clean);
}
