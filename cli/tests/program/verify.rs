//! `verify`: one line per problem, and exit codes that scripts can use.

use serde_json::Value;

use crate::program::Program;
use crate::{common, fill, slashed, vectors};

#[test]
fn nothing_is_printed_of_healthy_directories() {
    let program = Program::new();
    fill(&program.log());
    assert_eq!(program.ok(&["verify"], ""), "");
    for dir in ["broker/clean-4.1/logdir", "broker/killed-4.1/logdir", "catalog/logdir"] {
        let dir = vectors(dir);
        assert_eq!(program.ok(&["verify", "--dir", dir.to_str().unwrap()], ""), "");
    }
}

#[test]
fn problems_are_lines_with_file_and_position() {
    let program = Program::new();
    common::copy(&vectors("broker/clean-4.1/logdir"), &program.log());
    let log = program.log().join("codecs-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let assert = program.run(&["verify"], "").code(1);
    let output = assert.get_output();
    let (printed, reported) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(
        slashed(&printed)
            .contains("/codecs-0/00000000000000000000.log at byte 0: the checksum does not match"),
        "{printed}"
    );
    assert!(reported.contains("1 problem") && reported.contains("25 partitions"), "{reported}");

    let assert = program.run(&["verify", "--json"], "").code(1);
    let printed = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[0]["kind"]), (&"problem".into(), &"log".into()));
    assert_eq!((&lines[0]["position"], &lines[0]["offset"]), (&0.into(), &0.into()));
    assert_eq!((&lines[1]["type"], &lines[1]["problems"]), (&"summary".into(), &1.into()));
    assert_eq!(program.ok(&["verify", "--topic", "tx,rolled"], ""), "");
    assert!(
        program
            .fails(1, &["verify", "--topic", "tx,missing"], "")
            .contains("topic \"missing\" does not exist")
    );
}

/// A way to make a directory wrong, or to keep a part of it from being checked.
type Harm = fn(&std::path::Path);

const HARMS: &[(&str, Harm)] = &[
    ("no directory", |dir| std::fs::remove_dir_all(dir).unwrap()),
    ("an empty directory", |dir| {
        std::fs::remove_dir_all(dir).unwrap();
        std::fs::create_dir(dir).unwrap();
    }),
    ("no metadata log", |dir| std::fs::remove_dir_all(dir.join("__cluster_metadata-0")).unwrap()),
    ("nor where a broker would begin", |dir| {
        std::fs::remove_dir_all(dir.join("__cluster_metadata-0")).unwrap();
        std::fs::remove_file(dir.join("bootstrap.checkpoint")).unwrap();
    }),
    ("a file for the metadata log", |dir| put_file(&dir.join("__cluster_metadata-0"))),
    ("no identity", |dir| std::fs::remove_file(dir.join("meta.properties")).unwrap()),
    ("nothing but an identity", |dir| {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                std::fs::remove_dir_all(entry).unwrap();
            } else if !entry.ends_with("meta.properties") {
                std::fs::remove_file(entry).unwrap();
            }
        }
    }),
    ("no directory of a partition", |dir| std::fs::remove_dir_all(dir.join("codecs-0")).unwrap()),
    ("a file for the directory of a partition", |dir| put_file(&dir.join("codecs-0"))),
    ("an empty directory of a partition", |dir| {
        std::fs::remove_dir_all(dir.join("codecs-0")).unwrap();
        std::fs::create_dir(dir.join("codecs-0")).unwrap();
    }),
    ("a log file that is a directory", |dir| {
        let log = dir.join("codecs-0/00000000000000000000.log");
        std::fs::remove_file(&log).unwrap();
        std::fs::create_dir(log).unwrap();
    }),
    ("a log file that was cut", |dir| {
        let log = dir.join("codecs-0/00000000000000000000.log");
        std::fs::OpenOptions::new().write(true).open(log).unwrap().set_len(100).unwrap();
    }),
    #[cfg(unix)]
    ("a link for the directory of a partition", |dir| {
        let aside = dir.parent().unwrap().join("aside");
        std::fs::rename(dir.join("codecs-0"), &aside).unwrap();
        std::os::unix::fs::symlink(&aside, dir.join("codecs-0")).unwrap();
    }),
    #[cfg(target_os = "linux")]
    ("a directory whose name is no text", |dir| {
        use std::os::unix::ffi::OsStrExt as _;
        std::fs::create_dir(dir.join(std::ffi::OsStr::from_bytes(b"\xff-0"))).unwrap();
    }),
];

fn put_file(at: &std::path::Path) {
    std::fs::remove_dir_all(at).unwrap();
    std::fs::write(at, "").unwrap();
}

