//! `configs`, `offsets`, `delete-records`, `log-dirs`.

use serde_json::Value;
use stratalog::{EventLog, Record, Timestamp, TopicConfig};

use crate::program::{Program, ended};

/// Ten records in each of two partitions, a second between.
fn filled() -> Program {
    let program = Program::new();
    let log = EventLog::open(program.log()).unwrap();
    let config = TopicConfig::new().partitions(2).retention(None);
    let topic = log.create_topic("t", config).unwrap();
    let producer = log.producer().unwrap();
    for n in 0..20 {
        let at = Timestamp::from_millis(1_700_000_000_000 + i64::from(n / 2) * 1000);
        producer.send(&topic, Record::new("value").partition(n % 2).timestamp(at)).unwrap();
    }
    log.close().unwrap();
    program
}

#[test]
fn settings_are_shown_and_altered() {
    let program = filled();
    let of = ["configs", "--entity-type", "topics", "--entity-name", "t"];
    let shown = program.ok(&[&of[..], &["--describe"]].concat(), "");
    let expected = "Dynamic configs for topic t are:\n  \
                    retention.ms=-1 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=-1}\n";
    assert_eq!(shown, expected);
    let add = ["--alter", "--add-config", "cleanup.policy=[compact,delete],segment.ms=60000"];
    assert_eq!(program.ok(&[&of[..], &add].concat(), ""), "Completed updating config for topic t.\n");
    let change = ["--alter", "--add-config", "segment.ms=1000", "--delete-config", "retention.ms"];
    program.ok(&[&of[..], &change].concat(), "");
    let shown = program.ok(&["configs", "--topic", "t", "--describe", "--json"], "");
    assert_eq!(
        shown,
        "{\"configs\":{\"cleanup.policy\":\"compact,delete\",\"segment.ms\":\"1000\"},\"topic\":\"t\"}\n"
    );
}

#[test]
fn all_settings_are_shown_with_their_defaults() {
    let program = filled();
    let shown = program.ok(&["configs", "--topic", "t", "--describe", "--all"], "");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!((lines[0], lines.len()), ("All configs for topic t are:", 27));
    assert!(lines[1..].is_sorted());
    for line in [
        "  retention.ms=-1 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=-1}",
        "  segment.bytes=1073741824 sensitive=false synonyms={DEFAULT_CONFIG:segment.bytes=1073741824}",
    ] {
        assert!(lines.contains(&line), "{shown}");
    }
}

#[test]
fn a_setting_without_effect_is_noted() {
    let program = Program::new();
    let reported = |arguments: &[&str]| {
        let assert = program.run(arguments, "").success();
        String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
    };
    let create = ["topics", "--create", "--topic", "t", "--config", "min.insync.replicas=2"];
    let note =
        "note: min.insync.replicas is recorded for a broker and has no effect here: there is one replica\n";
    assert_eq!(reported(&[&create[..], &["--config", "flush.messages=5"]].concat()), note);
    let alter = ["configs", "--topic", "t", "--alter", "--add-config"];
    let reported_of = reported(&[&alter[..], &["preallocate=true,flush.ms=5"]].concat());
    assert!(
        reported_of.starts_with("note: preallocate is recorded for a broker and has no effect here: "),
        "{reported_of}"
    );
    assert_eq!(reported_of.lines().count(), 1);
    assert_eq!(reported(&[&alter[..], &["retention.ms=5"]].concat()), "");
}

#[test]
fn settings_that_make_no_sense_change_nothing() {
    let program = filled();
    let before = program.ok(&["configs", "--describe"], "");
    let alter = ["configs", "--entity-type", "topics", "--entity-name", "t", "--alter"];
    for (code, more, reason) in [
        (2, &["--add-config", "retention.ms=1,colour=red"][..], "\"colour\" is not a setting of topics"),
        (2, &["--add-config", "segment.bytes=1"], "segment.bytes is \"1\""),
        (1, &["--delete-config", "segment.ms"], "segment.ms is not set on topic t"),
        (2, &["--add-config", "retention.ms=1", "--delete-config", "retention.ms"], "in --delete-config"),
        (2, &["--add-config", "retention.ms"], "is no setting; give name=value"),
        (2, &[], "nothing to alter"),
    ] {
        let reported = program.fails(code, &[&alter[..], more].concat(), "");
        assert!(reported.contains(reason), "{more:?}: {reported}");
    }
    let reported = program.fails(2, &["configs", "--entity-type", "brokers", "--describe"], "");
    assert!(reported.contains("possible values: topics"), "{reported}");
    assert!(program.fails(2, &["configs", "--alter", "--add-config", "a=b"], "").contains("--entity-name"));
    assert_eq!(program.ok(&["configs", "--describe"], ""), before);
}

