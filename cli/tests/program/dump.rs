//! `dump`: what it prints of which files. That it is what Kafka's tool prints is tested where Kafka is: `tests/kafka/dump.rs`.

use serde_json::Value;

use crate::program::Program;
use crate::{fill, slashed, vectors};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|failure| panic!("{line}: {failure}")))
        .collect()
}

#[test]
fn batches_and_records_of_the_manifest() {
    let manifest: Value = serde_json::from_slice(&std::fs::read(vectors("manifest.json")).unwrap()).unwrap();
    let program = Program::new();
    let mut batches = 0;
    for file in manifest["batches"].as_array().unwrap() {
        let name = file["file"].as_str().unwrap();
        let path = program.dir.path().join("00000000000000000000.log");
        std::fs::copy(vectors(name), &path).unwrap();
        let printed = program.ok(&["dump", "--json", path.to_str().unwrap()], "");
        let printed: Vec<_> = lines(&printed).into_iter().filter(|line| line["type"] == "batch").collect();
        let expected = file["batches"].as_array().unwrap();
        assert_eq!(printed.len(), expected.len(), "{name}");
        for (printed, expected) in printed.iter().zip(expected) {
            for name in [
                "baseOffset",
                "lastOffset",
                "baseSequence",
                "producerId",
                "producerEpoch",
                "partitionLeaderEpoch",
                "isTransactional",
                "isControl",
                "position",
                "maxTimestamp",
                "magic",
                "crc",
            ] {
                assert_eq!(printed[name], expected[name], "{name} of {expected}");
            }
            assert_eq!(printed["count"], expected["recordCount"]);
            assert_eq!(printed["compresscodec"], expected["compression"]);
            assert_eq!(printed["size"], expected["length"].as_i64().unwrap() + 12);
            assert_eq!(printed["isvalid"], true);
            batches += 1;
        }
    }
    assert!(batches > 60, "{batches}");
}

#[test]
fn every_file_of_a_topic_is_printed_in_order() {
    let program = Program::new();
    fill(&program.log());
    let printed = program.ok(&["dump", "--topic", "orders", "--partition", "0", "--print-data-log"], "");
    let dumped: Vec<_> = printed.lines().filter(|line| line.starts_with("Dumping ")).collect();
    assert!(dumped.len() > 4 && dumped.iter().all(|line| slashed(line).contains("/orders-0/")), "{dumped:?}");
    assert!(dumped.is_sorted());
    assert!(printed.contains("key: key 2 payload: value 2 ü\"\n"), "{printed}");
    let all = program.ok(&["dump"], "");
    assert!(all.contains("__cluster_metadata-0") && slashed(&all).contains("/times-0/"));
    assert!(!all.contains("| offset"), "records only if wanted");
    let metadata = program.ok(&["dump", "--topic", "__cluster_metadata", "--print-data-log"], "");
    assert!(
        metadata.contains(r#"payload: {"type":"TOPIC_RECORD","version":0,"data":{"name":"orders""#),
        "{metadata}"
    );
    let bare = program.ok(&["dump", "--topic", "times", "--print-data-log", "--skip-record-metadata"], "");
    assert!(
        bare.lines().any(|line| line == "| key: k payload: a") && bare.lines().any(|line| line == "| key: k")
    );
}

#[test]
fn json_holds_every_field() {
    let program = Program::new();
    fill(&program.log());
    let printed = lines(&program.ok(&["--json", "dump", "--topic", "orders", "--print-data-log"], ""));
    let kinds: std::collections::BTreeSet<_> =
        printed.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert!(kinds.is_superset(&["batch", "file", "index", "record", "timeindex"].into()), "{kinds:?}");
    let record = printed.iter().find(|line| line["type"] == "record" && line["offset"] == 1).unwrap();
    assert_eq!(record["timestampType"], "CreateTime");
    assert_eq!(record["keySize"], 5);
    assert_eq!(record["key"], "6b65792032");
    let transactions = vectors("broker/clean-4.1/logdir/__consumer_offsets-4");
    let offsets = transactions.join("00000000000000000000.log");
    let printed = lines(&program.ok(&["--json", "dump", "--offsets-decoder", offsets.to_str().unwrap()], ""));
    let commit = printed.iter().find(|line| line["type"] == "record").unwrap();
    assert_eq!(commit["key"]["data"]["group"], "g-tx");
    assert_eq!(commit["value"]["data"]["metadata"], "in tx one");
    assert!(
        printed
            .iter()
            .any(|line| line["control"].as_str().is_some_and(|control| control.starts_with("Commit")))
    );
    let index = transactions.join("00000000000000000000.txnindex");
    let snapshot = transactions.join("00000000000000000024.snapshot");
    let printed = program
        .ok(&["--json", "dump", "--files", &format!("{},{}", index.display(), snapshot.display())], "");
    assert!(printed.contains(r#""type":"txnindex","producerId":5,"firstOffset":2"#), "{printed}");
    assert!(printed.contains(r#""type":"producer","producerId":5,"producerEpoch":13"#), "{printed}");
}

#[test]
fn damage_is_reported_and_what_follows_is_printed() {
    let program = Program::new();
    let path = program.dir.path().join("00000000000000000000.log");
    std::fs::copy(vectors("corrupt/count_too_large.bin"), &path).unwrap();
    let assert = program.run(&["dump", "--deep-iteration", path.to_str().unwrap()], "").code(1);
    let output = assert.get_output();
    let (printed, reported) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.lines().filter(|line| line.starts_with("baseOffset")).count(), 3, "{printed}");
    assert!(
        reported.contains("at byte 137: ends early") && reported.contains("one batch cannot be read"),
        "{reported}"
    );

    std::fs::copy(vectors("corrupt/garbage_tail.bin"), &path).unwrap();
    let printed = program.ok(&["dump", path.to_str().unwrap()], "");
    assert!(
        printed.ends_with("Found 192 invalid bytes at the end of 00000000000000000000.log\n"),
        "{printed}"
    );
}

#[test]
fn what_cannot_be_dumped_is_reported() {
    let program = Program::with_topic("orders", 1);
    let missing = program.dir.path().join("00000000000000000000.log");
    assert!(program.fails(1, &["dump", missing.to_str().unwrap()], "").contains("cannot open"));
    std::fs::create_dir(&missing).unwrap();
    assert!(program.fails(1, &["dump", missing.to_str().unwrap()], "").contains("a directory is where"));
    assert!(program.fails(1, &["dump", "--topic", "orders"], "").contains("there are no files of orders"));
    assert!(program.fails(2, &["dump", "--partition", "0"], "").contains("--topic"));
    assert!(program.fails(2, &["dump", "--topic", "a", "x.log"], "").contains("cannot be used with"));
    let both = ["dump", "--offsets-decoder", "--cluster-metadata-decoder"];
    assert!(program.fails(2, &both, "").contains("cannot be used with"));
    let other = program.dir.path().join("notes.txt");
    std::fs::write(&other, "x").unwrap();
    let assert = program.run(&["dump", other.to_str().unwrap()], "").success();
    assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains("is no file of a log"));
}
