use serde_json::{Value, json};
use stratalog::{EventLog, Record, Timestamp, TopicConfig};

use crate::common::expected::Expected;
use crate::program::{Program, ended};

/// Three records with all that a record can have.
fn filled() -> Program {
    let program = Program::new();
    let log = EventLog::open(program.log()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let producer = log.producer().unwrap();
    let at = Timestamp::from_millis(1_700_000_000_000);
    let records = [
        Record::new("first").partition(0).timestamp(at).key("k").header("a", "1").header("b", &[0xff]),
        Record::tombstone("k").partition(0).timestamp(at),
        Record::new(b"\xff\x00\n").partition(1).timestamp(at),
    ];
    for record in records {
        producer.send(&topic, record).unwrap();
    }
    log.create_topic("empty", TopicConfig::new()).unwrap();
    log.close().unwrap();
    program
}

#[test]
fn columns_are_in_kafkas_order() {
    let program = filled();
    let mut arguments =
        vec!["consume", "--topic", "t", "--partition", "0", "--from-beginning", "--until-end"];
    assert_eq!(ended(&mut program.command(&arguments)).success().get_output().stdout, b"first\nnull\n");
    for column in ["timestamp", "partition", "offset", "epoch", "headers", "key"] {
        arguments.extend(["--property", format!("print.{column}=true").leak()]);
    }
    let expected = b"CreateTime:1700000000000\tPartition:0\tOffset:0\tEpoch:0\ta:1,b:\xff\tk\tfirst\n\
                     CreateTime:1700000000000\tPartition:0\tOffset:1\tEpoch:0\tNO_HEADERS\tk\tnull\n";
    assert_eq!(ended(&mut program.command(&arguments)).success().get_output().stdout, expected);
    arguments.extend(["--property", "print.value=false", "--formatter-property", "key.separator=|"]);
    arguments.extend(["--property", "line.separator=;", "--property", "headers.separator=&"]);
    let expected = b"CreateTime:1700000000000|Partition:0|Offset:0|Epoch:0|a:1&b:\xff|k;\
                     CreateTime:1700000000000|Partition:0|Offset:1|Epoch:0|NO_HEADERS|k;";
    assert_eq!(ended(&mut program.command(&arguments)).success().get_output().stdout, expected);
}

#[test]
fn json_keeps_what_is_no_text() {
    let program = filled();
    let lines = program.ok(&["consume", "--topic", "t", "--from-beginning", "--until-end", "--json"], "");
    let mut records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.sort_by_key(|record| (record["partition"].as_u64(), record["offset"].as_u64()));
    assert_eq!(records[0]["headers"], json!([["a", "1"], ["b", { "base64": "/w==" }]]));
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&json!("k"), &json!("first")));
    assert_eq!(records[1]["value"], Value::Null);
    assert_eq!(records[2]["value"], json!({ "base64": "/wAK" }));
    assert_eq!(records[2]["timestamp"], json!(1_700_000_000_000_u64));
    assert_eq!(records.len(), 3);
}

#[test]
fn it_begins_and_ends_where_the_options_say() {
    let program = filled();
    let of =
        |more: &[&str]| program.ok(&[&["consume", "--topic", "t", "--partition", "0"], more].concat(), "");
    assert_eq!(of(&["--offset", "1", "--until-end"]), "null\n");
    assert_eq!(of(&["--offset", "earliest", "--max-messages", "1"]), "first\n");
    assert_eq!(of(&["--offset", "latest", "--until-end"]), "");
    assert_eq!(of(&["--until-end"]), "", "without --from-beginning it waits for new ones");
    assert_eq!(of(&["--offset", "2", "--timeout-ms", "1"]), "");
    assert_eq!(of(&["--offset", "0", "--max-messages", "0"]), "");
    let earliest = ["--consumer-property", "auto.offset.reset=earliest", "--until-end"];
    assert_eq!(of(&earliest), "first\nnull\n");

    let assert = program.run(&["consume", "--topic", "t", "--from-beginning", "--max-messages", "2"], "");
    assert.success().stderr("Processed a total of 2 messages\n");
}

#[test]
fn several_topics_at_once() {
    let program = filled();
    program.ok(&["produce", "--topic", "empty"], "no more\n");
    let arguments = ["consume", "--include", "empty|t", "--from-beginning", "--until-end", "--json"];
    assert_eq!(program.ok(&arguments, "").lines().count(), 4);
    assert_eq!(
        program.ok(&["consume", "--include", "em.*", "--from-beginning", "--until-end"], ""),
        "no more\n"
    );
}

