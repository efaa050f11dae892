//! The commands in `docs/kafka.md`, run as stored, with ports that are free.
//!
//! Kafka's own scripts are not published with its jars: what they start is. The commands are
//! a Unix shell's.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::common;
use crate::reference::{self, kafka_is_not_asked, version};
use stratalog::{EventLog, Position, Record, TopicConfig};

/// The commands of the document, one text, each block as stored.
fn commands() -> String {
    let document = include_str!("../../../docs/kafka.md");
    let blocks = document.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.collect()
}

/// A program of this name that runs the line.
fn shim(folder: &Path, name: &str, line: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/bash\n{line}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn fill(dir: &Path) {
    let log = EventLog::open(dir).unwrap();
    let orders = log.create_topic("orders", TopicConfig::new()).unwrap();
    for value in ["paid", "sent", "returned"] {
        log.producer().unwrap().send(&orders, Record::new(value)).unwrap();
    }
    log.group("billing").unwrap().set_committed([Position::new(("orders", 0), 2)]).unwrap();
    log.close().unwrap();
}

#[test]
fn the_commands_of_the_document_do_what_it_says() {
    let program = env!("CARGO_BIN_EXE_stratalog");
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("data"));
    let shims = dir.path().join("bin");
    fs::create_dir(&shims).unwrap();
    shim(&shims, "stratalog", &format!("exec {program} \"$@\""));
    let scripts = common::root().join("tests/kafka/kafka-scripts").display().to_string();
    for name in [
        "kafka-server-start.sh",
        "kafka-server-stop.sh",
        "kafka-console-consumer.sh",
        "kafka-consumer-groups.sh",
    ] {
        shim(&shims, name, &format!("exec {scripts} {name} \"$@\""));
    }
    let [client, controller] = reference::free_ports();
    let script = commands()
        .replace("--kafka 4.1", &format!("--kafka {} --controller localhost:{controller}", version()))
        .replace(" > server.properties", &format!(" --listener localhost:{client} > server.properties"))
        .replace("localhost:9092", &format!("localhost:{client}"));
    assert!(script.contains("stratalog handover --dir data") && script.contains("stratalog topics --list"));

    let path = format!("{}:{}", shims.display(), std::env::var("PATH").unwrap());
    let output = reference::alone_with(|| {
        let mut bash = Command::new("bash");
        bash.args(["-euc", &format!("trap 'kafka-server-stop.sh || true' EXIT\n{script}")]);
        bash.current_dir(dir.path()).env("PATH", path).env("KAFKA_VERSION", version());
        bash.output().unwrap()
    });
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{out}\n{err}");
    assert!(err.contains("ready for Kafka"), "the handover reports what it did: {err}");
    assert!(out.starts_with("paid\nsent\nreturned\n"), "{out}");
    assert!(out.lines().any(|line| line == "orders"), "our own list, of what the broker left: {out}");
    // Topic, partition, current offset, log end, lag.
    let group =
        out.lines().find(|line| line.starts_with("billing")).unwrap_or_else(|| panic!("{out}\n{err}"));
    let columns: Vec<_> = group.split_whitespace().collect();
    assert_eq!(columns[..6], ["billing", "orders", "0", "2", "3", "1"]);
}
