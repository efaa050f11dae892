//! Syncing a log while topics come and go: both write checkpoint files, and neither may spoil the other's.

use std::thread;

use stratalog::{EventLog, Record, TopicConfig};

#[test]
fn checkpoints_are_written_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for _ in 0..100 {
                let topic = log.create_topic("now-and-then", TopicConfig::new()).unwrap();
                log.producer().unwrap().send(&topic, Record::new("soon gone")).unwrap();
                topic.partition(0).unwrap().sync().unwrap();
                log.delete_topic("now-and-then").unwrap();
                let points = dir.path().join("recovery-point-offset-checkpoint");
                let points = std::fs::read_to_string(points).unwrap_or_default();
                assert!(!points.contains("now-and-then"), "{points}");
            }
        });
        let changes = &changes;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !changes.is_finished() {
                        log.sync().unwrap();
                    }
                });
            }
        });
    });
    log.close().unwrap();
}
