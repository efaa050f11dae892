//! The program under test, on a directory of its own.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use stratalog::{EventLog, Maintenance, Record, Timestamp, TopicConfig};
use tempfile::TempDir;

use crate::common::started;

pub(crate) struct Program {
    pub(crate) dir: TempDir,
}

/// As a user starts it, without anything that the tests are run with.
const EXE: &str = env!("CARGO_BIN_EXE_stratalog");

impl Program {
    /// Without a log in the directory.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn with_topic(name: &str, partitions: u32) -> Self {
        let program = Self::new();
        program.ok(&["topics", "--create", "--topic", name, "--partitions", &partitions.to_string()], "");
        program
    }

    /// With a topic `t` that keeps an hour: a record of 2020, and one of the year 10000.
    pub(crate) fn with_old_record_beside_the_future() -> Self {
        let program = Self::new();
        let log = EventLog::options().maintenance(Maintenance::Manual).open(program.log()).unwrap();
        let config = TopicConfig::new().retention(Duration::from_secs(3600));
        let forever = i64::MAX.to_string();
        let config = config.set("message.timestamp.after.max.ms", &forever).set("segment.ms", forever);
        let topic = log.create_topic("t", config).unwrap();
        let producer = log.producer().unwrap();
        for millis in [1_600_000_000_000, 253_402_300_800_000] {
            let record = Record::new("r").timestamp(Timestamp::from_millis(millis));
            producer.send(&topic, record).unwrap();
        }
        log.close().unwrap();
        program
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(EXE);
        command.env_remove("CLICOLOR_FORCE").env("STRATALOG_DIR", self.log()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Assert {
        ended(self.command(arguments).write_stdin(input))
    }

    /// What it prints when all goes well.
    pub(crate) fn ok(&self, arguments: &[&str], input: &str) -> String {
        text(&self.run(arguments, input).success().get_output().stdout)
    }

    /// What it complains of, with the exit code that it should have; nothing else is printed.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str], input: &str) -> String {
        let assert = self.run(arguments, input).code(code);
        let reported = text(&assert.get_output().stderr);
        assert!(!reported.contains("panicked"), "{reported}");
        reported
    }

    /// A process that continues beside the test.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut process = Process::new(EXE);
        process.env("STRATALOG_DIR", self.log()).args(arguments);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        started(|| process.spawn())
    }
}

/// Runs the command to its end.
pub(crate) fn ended(command: &mut Command) -> Assert {
    Assert::new(started(|| command.output())).append_context("command", format!("{command:?}"))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
