//! `import` and `mirror`: what was copied is what there was.

use serde_json::Value;
use stratalog::{EventLog, Header, Position, Record};

use crate::program::{Program, ended};
use crate::{common, fill, vectors};

/// What must be the same in a copy: everything but the ids of topics, the terms of leaders, and what is in Kafka's own
/// topics beyond positions.
fn comparable(exported: &str) -> Vec<Value> {
    let lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines
        .filter(|line| line["internal"] != true && line["committed"] != false && line["type"] != "group");
    lines
        .map(|mut line| {
            let fields = line.as_object_mut().unwrap();
            fields.remove("id");
            fields.remove("leaderEpoch");
            for partition in line["partitions"].as_array_mut().into_iter().flatten() {
                // Where a transaction is open its records are not copied, nor what is after them.
                partition.as_object_mut().unwrap().remove("hw");
            }
            for commit in line["offsets"].as_array_mut().into_iter().flatten() {
                commit.as_object_mut().unwrap().remove("metadata");
            }
            line
        })
        .collect()
}

fn export(program: &Program, dir: &str) -> String {
    program.ok(&["export", "--full", "--dir", dir], "")
}

fn assert_same(program: &Program, from: &str, to: &str) {
    let (from, copied) = (comparable(&export(program, from)), comparable(&export(program, to)));
    for (ours, theirs) in copied.iter().zip(&from) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(copied.len(), from.len());
    assert_eq!(program.ok(&["verify", "--dir", to], ""), "");
}

#[test]
fn what_was_exported_is_imported_line_by_line() {
    let program = Program::new();
    fill(&program.log());
    let (from, to) = (program.log(), program.dir.path().join("copy"));
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let exported = export(&program, from);
    let printed = program.ok(&["import", "--dir", to], &exported);
    assert!(
        printed.contains("Imported 99 records of 4 topics") || printed.contains("records of 4 topics"),
        "{printed}"
    );
    // All of it, down to the last field but the ids: our own directory has no other terms.
    let masked = |text: &str| -> Vec<Value> {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.filter(|line| line["internal"] != true);
        lines
            .map(|mut line| {
                line.as_object_mut().unwrap().remove("id");
                line
            })
            .collect()
    };
    assert_eq!(masked(&export(&program, to)), masked(&exported));
    assert_eq!(program.ok(&["verify", "--dir", to], ""), "");
    let again = program.fails(1, &["import", "--dir", to], &exported);
    assert!(again.contains("the log ends at offset"), "{again}");
}

#[test]
fn directories_of_brokers_are_imported() {
    if !(cfg!(feature = "gzip")
        && cfg!(feature = "snappy")
        && cfg!(feature = "lz4")
        && cfg!(feature = "zstd"))
    {
        eprintln!("skipped: the directories hold batches of every codec");
        return;
    }
    let program = Program::new();
    for name in ["broker/clean-4.1/logdir", "catalog/logdir"] {
        let (from, to) = (vectors(name), program.dir.path().join(name.replace('/', "-")));
        let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
        let exported = export(&program, from);
        program.ok(&["import", "--dir", to], &exported);
        assert_same(&program, from, to);
        let mirrored = format!("{to}-mirrored");
        program.ok(&["mirror", "--dir", from, "--to", &mirrored], "");
        assert_same(&program, from, &mirrored);
    }
}

#[test]
fn a_file_can_be_imported_in_part() {
    let program = Program::new();
    fill(&program.log());
    let exported = export(&program, program.log().to_str().unwrap());
    let file = program.dir.path().join("lines.jsonl");
    std::fs::write(&file, &exported).unwrap();
    let to = program.dir.path().join("copy");
    let to = to.to_str().unwrap();
    let arguments = ["--json", "import", "--dir", to, "--topic", "times|gaps", file.to_str().unwrap()];
    let printed: Value = serde_json::from_str(&program.ok(&arguments, "")).unwrap();
    assert_eq!((&printed["topics"], &printed["records"]), (&2.into(), &4.into()));
    assert_eq!(program.ok(&["topics", "--list", "--exclude-internal", "--dir", to], ""), "gaps\ntimes\n");
}

