use super::*;
use crate::format::Malformed;
use crate::format::transaction_state::TransactionStatus::{CompleteCommit, Empty, Ongoing, PrepareCommit};

fn ended(id: &str) -> Record {
    let (key, _) = record(id, &state(0, Empty));
    (key, None)
}

#[test]
fn a_state_that_only_a_newer_version_reads_is_kept_and_not_written_over() {
    let newer = (record("a", &state(0, Empty)).0, Some(vec![0, 2, 9, 9]));
    let log = plain(0, &[record("a", &state(0, Empty)), record("b", &state(0, Empty)), newer]);
    let fixture = Fixture::with_log("a", &log);
    let position = Position::new((TOPIC, group_partition("a", PARTITIONS)), 2);
    let unreadable = UnreadableState { id: "a".into(), position, reason: Malformed::NEWER_TRANSACTION.0 };
    assert_eq!(fixture.states.unreadable().unwrap(), [unreadable]);
    assert_eq!(fixture.ids(), ["b: 0 Empty"]);
    assert_eq!(fixture.skipped(), [(2, Malformed::NEWER_TRANSACTION.0.to_owned())]);
    let written = fixture.states.write("a", &state(1, Ongoing), NOW, Durability::Buffered).map(drop);
    for refused in [fixture.states.state_of("a").map(drop), written] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Error::Unsupported(_)), "{refused:?}");
        assert!(refused.to_string().contains("only a newer version reads"), "{refused}");
    }
    // Of others nothing is in doubt, and it can be given up.
    assert!(fixture.states.is_certain("b").unwrap() && fixture.states.damaged().unwrap().is_empty());
    let fixture = fixture.reopened();
    assert!(fixture.states.write("a", &state(1, Ongoing), NOW, Durability::Buffered).is_err());
    fixture.states.remove("a", NOW, Durability::Synced).unwrap().unwrap().await_durable().unwrap();
    fixture.write("a", 0, Empty);
    assert_eq!(fixture.reopened().ids(), ["a: 0 Empty", "b: 0 Empty"]);
}

#[test]
fn records_that_cannot_be_read_are_reported() {
    let (key, value) = record("a", &state(1, Ongoing));
    let value = value.unwrap();
    let records = [
        (key.clone(), Some(value[..value.len() - 1].to_vec())),
        record("b", &state(0, Empty)),
        (None, Some(value.clone())),
        (Some(vec![0, 0, 0, 9]), Some(value.clone())),
        // Of a kind that comes later, and a state that is replaced by the next.
        (Some(vec![0, 1, 9]), Some(value)),
        (record("c", &state(0, Empty)).0, Some(vec![0, 9])),
        record("c", &state(4, CompleteCommit)),
        ended("d"),
    ];
    let fixture = Fixture::with_log("a", &plain(0, &records));
    assert_eq!(fixture.ids(), ["b: 0 Empty", "c: 4 CompleteCommit"]);
    let reasons = [
        (0, "ends early"),
        (2, "a record of a transactional id has no key"),
        (3, "ends early"),
        (5, Malformed::NEWER_TRANSACTION.0),
    ];
    assert_eq!(fixture.skipped(), reasons.map(|(at, reason)| (at, reason.to_owned())));
    assert!(matches!(fixture.states.state_of("a"), Err(Error::Corrupt(_))));
    assert!(fixture.states.write("a", &state(2, Empty), NOW, Durability::Buffered).is_err());
    assert_eq!(fixture.states.unreadable().unwrap()[0].id, "a");
    // Offset 3 may be about any id of which nothing comes after it.
    let damage = fixture.states.damaged().unwrap();
    assert!(matches!(&damage[..], [(of, ShardDamage::LeftOut(3))] if of == fixture.shard_of("a").id()));
    let shards = fixture.states.shards().unwrap().unwrap();
    let replayed = shards.of("a").unwrap().present(&fixture.states.events).unwrap();
    assert_eq!(["a", "b", "c", "new"].map(|id| replayed.is_certain(id)), [false, false, true, false]);
}