#[test]
fn whatever_is_wrong_or_cannot_be_checked_is_exit_code_1() {
    for (what, harm) in HARMS {
        let program = Program::new();
        common::copy(&vectors("broker/clean-4.1/logdir"), &program.log());
        assert_eq!(program.ok(&["verify"], ""), "");
        harm(&program.log());
        for more in [&[][..], &["--json"], &["--topic", "codecs"], &["--repair"]] {
            let run = program.run(&[&["verify"], more].concat(), "");
            let reported = crate::program::text(&run.get_output().stderr);
            assert_eq!(run.get_output().status.code(), Some(1), "{what} {more:?}: {reported}");
            assert!(reported.contains("error: "), "{what} {more:?}: {reported}");
        }
    }
}

/// The reader of the output goes away before, or while, anything is printed.
#[cfg(unix)]
#[test]
fn what_is_wrong_counts_also_when_the_output_is_closed() {
    let program = Program::new();
    common::copy(&vectors("broker/clean-4.1/logdir"), &program.log());
    let verify = |program: &Program| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stratalog"));
        command.args(["verify", "--json"]).env("STRATALOG_DIR", program.log());
        command.stdout(writer).stderr(std::process::Stdio::null()).status().unwrap().code()
    };
    assert_eq!(verify(&program), Some(0), "nothing is wrong");
    std::fs::write(program.log().join("codecs-0/00000000000000000000.index"), [9; 24]).unwrap();
    assert_eq!(verify(&program), Some(1));
}

#[test]
fn records_whose_codec_is_not_built_in_are_not_checked() {
    if cfg!(feature = "lz4") {
        eprintln!("skipped: every codec is built in");
        return;
    }
    let program = Program::new();
    common::copy(&vectors("broker/clean-4.1/logdir"), &program.log());
    assert!(program.fails(1, &["verify"], "").contains("not checked: their codec is not built in"));
}

#[test]
fn what_a_timestamp_in_the_future_keeps_is_shown_and_no_problem() {
    let program = Program::with_old_record_beside_the_future();
    let assert = program.run(&["verify"], "").code(0);
    let reported = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(slashed(&reported).contains("t-0/00000000000000000000.log is old, but kept"), "{reported}");
    let printed = program.ok(&["verify", "--json"], "");
    let first: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["type"], &first["timestamp"]),
        (&"keptByFutureTimestamp".into(), &253_402_300_800_000_i64.into())
    );
}

#[test]
fn what_is_derived_is_repaired() {
    let program = Program::new();
    common::copy(&vectors("broker/clean-4.1/logdir"), &program.log());
    let index = program.log().join("codecs-0/00000000000000000000.index");
    std::fs::write(&index, [9; 24]).unwrap();
    assert!(program.fails(1, &["verify"], "").contains("1 problem"));
    let printed = program.ok(&["verify", "--repair"], "");
    assert!(
        slashed(&printed).contains("codecs-0/00000000000000000000.index") && printed.contains("; repaired"),
        "{printed}"
    );
    assert_eq!(program.ok(&["verify"], ""), "");
}

#[test]
fn what_cannot_be_verified_is_reported() {
    let program = Program::new();
    assert!(program.fails(1, &["verify"], "").contains("cannot open directory"));
    std::fs::write(program.log(), "").unwrap();
    assert!(program.fails(1, &["verify"], "").contains("is not a directory"));
    std::fs::remove_file(program.log()).unwrap();
    fill(&program.log());
    let log = stratalog::EventLog::open(program.log()).unwrap();
    assert_eq!(program.ok(&["verify"], ""), "", "beside a writer");
    assert!(program.fails(1, &["verify", "--repair"], "").contains("is held by"));
    log.close().unwrap();
}

#[test]
fn a_batch_that_decompresses_to_too_much_is_a_problem_with_its_reason() {
    if !cfg!(feature = "lz4") {
        eprintln!("skipped: nothing is compressed without a codec");
        return;
    }
    let program = Program::with_topic("t", 1);
    let line = format!("{}\n", "x".repeat(200_000));
    program.ok(&["produce", "--topic", "t", "--compression-codec", "lz4"], &line);
    assert_eq!(program.ok(&["verify"], ""), "");
    let limited = ["--max-decompressed-batch-bytes", "100000"];
    let assert = program.run(&[&["verify"], &limited[..]].concat(), "").code(1);
    let output = assert.get_output();
    let (printed, reported) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("at byte 0: the records decompress to more than 100000 bytes"), "{printed}");
    assert!(reported.contains("1 problem") && !reported.contains("built in"), "{reported}");
    let consume = ["consume", "--topic", "t", "--from-beginning", "--until-end"];
    let refused = program.fails(1, &[&consume[..], &limited].concat(), "");
    assert!(refused.contains("max_decompressed_batch_bytes"), "{refused}");
    assert_eq!(program.ok(&consume, ""), line);
    let dump = ["dump", "--topic", "t", "--deep-iteration"];
    assert!(program.fails(1, &[&dump[..], &limited].concat(), "").contains("cannot be read"));
    program.ok(&dump, "");
}