#[test]
fn offsets_at_the_ends_and_by_time() {
    let program = filled();
    program.ok(&["topics", "--create", "--topic", "empty"], "");
    for (time, expected) in [
        ("latest", "empty:0:0\nt:0:10\nt:1:10\n"),
        ("-1", "empty:0:0\nt:0:10\nt:1:10\n"),
        ("earliest", "empty:0:0\nt:0:0\nt:1:0\n"),
        ("max-timestamp", "t:0:9\nt:1:9\n"),
        ("1700000002500", "t:0:3\nt:1:3\n"),
        ("2023-11-14T22:13:22.500", "t:0:3\nt:1:3\n"),
        ("2023-11-14T23:13:22.500+01:00", "t:0:3\nt:1:3\n"),
        ("9999999999999", ""),
    ] {
        assert_eq!(program.ok(&["offsets", "--time", time], ""), expected, "{time}");
    }
    assert_eq!(program.ok(&["offsets", "--topic", "t", "--partitions", "1"], ""), "t:1:10\n");
    let listed = ["get-offsets", "--topic-partitions", "t:1-,empty:0,t:0-1"];
    assert_eq!(program.ok(&listed, ""), "empty:0:0\nt:0:10\nt:1:10\n");
    let json = program.ok(&["offsets", "--topic", "empty", "--json"], "");
    assert_eq!(json, "{\"offset\":0,\"partition\":0,\"topic\":\"empty\"}\n");
    for (code, arguments, reason) in [
        (2, ["--time", "tomorrow"], "give latest, earliest, max-timestamp"),
        (2, ["--topic-partitions", "t:x"], "give topic, topic:2, topic:0-3"),
        (1, ["--topic-partitions", "t:7"], "partition \"t-7\" does not exist"),
        (1, ["--topic", "x"], "topic \"x\" does not exist"),
    ] {
        let reported = program.fails(code, &[&["offsets"], &arguments[..]].concat(), "");
        assert!(reported.contains(reason), "{arguments:?}: {reported}");
    }
}

#[test]
fn records_are_deleted_below_an_offset() {
    let program = filled();
    let done = "Executing records delete operation\nRecords delete operation completed:\n";
    let one = program.ok(&["delete-records", "--topic", "t", "--partition", "0", "--before", "4"], "");
    assert_eq!(one, format!("{done}partition: t-0\tlow_watermark: 4\n"));
    let list = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"offset":6},{"topic":"t","partition":1,"offset":-1}]}"#;
    let file = program.dir.path().join("list.json");
    std::fs::write(&file, list).unwrap();
    let more = program.ok(&["delete-records", "--offset-json-file", file.to_str().unwrap()], "");
    assert_eq!(more, format!("{done}partition: t-0\tlow_watermark: 6\npartition: t-1\tlow_watermark: 10\n"));
    assert_eq!(program.ok(&["offsets", "--time", "earliest"], ""), "t:0:6\nt:1:10\n");
    let arguments = ["consume", "--topic", "t", "--partition", "0", "--offset", "4"];
    assert!(program.fails(1, &arguments, "").contains("offset 4 is outside t-0, which holds 6 to 10"));

    let beyond =
        program.run(&["delete-records", "--topic", "t", "--partition", "0", "--before", "11"], "").code(1);
    let reported = crate::program::text(&beyond.get_output().stdout);
    assert!(reported.contains("partition: t-0\terror: offset 11 of t-0 is outside the log"), "{reported}");
}

