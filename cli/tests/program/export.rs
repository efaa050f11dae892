//! `export`: line by line what brokers served.

use serde_json::Value;

use crate::program::Program;
use crate::{fill, vectors};

fn exported(program: &Program, arguments: &[&str]) -> Vec<Value> {
    let printed = program.ok(&[&["export"], arguments].concat(), "");
    printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
}

fn all_codecs() -> bool {
    cfg!(feature = "gzip") && cfg!(feature = "snappy") && cfg!(feature = "lz4") && cfg!(feature = "zstd")
}

/// The help proposes it for two logs of the same records.
#[cfg(unix)]
#[test]
fn the_diff_of_the_help_is_empty_for_the_same_records_and_not_for_others() {
    let program = Program::new();
    let (a, b) = (program.dir.path().join("a"), program.dir.path().join("b"));
    fill(&a);
    let all = program.ok(&["export", "--full", "--dir", a.to_str().unwrap()], "");
    let b = b.to_str().unwrap();
    program.ok(&["import", "--dir", b], &all);
    let help = program.ok(&["export", "--help"], "");
    let lines: Vec<&str> = help.lines().skip_while(|line| !line.contains("for dir in a b")).take(2).collect();
    let script = lines.join("\n").replace("stratalog", env!("CARGO_BIN_EXE_stratalog"));
    let diff = || {
        let mut bash = std::process::Command::new("bash");
        let run = bash.args(["-c", &script]).current_dir(program.dir.path()).output().unwrap();
        assert_eq!(crate::program::text(&run.stderr), "");
        (run.status.code().unwrap(), crate::program::text(&run.stdout))
    };
    assert_eq!(diff(), (0, String::new()), "{script}");
    let records = std::fs::read_to_string(program.dir.path().join("a.records")).unwrap();
    assert!(records.lines().count() > 50, "{records}");
    program.ok(&["produce", "--topic", "orders", "--dir", b], "one more\n");
    let (code, printed) = diff();
    assert!(code == 1 && printed.lines().count() == 2, "{printed}");
}

#[test]
fn directories_of_brokers_are_exported_as_brokers_serve_them() {
    if !all_codecs() {
        eprintln!("skipped: the directories hold batches of every codec");
        return;
    }
    let program = Program::new();
    for name in ["clean-4.1", "killed-4.1"] {
        let folder = vectors("broker").join(name);
        let text = std::fs::read(folder.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&text).unwrap();
        let dir = folder.join("logdir");
        let lines = exported(&program, &["--dir", dir.to_str().unwrap()]);
        let mut lines = lines.into_iter();
        for kind in ["topic", "record", "group"] {
            for theirs in expected[format!("{kind}s")].as_array().unwrap() {
                let mut ours = lines.next().unwrap();
                assert_eq!(ours.as_object_mut().unwrap().remove("type").unwrap(), kind);
                assert_eq!(&ours, theirs, "{name}");
            }
        }
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn lines_are_byte_for_byte_those_of_a_broker() {
    if !all_codecs() {
        eprintln!("skipped: the directory holds batches of every codec");
        return;
    }
    let program = Program::new();
    let dir = vectors("catalog/logdir");
    let served = std::fs::read_to_string(vectors("catalog/served.jsonl")).unwrap();
    let printed = program.ok(&["export", "--dir", dir.to_str().unwrap()], "");
    let produced = r#"{"type":"produced""#;
    let served: Vec<_> = served.lines().filter(|line| !line.starts_with(produced)).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), served);
}

#[test]
fn topics_and_internal_records_are_chosen() {
    let program = Program::new();
    let dir = vectors("broker/clean-4.1/logdir");
    let dir = dir.to_str().unwrap();
    let lines = exported(&program, &["--dir", dir, "--topic", "appendtime|empty"]);
    assert!(lines.iter().all(|line| line["topic"] == "appendtime" || line["topic"] == "empty"));
    assert_eq!(lines.iter().filter(|line| line["type"] == "topic").count(), 2);
    let internal = exported(&program, &["--dir", dir, "--internal", "--topic", "__consumer_offsets"]);
    assert!(internal.iter().any(|line| line["type"] == "record"));
    let without = exported(&program, &["--dir", dir, "--topic", "__consumer_offsets"]);
    assert!(without.iter().all(|line| line["type"] == "topic"));
    let reported = program.fails(1, &["export", "--dir", dir, "--topic", "missing"], "");
    assert!(reported.contains("topic \"missing\" does not exist"), "{reported}");
}

#[test]
fn long_values_are_whole_if_wanted() {
    let program = Program::new();
    fill(&program.log());
    let short = program.ok(&["export", "--topic", "orders"], "");
    assert!(short.contains(r#""value":"sha256:"#) && short.contains(r#"/500""#));
    let full = program.ok(&["export", "--topic", "orders", "--full"], "");
    assert!(!full.contains("sha256") && full.contains(&"6c6f6e6720".repeat(100)));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let program = Program::new();
    fill(&program.log());
    let mut process = program.start(&["export", "--full"]);
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
