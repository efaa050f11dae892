use std::sync::Barrier;

use super::*;
use crate::format::transaction_state::TransactionStatus::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareCommit,
};

#[test]
fn the_topic_is_made_with_the_first_id_as_kafka_makes_it() {
    let fixture = Fixture::new();
    assert_eq!((fixture.ids(), fixture.states.state_of("a").unwrap()), (vec![], None));
    assert_eq!(fixture.states.remove("a", NOW, Durability::Synced).unwrap().map(|written| written.end), None);
    assert_eq!(fixture.states.coordinator_epoch_of("a").unwrap(), 0);
    assert!(fixture.states.is_certain("a").unwrap() && fixture.states.damaged().unwrap().is_empty());
    assert!(fixture.catalog.topic(TOPIC).is_none());

    fixture.write("a", 0, Empty);
    let topic = fixture.catalog.topic(TOPIC).unwrap();
    assert_eq!((topic.partitions().len(), topic.is_internal()), (50, true));
    let mut settings: Vec<_> =
        topic.config().entries().map(|(name, value)| format!("{name}={value}")).collect();
    settings.sort();
    let expected = ["cleanup.policy=compact", "compression.type=uncompressed", "segment.bytes=4194304"];
    assert_eq!(settings, expected);
    // Only the partition that is written to has a directory.
    assert!(fixture.directory_of("a").join(LOG_FILE).exists());
    let directories = fs::read_dir(fixture.dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(TOPIC));
    assert_eq!(directories.count(), 1);
}

#[test]
fn the_last_state_of_each_id_counts_here_and_after_a_kill() {
    let fixture = Fixture::new();
    for (epoch, status) in [(0, Empty), (1, Ongoing), (1, PrepareCommit), (1, CompleteCommit), (2, Ongoing)] {
        fixture.write("payments-0", epoch, status);
        assert_eq!(fixture.states.state_of("payments-0").unwrap(), Some(state(epoch, status)));
    }
    fixture.write("audit", 0, Empty);
    fixture.write("gone", 3, CompleteAbort);
    assert_eq!(fixture.ids(), ["audit: 0 Empty", "gone: 3 CompleteAbort", "payments-0: 2 Ongoing"]);
    let removed = fixture.states.remove("gone", NOW, Durability::Buffered).unwrap().unwrap();
    let shard = removed.log();
    assert_eq!(
        (shard.id().partition(), removed.end()),
        (group_partition("gone", PARTITIONS), shard.bounds().unwrap().log_end)
    );
    assert_eq!(fixture.states.state_of("gone").unwrap(), None);
    assert!(fixture.states.remove("gone", NOW, Durability::Buffered).unwrap().is_none());
    let fixture = fixture.reopened();
    assert_eq!(fixture.ids(), ["audit: 0 Empty", "payments-0: 2 Ongoing"]);
    assert_eq!(fixture.states.state_of("payments-0").unwrap(), Some(state(2, Ongoing)));
    fixture.write("gone", 0, Empty);
    assert_eq!(fixture.reopened().ids(), ["audit: 0 Empty", "gone: 0 Empty", "payments-0: 2 Ongoing"]);
}

#[test]
fn what_is_written_can_be_waited_for_later() {
    let fixture = Fixture::new();
    let buffered = fixture.written("a", 0, Empty);
    let ongoing = state(1, Ongoing);
    let written = fixture.states.write("a", &ongoing, NOW, Durability::Synced).unwrap();
    assert_eq!((buffered.end(), written.end()), (1, 2));
    assert_eq!(written.log().id(), buffered.log().id());
    assert_eq!(written.log().id().partition(), group_partition("a", PARTITIONS));
    // No lock of this room is held meanwhile.
    fixture.write("a", 1, PrepareCommit);
    written.await_durable().unwrap();
    assert!(written.log().durable_end() >= 2);
    buffered.await_durable().unwrap();
}

#[test]
fn what_cannot_be_written_is_refused_and_nothing_changes() {
    let fixture = Fixture::new();
    let long = "i".repeat(32_768);
    let refused = fixture.states.write(&long, &state(0, Empty), NOW, Durability::Buffered).unwrap_err();
    assert!(refused.to_string().contains("32768 bytes, but Kafka takes at most 32,767"), "{refused}");
    assert!(fixture.catalog.topic(TOPIC).is_none());
    fixture.write(&long[1..], 0, Empty);
    let of_long = TransactionState { partitions: vec![(&*long, 0).into()], ..state(1, Ongoing) };
    let refused = fixture.states.write("a", &of_long, NOW, Durability::Buffered).unwrap_err();
    assert!(matches!(refused, Error::InvalidInput { .. }), "{refused:?}");
    assert_eq!(fixture.states.state_of("a").unwrap(), None);
    assert_eq!(fixture.ids().len(), 1);
}

#[test]
fn another_process_sees_what_is_written() {
    let fixture = Fixture::new();
    let reader = Fixture::read_only(Arc::clone(&fixture.dir));
    assert_eq!(reader.ids(), [""; 0]);
    fixture.write("a", 0, Empty);
    assert_eq!(reader.ids(), ["a: 0 Empty"]);
    fixture.write("a", 1, Ongoing);
    fixture.write("b", 0, Empty);
    assert_eq!(reader.ids(), ["a: 1 Ongoing", "b: 0 Empty"]);
    let refused = reader.states.write("a", &state(2, Ongoing), NOW, Durability::Buffered);
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
}

#[test]
fn threads_make_the_topic_once_and_count_each_others_writes() {
    const THREADS: usize = 4;
    let (fixture, barrier) = (Fixture::new(), Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (fixture, barrier) = (&fixture, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let id = format!("id-{thread}");
                for epoch in 0..50 {
                    fixture.write(&id, epoch, Ongoing);
                    assert_eq!(fixture.states.state_of(&id).unwrap(), Some(state(epoch, Ongoing)));
                }
            });
        }
    });
    let expected: Vec<_> = (0..THREADS).map(|thread| format!("id-{thread}: 49 Ongoing")).collect();
    assert_eq!(fixture.ids(), expected);
    assert_eq!(fixture.reopened().ids(), expected);
}
