use std::fs;

use stratalog::inspect::LogFile;

use crate::cutting;
use crate::program::{Program, ended};

const ALL: [&str; 5] = ["consume", "--topic", "t", "--from-beginning", "--until-end"];

fn printed(program: &Program, more: &[&str]) -> String {
    program.ok(&[&ALL[..], more].concat(), "")
}

#[test]
fn lines_become_records_and_are_counted() {
    let program = Program::with_topic("t", 1);
    let assert = program.run(&["produce", "--topic", "t"], "one\ntwo\r\n\nlast").success().stdout("");
    let reported = crate::program::text(&assert.get_output().stderr);
    assert!(reported.starts_with("4 records, 14 bytes in "), "{reported}");
    assert_eq!(printed(&program, &[]), "one\ntwo\n\nlast\n");
    let sum = program.ok(&["produce", "--topic", "t", "--json"], "x\n");
    let sum: serde_json::Value = serde_json::from_str(&sum).unwrap();
    assert_eq!((&sum["records"], &sum["bytes"]), (&1.into(), &2.into()));
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are() {
    let program = Program::with_topic("t", 1);
    let mut command = program.command(&["produce", "--topic", "t", "--property", "parse.key=true"]);
    ended(command.write_stdin(b"\xff\t\xc3\n".to_vec())).success();
    let mut consume = program.command(&[&ALL[..], &["--property", "print.key=true"]].concat());
    ended(&mut consume).success().stdout(b"\xff\t\xc3\n".to_vec());
}

#[test]
fn one_is_not_several() {
    let program = Program::with_topic("t", 1);
    let reported = |run: assert_cmd::assert::Assert| crate::program::text(&run.success().get_output().stderr);
    let said = reported(program.run(&["produce", "--topic", "t"], "x"));
    assert!(said.starts_with("1 record, 1 byte in "), "{said}");
    let perf = ["perf", "produce", "--topic", "t", "--num-records", "1", "--record-size", "9"];
    assert!(program.ok(&perf, "").starts_with("1 record sent, "));
    let said = program.fails(1, &["produce", "--topic", "t", "--property", "parse.key=true"], "a\tb\nc\n");
    assert!(said.contains("; the 1 line before it is in the log"), "{said}");
    let said = reported(program.run(&["verify"], ""));
    assert!(said.contains("2 partitions, 2 segments, ") && said.contains(" records, "), "{said}");
    let all = program.ok(&["export", "--full"], "");
    let one: String = all
        .lines()
        .filter(|line| !line.contains("\"offset\":1") && !line.contains("\"offset\":2"))
        .collect::<Vec<_>>()
        .join("\n");
    let one = one.replace("\"lso\":3,\"hw\":3", "\"lso\":1,\"hw\":1");
    let copy = program.dir.path().join("copy");
    let said = program.ok(&["import", "--dir", copy.to_str().unwrap()], &one);
    assert_eq!(said, "Imported 1 record of 1 topic, and the positions of 0 groups.\n");
    let mirror = program.dir.path().join("mirror");
    let said = program.ok(&["mirror", "--dir", copy.to_str().unwrap(), "--to", mirror.to_str().unwrap()], "");
    assert!(
        said.contains("1 record, from offset 0 to 1") && said.contains("Copied 1 record of 1 partition."),
        "{said}"
    );
    let said = program.ok(&["topics", "--alter", "--topic", "t", "--partitions", "2"], "");
    assert_eq!(said, "Topic t has 2 partitions now.\n");
    let said = program.ok(&["log-dirs", "--topic-list", "t", "--dir", copy.to_str().unwrap()], "");
    assert!(said.ends_with(" in 1 partition\n"), "{said}");
}

#[test]
fn keys_and_headers_are_cut_off() {
    let program = Program::with_topic("t", 1);
    let cut = ["produce", "--topic", "t", "--property", "parse.key=true", "--property", "key.separator=:"];
    program.ok(&cut, "order-17:paid\norder-18:a:b\n");
    let cut = [&cut[..], &["--property", "parse.headers=true", "--property", "null.marker=NIL"]].concat();
    program.ok(&cut, "a:1,b:2\tk:v\nNIL\tgone:NIL\n");
    let columns = ["--property", "print.key=true", "--property", "print.headers=true"];
    let expected =
        "NO_HEADERS\torder-17\tpaid\nNO_HEADERS\torder-18\ta:b\na:1,b:2\tk\tv\nNO_HEADERS\tgone\tnull\n";
    assert_eq!(printed(&program, &columns), expected);
}

#[test]
fn lines_are_cut_as_the_table_of_kafkas_reader_says() {
    cutting::assert_all("the program", &cutting::ours());
}

#[test]
fn a_line_that_cannot_be_cut_ends_it_and_the_lines_before_are_in_the_log() {
    let program = Program::with_topic("t", 1);
    let cut = ["produce", "--topic", "t", "--property", "parse.key=true"];
    let reported = program.fails(1, &cut, "a\t1\nb\t2\nc 3\nd\t4\n");
    let reason = "line 3: no key.separator (\"\\t\") after the key; the 2 lines before it are in the log";
    assert!(reported.contains(reason), "{reported}");
    assert_eq!(printed(&program, &[]), "1\n2\n");
}

#[test]
fn any_bytes_get_in_and_out_unchanged() {
    let program = Program::with_topic("t", 1);
    let bytes: Vec<u8> =
        (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).chain([b'\n']).collect();
    let mut command = program.command(&["produce", "--topic", "t", "--binary"]);
    ended(command.write_stdin(bytes.clone())).success();
    ended(&mut program.command(&ALL)).success().stdout(bytes.clone());

    let assert = ended(program.command(&["produce", "--topic", "t"]).write_stdin(bytes)).code(1);
    let reported = crate::program::text(&assert.get_output().stderr);
    assert!(reported.contains("the input is no text: byte 0 is 0; with --binary"), "{reported}");
}

#[test]
fn a_file_is_read_and_a_missing_one_named() {
    let program = Program::with_topic("t", 3);
    let file = program.dir.path().join("lines");
    let lines: Vec<String> = (0..100_000).map(|n| format!("line {n}\n")).collect();
    let lines = lines.concat();
    fs::write(&file, &lines).unwrap();
    let file = file.to_str().unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        program.ok(
            &["produce", "--topic", "t", "--file", file, "--partition", "1", "--compression-codec", codec],
            "",
        );
    }
    program.ok(&["produce", "--topic", "t", "--file", file, "--partition", "1", "--acks", "all"], "");
    assert!(printed(&program, &["--partition", "1"]) == lines.repeat(6), "other lines");
    assert_eq!(program.ok(&["offsets", "--topic", "t"], ""), "t:0:0\nt:1:600000\nt:2:0\n");

    let produce = ["produce", "--topic", "t", "--file"];
    let reported = program.fails(1, &[&produce[..], &["/nowhere/x"]].concat(), "");
    assert!(reported.contains("cannot read /nowhere/x: ") && !reported.contains("os error"), "{reported}");
    let reported = program.fails(1, &[&produce[..], &["/"]].concat(), "");
    assert!(
        reported.contains(if cfg!(unix) { "cannot read /: it is a directory" } else { "cannot read /: " }),
        "{reported}"
    );
}

