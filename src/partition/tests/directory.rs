//! What is in a partition's directory beside segments, or in their place.

use std::fs;

use super::fixture::{Fixture, POSITIONED, TestRecord, append_numbered, assert_numbered, batch, batches_of};
use crate::error::Error;
use crate::partition::Checkpointed;

/// A closed partition of ten records.
fn ten_records() -> Fixture {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    for count in [3, 1, 2, 4] {
        append_numbered(&log, count, 20).unwrap();
    }
    log.close().unwrap();
    fixture
}

#[test]
fn files_of_others_are_left_alone() {
    let fixture = ten_records();
    for name in ["notes.txt", "1.log", "notes.txt.deleted", "99999999999999999999.log", "x.index"] {
        fs::write(fixture.directory().join(name), "mine").unwrap();
    }
    fs::create_dir(fixture.directory().join("00000000000000000007.snapshots")).unwrap();
    let before = fixture.files();
    let log = fixture.open_unclean(3);
    assert_numbered(&log, 0..10, 20);
    log.close().unwrap();
    fixture.assert_files(&before);
}

#[test]
fn files_of_deleted_segments_are_removed() {
    let fixture = ten_records();
    let before = fixture.files();
    for suffix in ["log", "index", "timeindex", "txnindex", "snapshot"] {
        let name = format!("00000000000000000003.{suffix}.deleted");
        fs::write(fixture.directory().join(name), "gone").unwrap();
    }
    let log = fixture.open_clean(10);
    assert_numbered(&log, 0..10, 20);
    log.close().unwrap();
    fixture.assert_files(&before);
}

/// Links can be made by anybody on Unix only.
#[test]
fn links_and_folders_where_files_should_be_are_refused() {
    let fixture = ten_records();
    let elsewhere = fixture.directory().join("elsewhere");
    fs::write(&elsewhere, "not ours").unwrap();
    #[cfg(unix)]
    let put_link =
        |name: &str| std::os::unix::fs::symlink(&elsewhere, fixture.directory().join(name)).unwrap();
    let put_folder = |name: &str| fs::create_dir(fixture.directory().join(name)).unwrap();
    let name = "00000000000000000010.log";
    let ways: &[&dyn Fn(&str)] = &[
        #[cfg(unix)]
        &put_link,
        &put_folder,
    ];
    for put in ways {
        put(name);
        for log in [fixture.open_unclean(0), fixture.open_clean(10)] {
            let failure = log.load().unwrap_err();
            assert!(
                matches!(&failure, Error::Unsupported(damage) if damage.path.ends_with(name)),
                "{failure}"
            );
            assert!(append_numbered(&log, 1, 20).is_err());
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), b"not ours");
        let path = fixture.directory().join(name);
        if fs::remove_file(&path).is_err() {
            fs::remove_dir(&path).unwrap();
        }
    }
}

#[test]
fn the_leader_epoch_continues_and_its_checkpoint_follows_the_batches() {
    let mut fixture = Fixture::new(POSITIONED, 1 << 20);
    fixture.settings.first_epoch = 4;
    let log = fixture.open_new();
    append_numbered(&log, 3, 20).unwrap();
    log.close().unwrap();
    let checkpoint = fixture.directory().join("leader-epoch-checkpoint");
    assert_eq!(fs::read_to_string(&checkpoint).unwrap(), "0\n1\n4 0\n");
    // A broker continued in epoch 7 and was killed.
    let mut theirs = batch(&[TestRecord::of("theirs")]);
    let mut file = fs::read(fixture.log_file(0)).unwrap();
    file.extend_from_slice(theirs.finish().unwrap().placed_at(3, 7));
    fs::write(fixture.log_file(0), &file).unwrap();
    fixture.settings.first_epoch = 0;
    let log = fixture.open_unclean(0);
    assert_eq!(append_numbered(&log, 1, 20).unwrap(), 4);
    log.close().unwrap();
    assert_eq!(fs::read_to_string(&checkpoint).unwrap(), "0\n2\n4 0\n7 3\n");
    let epochs = |base| {
        let file = fs::read(fixture.log_file(base)).unwrap();
        batches_of(&file, base).iter().map(|batch| batch.header.leader_epoch).collect::<Vec<_>>()
    };
    assert_eq!(epochs(0), [4, 7, 7]);
    // Without the checkpoint the last batch still shows the epoch, whether the log was closed cleanly or not.
    for clean in [true, false] {
        fs::remove_file(&checkpoint).unwrap();
        let log = fixture.open(Checkpointed {
            clean,
            recovery_point: Some(0),
            log_start: 0,
            ..Checkpointed::default()
        });
        append_numbered(&log, 1, 20).unwrap();
        log.close().unwrap();
        assert_eq!(*epochs(0).last().unwrap(), 7);
        assert!(checkpoint.exists());
    }
    // Cut back, the checkpoint does not speak of what is gone; the epoch does not go back.
    fs::write(&checkpoint, "0\n2\n4 0\n7 3\n").unwrap();
    fs::write(fixture.log_file(0), &file[..file.len() - 5]).unwrap();
    let log = fixture.open_unclean(0);
    assert_eq!(log.load().unwrap().unwrap().log_end, 3);
    append_numbered(&log, 1, 20).unwrap();
    log.close().unwrap();
    assert_eq!(epochs(0), [4, 7]);
    assert_eq!(fs::read_to_string(&checkpoint).unwrap(), "0\n2\n4 0\n7 3\n");
}

