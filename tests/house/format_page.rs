//! `docs/format.md` against the files that logs leave.

use std::fs;
use std::path::Path;
use std::time::Duration;

use stratalog::{Compression, EventLog, Maintenance, ManualClock, Position, Record, Timestamp, TopicConfig};

const PAGE: &str = include_str!("../../docs/format.md");

/// The names in the first column of the table under a heading.
fn names_under(heading: &str) -> Vec<&'static str> {
    let section = PAGE.split(&format!("## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2)).collect()
}

/// A name with what varies in it replaced as the page does.
fn as_on_the_page(name: &str) -> String {
    let digits = name.len() >= 20 && name.as_bytes()[..20].iter().all(u8::is_ascii_digit);
    let name = if digits { format!("N{}", &name[20..]) } else { name.to_owned() };
    if let Some(at) = name.find(".cut-at-") {
        return format!("{}.cut-at-P", &name[..at]);
    }
    // The page names the log file for all four.
    for ending in ["cleaned", "swap", "deleted"] {
        if name.starts_with("N.") && name.ends_with(ending) {
            return format!("N.log.{ending}");
        }
    }
    match name.rsplit_once('.') {
        Some((_, "tmp")) => "NAME.tmp".to_owned(),
        _ => name,
    }
}

fn check(root: &Path) -> usize {
    let (above, below) = (names_under("The directory"), names_under("A partition directory"));
    let mut seen = 0;
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        seen += 1;
        if !entry.file_type().unwrap().is_dir() {
            let shown = as_on_the_page(&name);
            assert!(above.contains(&&*shown), "{name} is not in the first table");
            continue;
        }
        let (topic, rest) = name.rsplit_once('-').unwrap();
        let shown = match topic {
            "__cluster_metadata" => "__cluster_metadata-0",
            "__consumer_offsets" => "__consumer_offsets-N",
            _ if rest == "delete" => "TOPIC-PARTITION.ID-delete",
            _ => "TOPIC-PARTITION",
        };
        assert!(above.contains(&shown), "{name} is not in the first table");
        for file in fs::read_dir(entry.path()).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            seen += 1;
            let shown = as_on_the_page(&file);
            assert!(below.contains(&&*shown), "{name}/{file} is not in the second table");
        }
    }
    seen
}

#[test]
fn every_file_that_a_log_leaves_is_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let options =
        || EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual).offsets_partitions(1);
    let log = options().open(dir.path()).unwrap();
    let producer = log.producer().unwrap();
    let small = || TopicConfig::new().set("segment.bytes", "1048576");
    let plain = log.create_topic("plain", small().retention_bytes(1 << 20)).unwrap();
    let compacted = log
        .create_topic(
            "compacted",
            small().set("cleanup.policy", "compact").set("min.cleanable.dirty.ratio", "0"),
        )
        .unwrap();
    let gone = log.create_topic("gone", TopicConfig::new().compression(Compression::None)).unwrap();
    let value = vec![7; 100_000];
    for _ in 0..40 {
        producer.send(&plain, Record::new(&value)).unwrap();
        producer.send(&compacted, Record::new(&value).key("one")).unwrap();
    }
    producer.send(&gone, Record::new("x")).unwrap();
    log.group("g").unwrap().set_committed([Position::new(("plain", 0), 1)]).unwrap();
    assert!(check(dir.path()) > 20);
    plain.partition(0).unwrap().delete_records(15).unwrap();
    log.delete_topic("gone").unwrap();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(60));
        log.run_maintenance().unwrap();
        check(dir.path());
    }
    log.close().unwrap();
    check(dir.path());

    // What recovery takes out.
    fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    fs::remove_file(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    let mut files: Vec<_> =
        fs::read_dir(dir.path().join("plain-0")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    files.sort();
    let mut bytes = fs::read(&files[files.len() - 2]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[files.len() - 2], bytes).unwrap();
    let log = options().open(dir.path()).unwrap();
    check(dir.path());
    let names: Vec<_> =
        fs::read_dir(dir.path().join("plain-0")).unwrap().map(|file| file.unwrap().file_name()).collect();
    let kept = |part: &str| names.iter().any(|name| name.to_str().unwrap().contains(part));
    assert!(kept(".cut-at-") && kept(".cut-whole"), "{names:?}");
    log.close().unwrap();
}

/// The bytes under "A batch", without what is said of them. `CRC` means four bytes.
#[test]
fn the_example_is_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let log = EventLog::options().clock(clock).open(dir.path()).unwrap();
    let topic = log.create_topic("orders", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("paid").key("order-17")).unwrap();
    log.close().unwrap();
    let written = fs::read(dir.path().join("orders-0/00000000000000000000.log")).unwrap();

    let example = PAGE.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let mut shown = Vec::new();
    for line in example.lines() {
        let bytes = line.split("   ").next().unwrap();
        if bytes == "CRC" {
            shown.extend(&written[shown.len()..shown.len() + 4]);
            continue;
        }
        shown.extend(bytes.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    assert_eq!(shown, written);
    assert!(PAGE.contains(&format!("is these {} bytes", written.len())), "{}", written.len());
}