#[test]
fn nothing_is_deleted_before_all_of_a_list_is_resolved() {
    let program = filled();
    for wrong in
        [r#""topic":"x","partition":0"#, r#""topic":"t","partition":7"#, r#""topic":"t","partition":1"#]
    {
        let input =
            format!(r#"{{"partitions":[{{"topic":"t","partition":0,"offset":1}},{{{wrong},"offset":11}}]}}"#);
        let reported = program.fails(1, &["delete-records", "--offset-json-file", "-"], &input);
        assert!(
            reported.contains("1 of 2 partitions cannot be changed like that; nothing was deleted"),
            "{reported}"
        );
        assert_eq!(program.ok(&["offsets", "--time", "earliest"], ""), "t:0:0\nt:1:0\n");
    }
}

#[test]
fn a_list_that_is_none_is_refused_before_anything_is_deleted() {
    let program = filled();
    for (input, reason) in [
        ("", "this is no JSON"),
        ("[1", "this is no JSON"),
        ("{}", "there are no partitions"),
        (r#"{"version":2,"partitions":[]}"#, "the version is not 1"),
        (
            r#"{"partitions":[{"topic":"t","partition":0,"offset":1},{"topic":"t"}]}"#,
            "names no topic, partition and offset",
        ),
        (
            r#"{"partitions":[{"topic":"t","partition":0,"offset":-2}]}"#,
            "names no topic, partition and offset",
        ),
        (
            r#"{"partitions":[{"topic":"t","partition":0,"offset":1},{"topic":"t","partition":0,"offset":2}]}"#,
            "t-0 is named twice",
        ),
    ] {
        let reported = program.fails(1, &["delete-records", "--offset-json-file", "-"], input);
        assert!(reported.contains(reason), "{input}: {reported}");
    }
    let mut binary = program.command(&["delete-records", "--offset-json-file", "-"]);
    let assert = ended(binary.write_stdin(b"\xff\xfe".to_vec())).code(1);
    assert!(crate::program::text(&assert.get_output().stderr).contains("is no text: byte 0 is not UTF-8"));
    assert!(program.fails(2, &["delete-records"], "").contains("--offset-json-file"));
    assert!(
        program.fails(2, &["delete-records", "--topic", "t", "--before", "3"], "").contains("--partition")
    );
    assert_eq!(program.ok(&["offsets", "--time", "earliest"], ""), "t:0:0\nt:1:0\n");
}

#[test]
fn empty_partitions_of_internal_topics_are_left_out_unless_they_are_asked_for() {
    let program = filled();
    program.ok(&["consume", "--topic", "t", "--group", "g", "--from-beginning", "--until-end"], "");
    program.ok(&["topics", "--create", "--topic", "empty"], "");
    let rows = |more: &[&str]| -> Vec<String> {
        let table = program.ok(&[&["log-dirs"], more].concat(), "");
        let object = program.ok(&[&["log-dirs", "--json"], more].concat(), "");
        let object: Value = serde_json::from_str(&object).unwrap();
        let listed = object["brokers"][0]["logDirs"][0]["partitions"].as_array().unwrap();
        let names: Vec<_> = listed.iter().map(|one| one["partition"].as_str().unwrap().to_owned()).collect();
        assert_eq!(table.lines().count(), names.len() + 3, "{table}");
        assert!(table.ends_with(&format!(" in {} partitions\n", names.len())), "{table}");
        names
    };
    let internal = |names: &[String]| names.iter().filter(|name| name.starts_with("__")).count();
    let shown = rows(&[]);
    assert!(shown.contains(&"empty-0".to_owned()) && shown.contains(&"t-1".to_owned()), "{shown:?}");
    assert_eq!(internal(&shown), 1, "the one with the group's offsets: {shown:?}");
    let asked = rows(&["--internal"]);
    assert!(internal(&asked) > 10, "{asked:?}");
    assert_eq!(rows(&["--topic-list", ".*"]), asked);
    assert_eq!(rows(&["--topic-list", "__consumer_offsets"]).len(), internal(&asked));
}

#[test]
fn sizes_are_shown() {
    let program = filled();
    let shown = program.ok(&["log-dirs", "--describe", "--topic-list", "t"], "");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1], "Received log directory information from brokers 1");
    let object: Value = serde_json::from_str(lines[2]).unwrap();
    let size = std::fs::metadata(program.log().join("t-1").join("00000000000000000000.log")).unwrap().len();
    let dir = &object["brokers"][0]["logDirs"][0];
    assert_eq!(
        dir["partitions"][1],
        serde_json::json!({"partition":"t-1","size":size,"offsetLag":0,"isFuture":false})
    );
    assert_eq!(dir["logDir"], program.log().to_str().unwrap());
    assert_eq!(program.ok(&["log-dirs", "--json"], ""), format!("{}\n", lines[2]));
    let table = program.ok(&["log-dirs"], "");
    let size = size.to_string();
    let row = ["t", "1", "1", &size, "0", "10"];
    assert!(table.lines().any(|line| line.split_whitespace().eq(row)), "{table}");
}

/// Whether it is found by the parser, by the command or by the library.
#[test]
fn every_bad_setting_and_property_is_exit_code_2() {
    let program = filled();
    let before = program.ok(&["configs", "--topic", "t", "--describe", "--all"], "");
    let file = program.dir.path().join("payloads");
    std::fs::write(&file, "x\n").unwrap();
    for command in [
        "topics --create --topic new --config foo=1",
        "topics --create --topic new --config retention.ms=soon",
        "topics --create --topic new --config retention.ms",
        "topics --create --topic new --partitions 0",
        "topics --create --topic new --partitions many",
        "topics --create --topic new --replication-factor 3",
        "topics --create --topic ne/w",
        "topics --alter --topic t --partitions many",
        "topics --describe --topic [a",
        "configs --topic t --alter --add-config foo=1",
        "configs --topic t --alter --add-config retention.ms=soon",
        "configs --topic t --alter --add-config retention.ms",
        "configs --topic t --alter --add-config retention.ms=1,retention.ms=soon",
        "configs --entity-default --alter --add-config retention.ms=1",
        "produce --topic t --property parse.keys=true",
        "produce --topic t --property parse.key=1",
        "produce --topic t --property parse.key",
        "produce --topic t --property headers.separator=(",
        "produce --topic t --property null.marker=:",
        "produce --topic t --producer-property acks=2",
        "produce --topic t --producer-property batch.size=big",
        "produce --topic t --producer-property compression.type=rar",
        "produce --topic t --producer-property nonsense=1",
        "consume --topic t --property print.keys=true",
        "consume --topic t --property print.key=1",
        "consume --topic t --property key.deserializer=Avro",
        "consume --topic t --consumer-property nonsense=1",
        "consume --topic t --consumer-property isolation.level=some",
        "consume --topic t --consumer-property max.poll.records=many",
        "consume --topic t --consumer-property enable.auto.commit=1",
        "consume --topic t --max-messages many",
        "consume --topic t --max-messages -2",
        "perf produce --topic t --num-records 1 --record-size 1 --producer-props acks=2",
        "perf produce --topic t --num-records 1 --record-size 1 --producer-props batch.size=big",
        "perf produce --topic t --num-records 1 --record-size 1 --producer-props nonsense=1",
        "perf produce --topic t --num-records 1 --record-size 1 --producer-props nonsense",
    ] {
        let reported = program.fails(2, &command.split(' ').collect::<Vec<_>>(), "x\n");
        assert!(reported.contains("error: "), "{command}: {reported}");
    }
    assert_eq!(program.ok(&["topics", "--list"], ""), "t\n");
    assert_eq!(program.ok(&["configs", "--topic", "t", "--describe", "--all"], ""), before);
    assert_eq!(program.ok(&["offsets"], ""), "t:0:10\nt:1:10\n");
}

/// Kafka's users paste them.
#[test]
fn options_that_kafkas_users_give_are_taken() {
    let program = filled();
    for command in [
        "topics --list --bootstrap-server x:1 --command-config nowhere",
        "topics --describe --topic t --under-replicated-partitions",
        "topics --describe --topic t --unavailable-partitions",
        "topics --describe --topic t --under-min-isr-partitions",
        "configs --describe --entity-type topics --entity-default",
        "configs --describe --entity-type topics --entity-name t --command-config nowhere",
        "groups --list --command-config nowhere",
        "offsets --topic t --time -4 --command-config nowhere",
        "offsets --topic t --time -5",
        "consume --topic t --max-messages -1 --until-end --consumer-property client.id=me --consumer.config nowhere",
        "produce --topic t --producer-property client.id=me --producer-property max.request.size=9 --producer.config nowhere",
        "perf produce --topic t --num-records 1 --record-size 1 --throughput -1 --producer-props bootstrap.servers=x:1 acks=all client.id=me --producer.config nowhere",
        "perf consume --topic t --num-records 1 --bootstrap-server x:1 --consumer.config nowhere",
    ] {
        program.ok(&command.split(' ').collect::<Vec<_>>(), "");
    }
}