#[test]
fn a_leader_epoch_checkpoint_that_makes_no_sense_is_reported_and_made_anew() {
    let mut fixture = Fixture::new(POSITIONED, 400);
    for (epoch, recovery_point) in [(4, 0), (6, 4), (9, 8)] {
        fixture.settings.first_epoch = epoch;
        let log = fixture.open_clean(recovery_point);
        (0..4).for_each(|_| _ = append_numbered(&log, 1, 100).unwrap());
        log.close().unwrap();
        // As if a broker of a later epoch came next.
        let checkpoint = fixture.directory().join("leader-epoch-checkpoint");
        let text = fs::read_to_string(&checkpoint).unwrap();
        let next = [(4, "6 4"), (6, "9 8"), (9, "")].into_iter().find(|(now, _)| *now == epoch).unwrap().1;
        if !next.is_empty() {
            let known: Vec<_> = text.lines().skip(2).chain([next]).collect();
            fs::write(&checkpoint, format!("0\n{}\n{}\n", known.len(), known.join("\n"))).unwrap();
        }
    }
    let checkpoint = fixture.directory().join("leader-epoch-checkpoint");
    let right = fs::read_to_string(&checkpoint).unwrap();
    assert_eq!(right, "0\n3\n4 0\n6 4\n9 8\n");
    for clean in [true, false] {
        for wrong in ["0\n3\n4 0\n6 4\n9 8", "0\n3\n4 0\n9 8\n6 4\n", "nonsense", "\0\0\0"] {
            fs::write(&checkpoint, wrong).unwrap();
            let log =
                fixture.open(Checkpointed { clean, recovery_point: Some(12), ..Checkpointed::default() });
            let events = fixture.context.events.listen();
            assert_eq!(log.bounds().unwrap().log_end, 12);
            let reported = events.try_next();
            assert!(
                matches!(&reported, Some(crate::events::Event::CheckpointUnreadable { path, .. }) if *path == checkpoint),
                "{reported:?}"
            );
            assert_eq!(fs::read_to_string(&checkpoint).unwrap(), right, "{wrong}");
        }
    }
}

#[test]
fn leader_epochs_begin_where_the_log_does() {
    let fixture = ten_records();
    let checkpoint = fixture.directory().join("leader-epoch-checkpoint");
    for (before, log_start, after) in [
        ("3\n0 0\n2 3\n5 6\n", 0, "3\n0 0\n2 3\n5 6\n"),
        ("3\n0 0\n2 3\n5 6\n", 2, "3\n0 2\n2 3\n5 6\n"),
        ("3\n0 0\n2 3\n5 6\n", 3, "2\n2 3\n5 6\n"),
        ("3\n0 0\n2 3\n5 6\n", 8, "1\n5 8\n"),
        ("2\n2 3\n5 6\n", 1, "2\n2 3\n5 6\n"),
    ] {
        for clean in [true, false] {
            fs::write(&checkpoint, format!("0\n{before}")).unwrap();
            let log = fixture.open(Checkpointed {
                clean,
                recovery_point: Some(10),
                log_start,
                ..Checkpointed::default()
            });
            log.bounds().unwrap();
            assert_eq!(fs::read_to_string(&checkpoint).unwrap(), format!("0\n{after}"), "from {log_start}");
        }
    }
}
