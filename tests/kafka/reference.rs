//! Runs the scripts of this directory, one broker at a time.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::common::root;
use serde_json::Value;

/// What `kafka-adopt` prints, by its `type`.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) topics: Vec<Value>,
    pub(crate) records: Vec<Value>,
    pub(crate) groups: Vec<Value>,
    pub(crate) times: Vec<Value>,
    pub(crate) continued: Vec<Value>,
    pub(crate) produced: Vec<Value>,
}

impl Served {
    fn parse(lines: &[u8]) -> Self {
        let mut served = Self::default();
        for line in str::from_utf8(lines).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let kind = match line["type"].as_str().unwrap() {
                "topic" => &mut served.topics,
                "record" => &mut served.records,
                "group" => &mut served.groups,
                "time" => &mut served.times,
                "continued" => &mut served.continued,
                "produced" => &mut served.produced,
                other => panic!("{other}"),
            };
            kind.push(line);
        }
        served
    }

    /// Asserts that both serve the same topics and records.
    pub(crate) fn assert_same(&self, ours: &Self) {
        assert_equal(&self.topics, &ours.topics);
        assert_equal(&self.records, &ours.records);
    }
}

/// One by one, so that a failure shows what differs and not all there is.
pub(crate) fn assert_equal(theirs: &[Value], ours: &[Value]) {
    for (theirs, ours) in theirs.iter().zip(ours) {
        assert_eq!(theirs, ours);
    }
    assert_eq!(theirs.len(), ours.len());
}

/// What `STRATALOG_KAFKA` says.
fn wanted() -> Option<OsString> {
    std::env::var_os("STRATALOG_KAFKA").filter(|wanted| !wanted.is_empty())
}

/// Whether Kafka is not to be asked, because `STRATALOG_KAFKA` is not set; says so.
pub(crate) fn kafka_is_not_asked() -> bool {
    if wanted().is_none() {
        skipped("STRATALOG_KAFKA=short has Kafka asked");
        return true;
    }
    let there =
        |program| Command::new(program).arg("-version").output().is_ok_and(|out| out.status.success());
    assert!(there("java") && there("mvn"), "STRATALOG_KAFKA is set: java and mvn are needed");
    false
}

/// Says so past the harness, which shows nothing of tests that pass.
pub(crate) fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::io::stderr().write_all(format!("skipped {name}: {why}\n").as_bytes()).unwrap();
}

/// Whether everything is to be tried, or one of a kind: `STRATALOG_KAFKA=full`.
pub(crate) fn in_full() -> bool {
    wanted().is_some_and(|wanted| wanted == "full")
}

/// Whether this is left out because `STRATALOG_KAFKA` has none of these values; says so.
pub(crate) fn is_left_out_but_for(values: &[&str]) -> bool {
    let is_left_out = !wanted().is_some_and(|wanted| values.iter().any(|value| wanted == *value));
    if is_left_out {
        skipped(&format!("STRATALOG_KAFKA={} has it run", values[0]));
    }
    is_left_out || kafka_is_not_asked()
}

/// The Kafka that answers.
pub(crate) fn version() -> String {
    std::env::var("KAFKA_VERSION").unwrap_or_else(|_| "4.1.0".to_owned())
}

/// Held while a broker runs: two at once would take the machine from each other.
fn alone() -> MutexGuard<'static, ()> {
    static BROKER: Mutex<()> = Mutex::new(());
    BROKER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something while no other broker runs.
pub(crate) fn alone_with<R>(act: impl FnOnce() -> R) -> R {
    let _alone = alone();
    act()
}

/// Has Kafka's own tool check every file of a closed directory. Offsets may have gaps in compacted topics.
pub(crate) fn check(dir: &Path) {
    check_compacted(dir, "state,compacted");
}

pub(crate) fn check_compacted(dir: &Path, compacted: &str) {
    let output = run("kafka-check", [OsStr::new("--gaps-ok"), OsStr::new(compacted), dir.as_os_str()]);
    assert!(output.status.success(), "kafka-check {}:\n{}", dir.display(), text(&output));
}

/// What Kafka's own tool finds wrong.
pub(crate) fn check_finds(dir: &Path) -> String {
    let output = run("kafka-check", [dir.as_os_str()]);
    assert!(!output.status.success(), "kafka-check {}: nothing is wrong", dir.display());
    text(&output)
}

/// A broker that takes over a copy of a closed directory.
#[derive(Debug)]
pub(crate) struct Adoption {
    command: Command,
}

impl Adoption {
    pub(crate) fn new() -> Self {
        Self { command: command("kafka-adopt") }
    }

