//! A disk that fills while lines are written: how many are in the log is reported, and they are.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::program::{Program, text};

#[test]
fn a_full_disk_is_reported_with_the_number_of_lines_that_are_in_the_log() {
    let program = Program::new();
    let dir = program.dir.path();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "stratalog-test"]).arg(dir).output();
    if !mounted.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a small file system cannot be mounted, which takes root: {mounted:?}");
        return;
    }
    let outcome = std::panic::catch_unwind(|| check(&program));
    assert!(Command::new("umount").arg("--lazy").arg(dir).status().unwrap().success());
    outcome.unwrap();
}

fn check(program: &Program) {
    program.ok(&["topics", "--create", "--topic", "t", "--partitions", "1"], "");
    let lines: Vec<String> = (0..200_000).map(|n| format!("line {n} {}\n", "x".repeat(80))).collect();
    let lines = lines.concat();
    let assert = program.run(&["produce", "--topic", "t"], &lines).code(1);
    let reported = text(&assert.get_output().stderr);
    assert!(reported.starts_with("error: no space left for "), "{reported}");
    let sum = reported.split("; ").nth(1).unwrap();
    let said: usize = sum.split(' ').next().unwrap().parse().unwrap();
    assert!(sum.contains(" lines that were read are in the log"), "{reported}");
    assert!(said > 10_000, "{reported}");
    let printed = program.ok(&["consume", "--topic", "t", "--from-beginning", "--until-end"], "");
    assert_eq!(printed.lines().count(), said);
    assert!(lines.starts_with(&printed), "they are the first ones");
}

/// By `ulimit -f`, whose signal would end the process without a word.
#[test]
fn output_that_becomes_longer_than_allowed_is_an_error_that_is_reported() {
    let program = Program::with_topic("t", 1);
    let lines: Vec<String> = (0..5000).map(|n| format!("line {n} {}\n", "x".repeat(80))).collect();
    program.ok(&["produce", "--topic", "t"], &lines.concat());
    let script = "ulimit -f 64; exec \"$0\" consume --topic t --from-beginning --until-end > \"$OUTPUT\"";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_stratalog")])
        .env("STRATALOG_DIR", program.log())
        .env("OUTPUT", program.dir.path().join("output"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{:?}", output.status);
    assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
}
