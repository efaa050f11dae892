//! A close of many partitions: several are synced at a time, and one that fails keeps no other from its final form.

use super::*;
use crate::config::TopicConfig;
use crate::error::Error;
use crate::sys::gate::{Gate, OpenedAtLast};

const PARTITIONS: u32 = 5;

/// With a record in each partition that is not synced.
fn filled(dir: &Path, options: OpenOptions) -> EventLog {
    let log = options.background_sync(None, None).open(dir).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(PARTITIONS)).unwrap();
    let producer = log.producer().unwrap();
    for partition in 0..PARTITIONS {
        producer.send(&topic, Record::new("value").partition(partition)).unwrap();
    }
    log
}

#[test]
fn several_partitions_are_synced_at_a_time() {
    let (dir, gate) = (memory(), Arc::new(Gate::default()));
    let mut options = options().maintenance(Maintenance::Threads);
    options.faults = gate.before_syncs();
    let log = filled(dir.path(), options);
    let _opened = OpenedAtLast(&gate);
    gate.shut_syncs();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| log.close());
        let _opened = OpenedAtLast(&gate);
        holding::until("all partitions are being synced", || gate.inside() >= PARTITIONS as usize);
        gate.open();
        closing.join().unwrap().unwrap();
    });
    assert!(super::options().open(dir.path()).unwrap().recovery().clean);
}

#[test]
fn one_that_fails_keeps_no_other_from_its_final_form() {
    for maintenance in [Maintenance::Manual, Maintenance::Threads] {
        for nth in 0..3 {
            let dir = memory();
            let mut options = options().maintenance(maintenance);
            options.faults = Faults::after(Operation::Sync, i64::MAX, ErrorKind::Other, false);
            let faults = options.faults.clone();
            let log = filled(dir.path(), options);
            faults.arm(nth);
            let failure = log.close().unwrap_err();
            assert!(matches!(failure, Error::Io(_) | Error::Poisoned(_)), "{failure:?}");
            let has_indexes = |partition: &u32| {
                dir.path().join(format!("t-{partition}/00000000000000000000.timeindex")).exists()
            };
            let finished = (0..PARTITIONS).filter(has_indexes).count();
            assert!(finished >= PARTITIONS as usize - 1, "{maintenance:?} {nth}: {finished}");
            assert!(!dir.path().join(".kafka_cleanshutdown").exists());
            let reopened = super::options().open(dir.path()).unwrap();
            assert_eq!(Content::of(&reopened).topics["t"].1.len(), PARTITIONS as usize);
        }
    }
}
