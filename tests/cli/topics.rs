use serde_json::Value;

use crate::program::Program;

#[test]
fn topics_are_made_listed_described_altered_and_deleted() {
    let program = Program::new();
    let create =
        ["topics", "--create", "--topic", "orders", "--partitions", "2", "--replication-factor", "1"];
    let made = program.ok(&[&create[..], &["--config", "retention.ms=60000"]].concat(), "");
    assert_eq!(made, "Created topic orders.\n");
    program.ok(&["topics", "--create", "--topic", "bills"], "");
    assert_eq!(program.ok(&["topics", "--list"], ""), "bills\norders\n");

    let described = program.ok(&["topics", "--describe", "--topic", "orders"], "");
    let lines: Vec<&str> = described.lines().collect();
    let id = lines[0].split('\t').nth(1).unwrap().strip_prefix("TopicId: ").unwrap();
    assert_eq!(id.len(), 22);
    let expected = format!(
        "Topic: orders\tTopicId: {id}\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: retention.ms=60000"
    );
    assert_eq!(lines[0], expected);
    for (number, line) in lines[1..].iter().enumerate() {
        let expected = format!(
            "\tTopic: orders\tPartition: {number}\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: "
        );
        assert_eq!(*line, expected);
    }
    assert_eq!(lines.len(), 3);

    let altered = program.ok(&["topics", "--alter", "--topic", "orders", "--partitions", "5"], "");
    assert_eq!(altered, "Topic orders has 5 partitions now.\n");
    assert_eq!(program.ok(&["topics", "--describe", "--topic", "orders"], "").lines().count(), 6);

    assert_eq!(program.ok(&["topics", "--delete", "--topic", "b.*"], ""), "Deleted topic bills.\n");
    assert_eq!(program.ok(&["topics", "--list"], ""), "orders\n");
}

#[test]
fn json_has_one_object_on_each_line() {
    let program = Program::with_topic("orders", 2);
    let made = program.ok(&["topics", "--create", "--topic", "bills", "--json"], "");
    assert_eq!(made, "{\"created\":\"bills\"}\n");
    let listed = program.ok(&["--json", "topics", "--list"], "");
    assert_eq!(listed, "{\"topic\":\"bills\"}\n{\"topic\":\"orders\"}\n");
    let described = program.ok(&["topics", "--describe", "--json", "--topic", "orders"], "");
    let described: Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["partitions"][1]["isr"], serde_json::json!([1]));
    assert_eq!((&described["topic"], &described["internal"]), (&"orders".into(), &false.into()));
    let deleted = program.ok(&["topics", "--delete", "--topic", ".*", "--json"], "");
    assert_eq!(deleted, "{\"deleted\":\"bills\"}\n{\"deleted\":\"orders\"}\n");
}

#[test]
fn what_is_there_or_not_may_be_ignored() {
    let program = Program::with_topic("orders", 2);
    let told = program.fails(1, &["topics", "--create", "--topic", "orders"], "");
    assert_eq!(told, "error: topic \"orders\" exists already\n");
    program.ok(&["topics", "--create", "--topic", "orders", "--if-not-exists"], "");
    assert!(
        program
            .fails(1, &["topics", "--describe", "--topic", "x"], "")
            .contains("topic \"x\" does not exist")
    );
    for action in [&["--delete"][..], &["--describe"], &["--alter", "--partitions", "3"]] {
        let arguments = [&["topics", "--topic", "x"], action].concat();
        assert!(program.fails(1, &arguments, "").contains("topic \"x\" does not exist"));
        assert_eq!(program.ok(&[&arguments[..], &["--if-exists"]].concat(), ""), "");
    }
    assert!(program.fails(1, &["topics", "--delete", "--topic", "x.*"], "").contains("no topic matches"));
}

#[test]
fn wrong_values_are_named() {
    let program = Program::with_topic("orders", 2);
    let create = ["topics", "--create", "--topic", "t"];
    for (code, arguments, reason) in [
        (1, &["--partitions", "0"][..], "0 were asked for, but a topic has 1 to 100000"),
        (2, &["--partitions", "many"], "invalid value 'many' for '--partitions <COUNT>'"),
        (1, &["--replication-factor", "3"], "must be 1: one process keeps the log"),
        (1, &["--config", "retention.mss=1"], "did you mean retention.ms?"),
        (2, &["--config", "retention.ms"], "give NAME=VALUE"),
        (1, &["--config", "retention.ms=soon"], "retention.ms is \"soon\""),
    ] {
        let told = program.fails(code, &[&create, arguments].concat(), "");
        assert!(told.contains(reason), "{arguments:?}: {told}");
    }
    for (name, reason) in [("a b", "a b"), ("..", ".."), ("", "")] {
        let told = program.fails(1, &["topics", "--create", "--topic", name], "");
        assert!(told.contains(reason) && told.contains("topic name"), "{told}");
    }
    let told = program.fails(1, &["topics", "--alter", "--topic", "orders", "--partitions", "1"], "");
    assert!(told.contains("has 2 and cannot get 1"), "{told}");
    let told = program.fails(2, &["topics", "--list", "--topic", "[a-z]"], "");
    assert!(told.contains("is no name of a topic"), "{told}");
    assert_eq!(program.ok(&["topics", "--list"], ""), "orders\n", "nothing was made");
}

#[test]
fn names_that_may_collide_are_warned_of() {
    let program = Program::new();
    let assert =
        program.run(&["topics", "--create", "--topic", "a.b"], "").success().stdout("Created topic a.b.\n");
    assert!(crate::program::text(&assert.get_output().stderr).contains("warning: "));
    assert!(program.fails(1, &["topics", "--create", "--topic", "a_b"], "").contains("a.b"));
}