#[test]
fn each_line_by_itself() {
    // Batches and their records, as they were written.
    let batches = |more: &[&str]| {
        let program = Program::with_topic("t", 1);
        program.ok(&[&["produce", "--topic", "t", "--durability", "synced"], more].concat(), "a\nb\nc\n");
        assert_eq!(printed(&program, &[]), "a\nb\nc\n");
        let mut file = LogFile::open(program.log().join("t-0/00000000000000000000.log")).unwrap();
        let mut next = || file.next_batch().unwrap().map(|batch| batch.record_count().unwrap());
        std::iter::from_fn(&mut next).collect::<Vec<_>>()
    };
    assert_eq!(batches(&["--sync"]), [1, 1, 1]);
    assert_eq!(batches(&[]), [3], "what was read at once is written at once");
}

#[test]
fn wrong_values_are_named() {
    let program = Program::with_topic("t", 1);
    let long = "x".repeat(2_000_000);
    for (code, more, input, reason) in [
        (
            2,
            &["--property", "parse.keys=true"][..],
            "",
            "there is no property \"parse.keys\"; there are parse.key,",
        ),
        (2, &["--property", "parse.key=yes"], "", "parse.key is true or false, not \"yes\""),
        (
            2,
            &["--property", "headers.delimiter=,"],
            "",
            "headers.delimiter and headers.separator are both \",\", but may not be equal",
        ),
        (2, &["--acks", "2"], "", "possible values: 0, 1, all"),
        (2, &["--producer-property", "acks=2"], "", "acks is 0, 1 or all, not \"2\""),
        (2, &["--producer-property", "batch.size=big"], "", "batch.size takes a whole number"),
        (2, &["--durability", "perhaps"], "", "give buffered, synced, or a number of milliseconds"),
        (2, &["--compression-codec", "rar"], "", "possible values: none, gzip, snappy, lz4, zstd"),
        (1, &["--partition", "7"], "", "partition \"t-7\" does not exist"),
        (1, &[], &long, "line 1: "),
    ] {
        let reported = program.fails(code, &[&["produce", "--topic", "t"], more].concat(), input);
        assert!(reported.contains(reason), "{more:?}: {reported}");
    }
    let reported = program.fails(1, &["produce", "--topic", "x"], "");
    assert!(reported.contains("topic \"x\" does not exist"), "{reported}");
    assert_eq!(printed(&program, &[]), "");
}

#[test]
fn the_line_that_is_too_large_is_named() {
    if !cfg!(feature = "lz4") {
        eprintln!("skipped: nothing is compressed without a codec");
        return;
    }
    let program = Program::with_topic("t", 1);
    // Letters of all kinds: compressed it is larger than a batch may be, too.
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 33).to_le_bytes()[0] % 94)
    };
    let noise: String = (0..1_600_000).map(|_| letter()).collect();
    let input = format!("one\n{}\nthree\n{noise}\nfive\n", "x".repeat(2_000_000));
    for more in [&["--sync"][..], &[]] {
        let reported = program.fails(
            1,
            &[&["produce", "--topic", "t", "--compression-codec", "lz4"], more].concat(),
            &input,
        );
        assert!(reported.contains("line 4: ") && reported.contains("the limit is 1048588"), "{reported}");
        assert!(reported.contains("the 3 lines before it are in the log"), "{reported}");
    }
    assert_eq!(printed(&program, &[]).lines().count(), 6);
}