/// A directory that was closed in order, and the log of its one partition: a hundred states of an id, then of another one, all
/// of one size.
fn closed() -> (Arc<TempDir>, PathBuf) {
    let fixture = Fixture::new();
    for (id, epochs) in [("a", 0..100), ("/", 100..200)] {
        for epoch in epochs {
            fixture.write(id, epoch, Ongoing);
        }
    }
    assert_eq!(fixture.directory_of("a"), fixture.directory_of("/"));
    fixture.shard_of("a").close().unwrap();
    (Arc::clone(&fixture.dir), fixture.directory_of("a").join(LOG_FILE))
}

/// The directory with a flipped bit in this batch. Nothing is cut off: it was closed in order, and the damage came later.
fn damaged(dir: &Arc<TempDir>, file: &Path, batch: usize) -> Fixture {
    let mut log = fs::read(file).unwrap();
    // After the header, so that only the checksum reports.
    let at = log.len() / 200 * batch + 70;
    log[at] ^= 1;
    fs::write(file, &log).unwrap();
    fs::write(dir.path().join(".kafka_cleanshutdown"), "{}").unwrap();
    Fixture::open(Arc::clone(dir))
}

#[test]
fn what_comes_after_a_damaged_batch_is_certain() {
    for (batch, last, certain) in [(50, 99, [true, true]), (99, 98, [false, true]), (150, 99, [false, true])]
    {
        let (dir, file) = closed();
        let fixture = damaged(&dir, &file, batch);
        assert_eq!(fixture.ids(), ["/: 199 Ongoing".to_owned(), format!("a: {last} Ongoing")]);
        assert_eq!(["a", "/"].map(|id| fixture.states.is_certain(id).unwrap()), certain, "{batch}");
        let reported = fixture.skipped();
        assert!(
            matches!(&reported[..], [(at, reason)] if *at == batch as u64 && reason.contains("checksum"))
        );
        let id = fixture.shard_of("a").id().clone();
        let damage = fixture.states.damaged().unwrap();
        assert!(
            matches!(&damage[..], [(of, ShardDamage::LeftOut(at))] if *of == id && *at == batch as u64),
            "{damage:?}"
        );
        // What is written anew is certain.
        fixture.write("a", 300, Empty);
        assert!(fixture.states.is_certain("a").unwrap());
    }
}

#[test]
fn a_partition_that_cannot_be_read_is_passed_over_and_said() {
    let (dir, file) = closed();
    let fixture = damaged(&dir, &file, 199);
    fixture.write("b", 0, Empty);
    assert_eq!(fixture.ids(), ["b: 0 Empty"]);
    assert_eq!(fixture.states.unreadable().unwrap(), []);
    let damage = fixture.states.damaged().unwrap();
    assert!(
        matches!(&damage[..], [(of, ShardDamage::Unreadable(Error::Corrupt(_)))] if of == fixture.shard_of("a").id()),
        "{damage:?}"
    );
    assert!(matches!(fixture.states.state_of("a"), Err(Error::Corrupt(_))));
    assert!(matches!(fixture.states.is_certain("new/"), Ok(true)), "of another partition");
    let refused = fixture.states.write("a", &state(1, Empty), NOW, Durability::Buffered);
    assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
}

#[test]
fn a_torn_end_is_cut_off_as_in_any_partition() {
    let (first, second) = (record("a", &state(1, Ongoing)), record("a", &state(1, PrepareCommit)));
    let whole = [plain(0, &[first]), plain(1, &[second])].concat();
    let half = whole.len() / 2;
    for cut in (0..whole.len()).step_by(if cfg!(windows) { 17 } else { 3 }) {
        let fixture = Fixture::with_log("a", &whole[..cut]);
        let expected = (cut >= half).then(|| state(1, Ongoing));
        assert_eq!(fixture.states.state_of("a").unwrap(), expected, "{cut}");
        fixture.write("a", 2, Empty);
        assert_eq!(fixture.reopened().ids(), ["a: 2 Empty"], "{cut}");
    }
}
