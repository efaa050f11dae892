//! Runs the scripts of this directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// What `kafka-adopt` prints, by its `type`.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) topics: Vec<Value>,
    pub(crate) records: Vec<Value>,
    pub(crate) produced: Vec<Value>,
}

/// Whether there is no Kafka to ask; says so.
pub(crate) fn kafka_is_missing() -> bool {
    let there =
        |program| Command::new(program).arg("-version").output().is_ok_and(|out| out.status.success());
    let missing = !(there("java") && there("mvn"));
    if missing {
        eprintln!("skipped: java and mvn are needed");
    }
    missing
}

/// Has Kafka's own tool look at every file of a closed directory.
pub(crate) fn check(dir: &Path) {
    let output = run("kafka-check", &[dir]);
    assert!(output.status.success(), "kafka-check {}:\n{}", dir.display(), text(&output));
}

/// The same, where a topic was compacted.
pub(crate) fn check_compacted(dir: &Path, topic: &str) {
    let output = run("kafka-check", &[Path::new("--gaps-ok"), Path::new(topic), dir]);
    assert!(output.status.success(), "kafka-check {}:\n{}", dir.display(), text(&output));
}

/// Has a broker take over a copy of a closed directory, and tells what it serves. The copy, with what the broker wrote,
/// is left at `keep`.
pub(crate) fn adopt(dir: &Path, keep: Option<&Path>) -> Served {
    let mut arguments = Vec::new();
    if let Some(keep) = keep {
        arguments.extend([Path::new("--keep"), keep]);
    }
    arguments.push(dir);
    let output = run("kafka-adopt", &arguments);
    assert!(output.status.success(), "kafka-adopt {}:\n{}", dir.display(), text(&output));

    let mut served = Served::default();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["type"].as_str().unwrap() {
            "topic" => served.topics.push(line),
            "record" => served.records.push(line),
            "produced" => served.produced.push(line),
            other => assert_eq!(other, "group"),
        }
    }
    served
}

/// Starts a broker on a copy of a closed directory, which is under `work` as long as the broker runs: it serves
/// everything and produces one record per partition.
pub(crate) fn start(dir: &Path, work: &Path) -> Child {
    let mut command = command("kafka-adopt", &[dir]);
    command.env("TMPDIR", work).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn run(script: &str, arguments: &[&Path]) -> Output {
    command(script, arguments).output().unwrap()
}

fn command(script: &str, arguments: &[&Path]) -> Command {
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "kafka", script].iter().collect();
    let mut command = Command::new(script);
    if std::env::var_os("KAFKA_TIMEOUT").is_none() {
        // Other tests run beside this one, and Kafka may have to be fetched first.
        command.env("KAFKA_TIMEOUT", "300");
    }
    command.args(arguments);
    command
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    let all = String::from_utf8_lossy(&all);
    // The end says what went wrong; before it there may be thousands of records.
    let lines: Vec<_> = all.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
