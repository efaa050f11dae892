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
    let reported = program.fails(1, &["topics", "--create", "--topic", "orders"], "");
    assert_eq!(reported, "error: topic \"orders\" exists already\n");
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
        (2, &["--partitions", "0"][..], "0 were asked for, but a topic has 1 to 100000"),
        (2, &["--partitions", "many"], "invalid value 'many' for '--partitions <COUNT>'"),
        (2, &["--replication-factor", "3"], "must be 1: one process keeps the log"),
        (2, &["--config", "retention.mss=1"], "did you mean retention.ms?"),
        (2, &["--config", "retention.ms"], "give NAME=VALUE"),
        (2, &["--config", "retention.ms=soon"], "retention.ms is \"soon\""),
    ] {
        let reported = program.fails(code, &[&create, arguments].concat(), "");
        assert!(reported.contains(reason), "{arguments:?}: {reported}");
    }
    for (name, reason) in [("a b", "a b"), ("..", ".."), ("", "")] {
        let reported = program.fails(2, &["topics", "--create", "--topic", name], "");
        assert!(reported.contains(reason) && reported.contains("topic name"), "{reported}");
    }
    let reported = program.fails(1, &["topics", "--alter", "--topic", "orders", "--partitions", "1"], "");
    assert!(reported.contains("has 2 partitions and cannot get 1"), "{reported}");
    let reported = program.fails(2, &["topics", "--list", "--topic", "[a-z"], "");
    assert!(reported.contains("names no topics") && reported.contains("test-.*"), "{reported}");
    assert_eq!(program.ok(&["topics", "--list"], ""), "orders\n", "nothing was made");
}

#[test]
fn names_that_may_collide_are_warned_of() {
    let program = Program::new();
    let assert =
        program.run(&["topics", "--create", "--topic", "a.b"], "").success().stdout("Created topic a.b.\n");
    assert!(crate::program::text(&assert.get_output().stderr).contains("warning: "));
    assert!(program.fails(2, &["topics", "--create", "--topic", "a_b"], "").contains("a.b"));
}

/// Topics `test.a`, `test-a`, `test-b` and `other`, and the internal one that a commit creates.
fn several() -> Program {
    let program = Program::new();
    for topic in ["test.a", "test-a", "test-b", "other"] {
        program.run(&["topics", "--create", "--topic", topic], "").success();
    }
    program.ok(&["consume", "--topic", "other", "--group", "g", "--until-end"], "");
    program
}

#[test]
fn a_name_in_a_list_deletes_that_topic_alone() {
    let program = several();
    let deleted = program.ok(&["topics", "--delete", "--topic", "test.a,other"], "");
    assert_eq!(deleted, "Deleted topic other.\nDeleted topic test.a.\n");
    assert_eq!(program.ok(&["topics", "--list", "--exclude-internal"], ""), "test-a\ntest-b\n");
}

#[test]
fn nothing_is_deleted_if_one_of_the_list_is_missing_or_internal() {
    let program = several();
    let before = program.ok(&["topics", "--list"], "");
    for (list, reason) in [
        ("other,missing", "topic \"missing\" does not exist; nothing was changed"),
        ("other,__consumer_offsets", "topic \"__consumer_offsets\" is internal"),
    ] {
        let reported = program.fails(1, &["topics", "--delete", "--topic", list], "");
        assert!(reported.contains(reason), "{reported}");
        assert_eq!(program.ok(&["topics", "--list"], ""), before);
    }
    let deleted = program.ok(&["topics", "--delete", "--topic", "other,missing", "--if-exists"], "");
    assert_eq!(deleted, "Deleted topic other.\n");
}

#[test]
fn an_expression_never_means_internal_topics() {
    let program = several();
    let deleted = program.ok(&["topics", "--delete", "--topic", ".*"], "");
    assert_eq!(deleted.lines().count(), 4, "{deleted}");
    assert_eq!(program.ok(&["topics", "--list"], ""), "__consumer_offsets\n");
    let reported = program.fails(1, &["topics", "--delete", "--topic", ".*"], "");
    assert!(reported.contains("no topic matches"), "{reported}");
}

#[test]
fn several_topics_are_altered_or_none() {
    let program = several();
    program.ok(&["topics", "--alter", "--topic", "test-b", "--partitions", "3"], "");
    let reported = program.fails(1, &["topics", "--alter", "--topic", "test-[ab]", "--partitions", "3"], "");
    assert!(reported.contains("topic \"test-b\" has 3 partitions and cannot get 3"), "{reported}");
    let altered = program.ok(&["topics", "--alter", "--topic", "test-[ab]", "--partitions", "4"], "");
    assert_eq!(altered, "Topic test-a has 4 partitions now.\nTopic test-b has 4 partitions now.\n");
}

#[test]
fn partitions_that_lack_replicas_are_listed_on_request() {
    let program = Program::with_topic("orders", 2);
    let describe = ["topics", "--describe", "--topic", "orders"];
    for filter in ["--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"]
    {
        assert_eq!(program.ok(&[&describe[..], &[filter]].concat(), ""), "", "{filter}");
    }
    let all = program.ok(&[&describe[..], &["--at-min-isr-partitions"]].concat(), "");
    assert_eq!(all.lines().count(), 2, "{all}");
    let reported = program.fails(2, &["topics", "--list", "--unavailable-partitions"], "");
    assert!(reported.contains("cannot be used with"), "{reported}");
}