#[test]
fn wrong_values_are_named() {
    let program = filled();
    for (code, arguments, reason) in [
        (1, &["--topic", "x"][..], "topic \"x\" does not exist"),
        (1, &["--topic", "t", "--partition", "2"], "partition \"t-2\" does not exist"),
        (1, &["--include", "x.*"], "no topic matches \"x.*\""),
        (2, &["--topic", "t", "--include", "t"], "cannot be used with"),
        (2, &["--topic", "t", "--offset", "1"], "--partition"),
        (2, &["--topic", "t", "--partition", "0", "--offset", "-5"], "give earliest, latest, or an offset"),
        (
            2,
            &["--topic", "t", "--partition", "0", "--offset", "1", "--from-beginning"],
            "cannot be used with",
        ),
        (
            1,
            &["--topic", "t", "--partition", "0", "--offset", "3"],
            "offset 3 is outside t-0, which holds 0 to 2",
        ),
        (2, &["--topic", "t", "--property", "print.kee=true"], "there is no property \"print.kee\""),
        (2, &["--topic", "t", "--property", "print.key=1"], "print.key is true or false, not \"1\""),
        (2, &["--topic", "t", "--isolation-level", "serializable"], "read_uncommitted, read_committed"),
        (2, &["--topic", "t", "--consumer-property", "group.size=1"], "\"group.size\" is not known"),
        (2, &["--topic", "t", "--timeout-ms", "soon"], "invalid value 'soon'"),
    ] {
        let reported = program.fails(code, &[&["consume"], arguments].concat(), "");
        assert!(reported.contains(reason), "{arguments:?}: {reported}");
    }
}

#[test]
fn damage_is_reported_with_the_way_around_it() {
    let program = Program::with_topic("t", 1);
    for value in ["first", "second", "third"] {
        program.ok(&["produce", "--topic", "t"], value);
    }
    let file = program.log().join("t-0").join("00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"second").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let arguments = ["consume", "--topic", "t", "--from-beginning", "--until-end"];
    let assert = program.run(&arguments, "").code(1).stdout("first\n");
    let reported = crate::program::text(&assert.get_output().stderr);
    assert!(reported.contains("to continue after it use --partition 0 --offset 2"), "{reported}");
    let rest = ["consume", "--topic", "t", "--partition", "0", "--offset", "2", "--until-end"];
    assert_eq!(program.ok(&rest, ""), "third\n");
}

/// A directory of a broker that was killed while a transaction was open.
#[test]
fn open_and_aborted_records_are_left_out_on_request() {
    let expected = Expected::of_broker("killed-4.1");
    let dir = expected.copy();
    let program = Program::new();
    let dir = dir.path().to_str().unwrap();
    let offsets = |level: &str| {
        let mut arguments =
            vec!["consume", "--dir", dir, "--topic", "tx", "--from-beginning", "--until-end", "--json"];
        arguments.extend(["--isolation-level", level]);
        let printed = program.ok(&arguments, "");
        let parsed = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut offsets: Vec<_> =
            parsed.map(|it| (it["partition"].as_u64(), it["offset"].as_u64())).collect();
        offsets.sort_unstable();
        offsets
    };
    let theirs = |committed_only: bool| {
        let wanted = |it: &&Value| it["topic"] == "tx" && (!committed_only || it["committed"] == true);
        let found = expected.records.iter().filter(wanted);
        let mut offsets: Vec<_> = found.map(|it| (it["partition"].as_u64(), it["offset"].as_u64())).collect();
        offsets.sort_unstable();
        offsets
    };
    assert_eq!(offsets("read_uncommitted"), theirs(false));
    assert_eq!(offsets("read_committed"), theirs(true));
    assert!(theirs(true).len() < theirs(false).len());
}

/// What the group has committed of partition 0.
fn committed(program: &Program) -> Option<u64> {
    let shown = program.ok(&["groups", "--describe", "--group", "g", "--json"], "");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown["partitions"][0]["committed"].as_u64()
}

#[test]
fn nothing_is_committed_if_an_option_forbids_it() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], "one\ntwo\n");
    let consume = ["consume", "--topic", "t", "--group", "g", "--from-beginning", "--until-end"];
    assert_eq!(program.ok(&[&consume[..], &["--max-messages", "1"]].concat(), ""), "one\n");
    assert_eq!(committed(&program), Some(1));
    let arguments = [&consume[..], &["--consumer-property", "enable.auto.commit=FALSE"]].concat();
    for _ in 0..2 {
        assert_eq!(program.ok(&arguments, ""), "two\n");
    }
    assert_eq!(committed(&program), Some(1));
}

