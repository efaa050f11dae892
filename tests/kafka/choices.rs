//! What we choose is what Kafka's own classes choose, for inputs that are drawn: `STRATALOG_SEED` draws others.
//!
//! Times are looked up in `brokers.rs`, where a broker runs.

use std::fmt::Write as _;

use crate::common::{Dice, crafted};
use crate::reference::{self, kafka_is_not_asked};
use stratalog::{EventLog, HandoverObstacle, HandoverOptions, KafkaVersion, TopicConfig};

fn dice() -> Dice {
    let seed = std::env::var("STRATALOG_SEED").map_or(42, |seed| seed.parse().expect("a number"));
    eprintln!("STRATALOG_SEED={seed}");
    Dice(seed)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn keys_go_where_javas_producer_sends_them() {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let mut dice = dice();
    let (mut lines, mut ours) = (String::new(), Vec::new());
    for number in 0..40 {
        let count = 1 + u32::try_from(dice.below(if number < 20 { 16 } else { 1000 })).unwrap();
        let topic = log.create_topic(&format!("t{number}"), TopicConfig::new().partitions(count)).unwrap();
        for _ in 0..500 {
            let key = random_bytes(&mut dice, 40);
            writeln!(lines, "key {} {count}", hex(&key)).unwrap();
            ours.push(topic.partition_for_key(&key).id().partition().to_string());
        }
    }
    let theirs = reference::compute("Choices.java", &lines);
    assert!(theirs.lines().eq(ours.iter().map(String::as_str)));
    assert_eq!(ours.len(), 20_000);
}

#[test]
fn the_highest_metadata_version_is_that_of_the_release() {
    if kafka_is_not_asked() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    EventLog::open(dir.path()).unwrap().close().unwrap();
    // 33, which only the newest Kafka starts with.
    crafted::in_metadata(dir.path(), b"metadata.version\0\x15", b"metadata.version\0\x21");
    let kafka: KafkaVersion = reference::version().parse().unwrap();
    let options = HandoverOptions::new().kafka(kafka).dry_run(true);
    let report = EventLog::open(dir.path()).unwrap().handover(&options).unwrap();
    let highest = report.obstacles.iter().find_map(|obstacle| match obstacle {
        HandoverObstacle::MetadataVersion { highest, .. } => Some(*highest),
        _ => None,
    });
    let theirs = reference::compute("Choices.java", "level\n");
    assert_eq!(highest.unwrap_or(33).to_string(), theirs.trim(), "Kafka {kafka}");
}

fn random_bytes(dice: &mut Dice, most: u64) -> Vec<u8> {
    (0..dice.below(most)).map(|_| u8::try_from(dice.below(256)).unwrap()).collect()
}