#[test]
fn lines_that_cannot_be_imported_are_named() {
    let program = Program::new();
    let topic =
        r#"{"type":"topic","topic":"t","internal":false,"partitionCount":1,"configs":{},"partitions":[]}"#;
    let record = |value: &str| {
        format!(
            r#"{{"type":"record","topic":"t","partition":0,"offset":0,"timestamp":1,"timestampType":"CreateTime","committed":true,"key":null,"value":{value},"headers":[]}}"#
        )
    };
    for (lines, reason) in [
        ("x".to_owned(), "line 1: it is no JSON"),
        ("{}".to_owned(), "line 1: it has no \"type\""),
        (r#"{"type":"song"}"#.to_owned(), "line 1: lines of type \"song\" are not known"),
        (record("null"), "line 1: there was no line of type \"topic\" for \"t\" before it"),
        (format!("{topic}\n\n{}", record(r#""0g""#)), "line 3: a key or value is not in hex digits"),
        (format!("{topic}\n{}", record(r#""sha256:00/300""#)), "print the lines with `export --full`"),
        (
            topic.replace("\"configs\":{}", "\"configs\":{\"retention.ms\":\"x\"}").replace("\"t\"", "\"u\""),
            "line 1: ",
        ),
    ] {
        let reported = program.fails(1, &["import"], &lines);
        assert!(reported.contains(reason), "{lines}: {reported}");
    }
    let reported = program.fails(1, &["import", "missing.jsonl"], "");
    assert!(reported.contains("cannot read missing.jsonl"), "{reported}");
}

#[test]
fn a_mirror_continues_where_it_ended() {
    let program = Program::new();
    fill(&program.log());
    let (from, to) = (program.log(), program.dir.path().join("copy"));
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let printed = program.ok(&["mirror", "--to", to], "");
    assert!(printed.contains("gaps-0: 2 records, from offset 0 to 60"), "{printed}");
    assert_same(&program, from, to);
    let printed = program.ok(&["mirror", "--to", to], "");
    assert_eq!(printed, "Copied 0 records of 5 partitions.\n");

    // More records, settings, partitions; and less, as a deletion has it.
    let log = EventLog::open(program.log()).unwrap();
    let orders = log.topic("orders").unwrap();
    orders.add_partitions(3).unwrap();
    orders.alter_config(|now| now.retention_bytes(1 << 40).unset("retention.ms")).unwrap();
    for n in 0..3 {
        log.producer().unwrap().send(&orders, Record::new("more").partition(n)).unwrap();
    }
    orders.partition(0).unwrap().delete_records(20).unwrap();
    log.group("late").unwrap().set_committed([Position::new(("orders", 1), 51)]).unwrap();
    log.close().unwrap();
    let printed = program.ok(&["--json", "mirror", "--to", to], "");
    let records: u64 = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["records"].as_u64().unwrap())
        .sum();
    assert_eq!(records, 3, "{printed}");
    assert_same(&program, from, to);
}

#[test]
fn a_mirror_that_was_torn_anywhere_ends_up_the_same() {
    let program = Program::new();
    fill(&program.log());
    let from = program.log();
    let whole = program.dir.path().join("whole");
    program.ok(&["mirror", "--to", whole.to_str().unwrap()], "");
    // Stops as a crash would leave them: not closed cleanly, the last log files cut somewhere.
    for cut in [0, 1, 70, 300, 1000] {
        let torn = program.dir.path().join(format!("torn-{cut}"));
        common::copy(&whole, &torn);
        std::fs::remove_file(torn.join(".kafka_cleanshutdown")).unwrap();
        std::fs::remove_file(torn.join("recovery-point-offset-checkpoint")).unwrap();
        for partition in ["orders-0", "orders-1", "gaps-0"] {
            let logs = common::names(&torn.join(partition));
            let last = logs.into_iter().filter(|name| name.ends_with(".log")).max().unwrap();
            let path = torn.join(partition).join(last);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len().saturating_sub(cut)]).unwrap();
        }
        program.ok(&["mirror", "--to", torn.to_str().unwrap()], "");
        assert_same(&program, from.to_str().unwrap(), torn.to_str().unwrap());
    }
}

#[test]
fn what_is_no_copy_is_left_alone() {
    let program = Program::with_topic("orders", 1);
    program.ok(&["produce", "--topic", "orders"], "one\ntwo\n");
    let to = program.dir.path().join("other");
    let to = to.to_str().unwrap();
    program.ok(&["topics", "--create", "--topic", "orders", "--dir", to], "");
    program.ok(&["produce", "--topic", "orders", "--dir", to], "uno\n");
    let before = export(&program, to);
    let reported = program.fails(1, &["mirror", "--to", to], "");
    assert!(
        reported.contains("orders-0 has another record at offset 0 there: it is no copy of this one"),
        "{reported}"
    );
    program.ok(&["produce", "--topic", "orders", "--dir", to], "due\ntre\n");
    let reported = program.fails(1, &["mirror", "--to", to], "");
    assert!(reported.contains("orders-0 ends at offset 3 there, but at 2 here"), "{reported}");
    assert!(export(&program, to).starts_with(before.lines().nth(1).map_or("", |_| "{\"type\":\"topic\"")));
    let own = program.log();
    let reported = program.fails(2, &["mirror", "--to", own.to_str().unwrap()], "");
    assert!(reported.contains("are the same directory"), "{reported}");
    assert!(program.fails(2, &["mirror"], "").contains("--to"));
}

#[cfg(unix)]
#[test]
fn an_import_that_is_interrupted_leaves_a_closed_directory() {
    use std::io::Write as _;

    let program = Program::new();
    let mut process = program.start(&["import"]);
    let mut input = process.stdin.take().unwrap();
    let topic =
        r#"{"type":"topic","topic":"t","internal":false,"partitionCount":1,"configs":{},"partitions":[]}"#;
    writeln!(input, "{topic}").unwrap();
    // It watches for the signal before it opens the directory.
    while !program.log().join(".lock").exists() {
        std::thread::yield_now();
    }
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let mut offset = 0;
    while process.try_wait().unwrap().is_none() {
        let record = format!(
            r#"{{"type":"record","topic":"t","partition":0,"offset":{offset},"timestamp":1,"timestampType":"CreateTime","leaderEpoch":0,"committed":true,"key":null,"value":"00","headers":[]}}"#
        );
        let _ = writeln!(input, "{record}");
        offset += 1;
    }
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("stopped after"), "{output:?}");
    assert!(program.log().join(".kafka_cleanshutdown").exists());
    assert_eq!(program.ok(&["verify"], ""), "");
}

/// Kafka's clients write names that are empty, and those in other languages names that are no text.
#[test]
fn names_of_headers_are_copied_byte_for_byte() {
    let program = Program::new();
    let (from, dir) = (program.log(), program.dir.path().to_owned());
    let no_text = [0xff, 0x00, b'"', 0xc3];
    let headers = [
        Header::new("", "a"),
        Header::null(""),
        Header::new(&no_text, "b"),
        Header::null(&no_text),
        Header::new("\u{fffd} \"ü\\", ""),
    ];
    let log = EventLog::open(&from).unwrap();
    let topic = log.create_topic("t", stratalog::TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("v").headers(&headers)).unwrap();
    log.close().unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (from, mirrored, imported) = (from.to_str().unwrap(), path("mirrored"), path("imported"));
    program.ok(&["mirror", "--dir", from, "--to", &mirrored], "");
    // What is there already is recognised.
    program.ok(&["mirror", "--dir", from, "--to", &mirrored], "");
    let exported = export(&program, from);
    program.ok(&["import", "--dir", &imported], &exported);
    // The same lines with other white space.
    let spaced = exported.replace(",\"", ", \"");
    program.ok(&["import", "--dir", &path("spaced")], &spaced);
    for copy in [&mirrored, &imported, &path("spaced")] {
        let log = EventLog::open(copy).unwrap();
        let records = common::read(&log, [("t", 0)]);
        assert!(records.iter().all(|record| record.view().headers().eq(headers)), "{copy}: {records:?}");
        assert_eq!(records.len(), 1);
    }
    let consume = |arguments: &[&str]| {
        let all = [&["consume", "--dir", from, "--topic", "t", "--from-beginning", "--until-end"], arguments];
        program.run(&all.concat(), "").success().get_output().stdout.clone()
    };
    let shown = consume(&["--property", "print.headers=true"]);
    assert!(shown.windows(no_text.len() + 2).any(|part| part == [&no_text[..], b":b"].concat()), "{shown:?}");
    let shown: Value = serde_json::from_slice(&consume(&["--json"])).unwrap();
    assert_eq!(shown["headers"][2], serde_json::json!([{ "base64": "/wAiww==" }, "b"]));
    assert_eq!(shown["headers"][1], serde_json::json!(["", null]));
}

#[test]
fn what_is_damaged_is_skipped_and_listed() {
    let program = Program::with_topic("orders", 2);
    let log = EventLog::open(program.log()).unwrap();
    let orders = log.topic("orders").unwrap();
    for n in 0..9_u32 {
        log.producer().unwrap().send(&orders, Record::new(&format!("value {n}")).partition(n % 2)).unwrap();
    }
    log.group("g").unwrap().set_committed([Position::new(("orders", 0), 4)]).unwrap();
    log.close().unwrap();
    let damage = program.log().join("orders-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&damage).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damage, bytes).unwrap();
    let to = program.dir.path().join("copy");
    let to = to.to_str().unwrap();
    for metadata in ["is there", "is damaged"] {
        if metadata == "is damaged" {
            std::fs::remove_dir_all(to).unwrap();
            std::fs::remove_dir_all(program.log().join("__cluster_metadata-0")).unwrap();
        }
        let before = common::tree(&program.log());
        let reported = program.fails(3, &["mirror", "--skip-damage", "--to", to], "");
        assert!(
            reported.contains("orders-0: offset 2 left out: ")
                && reported.contains("the checksum does not match"),
            "{reported}"
        );
        assert!(reported.contains("1 damaged range was left out"), "{reported}");
        let exported = ended(&mut program.command(&["export", "--skip-damage"])).code(3).get_output().clone();
        let lines = |text: &[u8], kind: &str| -> Vec<String> {
            let of_kind = format!("{{\"type\":\"{kind}\"");
            let lines = std::str::from_utf8(text).unwrap().lines();
            lines.filter(|line| line.starts_with(&of_kind)).map(str::to_owned).collect()
        };
        assert_eq!(common::tree(&program.log()), before, "reading has changed something");
        let copied =
            ended(&mut program.command(&["export", "--dir", to])).success().get_output().stdout.clone();
        assert_eq!(lines(&exported.stdout, "record").len(), 8);
        assert_eq!(lines(&copied, "record").len(), 8);
        assert!(lines(&copied, "record").iter().zip(lines(&exported.stdout, "record")).all(|(a, b)| {
            let value = |line: &str| line.split("\"key\"").nth(1).unwrap().to_owned();
            value(a) == value(&b)
        }));
        assert!(lines(&exported.stdout, "group")[0].contains("\"offset\":4"));
        assert!(lines(&copied, "group")[0].contains("\"offset\":4"));
        let log = EventLog::open_read_only(to).unwrap();
        assert_eq!(log.topic("orders").unwrap().partition(0).unwrap().offsets().unwrap().log_end, 5);
        if metadata == "is damaged" {
            assert!(reported.contains("Topics are taken from the names of directories"), "{reported}");
        }
    }
    // Without the option it is as it was.
    assert!(!program.fails(1, &["mirror", "--to", to], "").is_empty());
}