#[test]
fn the_group_may_be_given_as_a_property() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], "one\n");
    let consume =
        ["consume", "--topic", "t", "--from-beginning", "--until-end", "--consumer-property", "group.id=g"];
    assert_eq!(program.ok(&consume, ""), "one\n");
    assert_eq!(committed(&program), Some(1));
    assert_eq!(program.ok(&[&consume[..], &["--group", "g"]].concat(), ""), "");
    for (more, reason) in [
        (&["--group", "h"][..], "two groups are named"),
        (&["--partition", "0"], "a group assigns partitions itself"),
        (&["--consumer-property", "auto.offset.reset=latest"], "contradict each other"),
    ] {
        let reported = program.fails(2, &[&consume[..], more].concat(), "");
        assert!(reported.contains(reason), "{reported}");
    }
}

#[test]
fn options_for_a_connection_have_no_effect_and_say_so() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t", "--producer-property", "max.request.size=7"], "one\n");
    let run = program.run(
        &[
            "consume",
            "--topic",
            "t",
            "--from-beginning",
            "--until-end",
            "--max-messages",
            "-1",
            "--command-config",
            "x",
            "--consumer-property",
            "client.id=me",
            "--formatter",
            "org.apache.kafka.tools.consumer.DefaultMessageFormatter",
        ],
        "",
    );
    let run = run.success().stdout("one\n");
    let reported = crate::program::text(&run.get_output().stderr);
    assert!(
        reported.contains("client.id has no effect") && reported.contains("--command-config is not needed"),
        "{reported}"
    );
}

#[test]
fn numbers_are_printed_by_their_deserializers() {
    let program = Program::with_topic("t", 1);
    let log = EventLog::open(program.log()).unwrap();
    let topic = log.topic("t").unwrap();
    let producer = log.producer().unwrap();
    producer.send(&topic, Record::new(&7_i64.to_be_bytes()).key(&(-1_i32).to_be_bytes())).unwrap();
    log.close().unwrap();
    let consume =
        ["consume", "--topic", "t", "--from-beginning", "--until-end", "--property", "print.key=TRUE"];
    let class = "org.apache.kafka.common.serialization.LongDeserializer";
    let numbers =
        ["--key-deserializer", "IntegerDeserializer", "--property", &format!("value.deserializer={class}")];
    assert_eq!(program.ok(&[&consume[..], &numbers].concat(), ""), "-1\t7\n");
    let reported = program.fails(1, &[&consume[..], &["--key-deserializer", class]].concat(), "");
    assert!(reported.contains("a number of 8 bytes was expected, but there are 4 bytes"), "{reported}");
    let none = ["--formatter", "org.apache.kafka.tools.consumer.NoOpMessageFormatter"];
    let run = program.run(&[&consume[..], &none].concat(), "").success().stdout("");
    assert!(crate::program::text(&run.get_output().stderr).contains("Processed a total of 1 messages"));
    let logging = ["--formatter", "org.apache.kafka.tools.consumer.LoggingMessageFormatter"];
    assert_eq!(program.ok(&[&consume[..], &numbers, &logging].concat(), ""), "-1\t7\n");
    let reported = program.fails(2, &[&consume[..], &["--formatter", "com.example.Avro"]].concat(), "");
    assert!(reported.contains("DefaultMessageFormatter"), "{reported}");
}

#[test]
fn an_expression_includes_internal_topics_only_if_they_are_named() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], "one\n");
    program.ok(&["consume", "--topic", "t", "--group", "g", "--until-end"], "");
    let consume = |pattern: &str| {
        program.ok(&["consume", "--include", pattern, "--from-beginning", "--until-end", "--json"], "")
    };
    assert_eq!(consume(".*").lines().count(), 1);
    assert!(consume("__consumer_offsets").contains("__consumer_offsets"));
}