    fn option(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.arg(name).arg(value);
        self
    }

    /// Leaves the copy, with what the broker wrote, at this place.
    pub(crate) fn keep(self, at: &Path) -> Self {
        self.option("--keep", at)
    }

    /// Produces nothing.
    pub(crate) fn quiet(mut self) -> Self {
        self.command.arg("--no-produce");
        self
    }

    /// Starts with the properties in this file.
    pub(crate) fn properties(self, file: &Path) -> Self {
        self.option("--properties", file)
    }

    /// Has a member of the group continue with the topic.
    pub(crate) fn continued(self, group: &str, topic: &str) -> Self {
        self.option("--continue", format!("{group}:{topic}"))
    }

    /// Looks up the times in this file.
    pub(crate) fn times(self, file: &Path) -> Self {
        self.option("--times", file)
    }

    /// Waits until the group has expired.
    pub(crate) fn gone(self, group: &str) -> Self {
        self.option("--gone", group)
    }

    /// Reports the broker otherwise than is held back here.
    pub(crate) fn extra(mut self, properties: &str) -> Self {
        self.command.env("KAFKA_EXTRA", properties);
        self
    }

    /// Holds nothing back: retention and expiry are a stock broker's.
    pub(crate) fn stock(mut self) -> Self {
        self.command.env("KAFKA_STOCK", "1");
        self
    }

    fn output(mut self, dir: &Path) -> Output {
        let _alone = alone();
        self.command.arg(dir).output().unwrap()
    }

    /// What the broker serves.
    pub(crate) fn of(self, dir: &Path) -> Served {
        let output = self.output(dir);
        assert!(output.status.success(), "kafka-adopt {}:\n{}", dir.display(), text(&output));
        Served::parse(&output.stdout)
    }

    /// Why the broker does not serve it all.
    pub(crate) fn fails(self, dir: &Path) -> String {
        let output = self.output(dir);
        assert!(!output.status.success(), "kafka-adopt {}: served it all", dir.display());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// Has a broker take over a copy of a closed directory, and reports what it serves. The copy, with what the broker wrote,
/// is left at `keep`.
pub(crate) fn adopt(dir: &Path, keep: Option<&Path>) -> Served {
    let adoption = Adoption::new();
    keep.map_or(Adoption::new(), |at| adoption.keep(at)).of(dir)
}

/// Has a broker make and fill a directory.
pub(crate) fn fill(dir: &Path, options: &[&str]) {
    let _alone = alone();
    let output = command("kafka-fill").args(options).arg(dir).output().unwrap();
    assert!(output.status.success(), "kafka-fill {options:?}:\n{}", text(&output));
}

/// A broker that runs beside the test. No other does meanwhile.
pub(crate) struct Running {
    pub(crate) script: Child,
    _alone: MutexGuard<'static, ()>,
}

/// Starts a broker on a copy of a closed directory, which is under `work` as long as the broker runs: it serves
/// everything and produces one record per partition.
pub(crate) fn start(dir: &Path, work: &Path) -> Running {
    let alone = alone();
    let mut command = command("kafka-adopt");
    command.arg(dir).env("TMPDIR", work).stdout(Stdio::null()).stderr(Stdio::null());
    Running { script: command.spawn().unwrap(), _alone: alone }
}

/// Has one of the Java programs here compute something from lines of text.
pub(crate) fn compute(program: &str, lines: &str) -> String {
    compute_with(&[], program, lines)
}

/// The same with the classes of Kafka's command line tools.
pub(crate) fn compute_with_tools(program: &str, lines: &str) -> String {
    compute_with(&["--tools"], program, lines)
}

fn compute_with(options: &[&str], program: &str, lines: &str) -> String {
    let mut command = command("kafka-compute");
    command.args(options);
    let child = command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut input, lines.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program}:\n{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    })
}

fn run<'a>(script: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Output {
    command(script).args(arguments).output().unwrap()
}

fn command(script: &str) -> Command {
    let script: PathBuf = root().join("tests/kafka").join(script);
    let mut command = Command::new(script);
    command.env("KAFKA_VERSION", version());
    if std::env::var_os("KAFKA_TIMEOUT").is_none() {
        // Other tests run beside this one, and Kafka may have to be fetched first.
        command.env("KAFKA_TIMEOUT", "300");
    }
    command
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    let all = String::from_utf8_lossy(&all);
    // The end says what went wrong; before it there may be thousands of records.
    let lines: Vec<_> = all.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Two free ports.
pub(crate) fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
