//! Indexes of transactions and snapshots of producers that are wrong: what is seen is what the markers say.

use std::fs;
use std::sync::Arc;

use super::fixture::{ANY, Fixture, POSITIONED, STRIDE, records_of};
use super::transactions::{Model, Step, clean, file};
use crate::config::{IsolationLevel, ReadUpTo};
use crate::events::Event;
use crate::format::transaction_index;
use crate::partition::Cursor;
use crate::partition::PartitionLog;
use crate::partition::transactions::ProducerState;
use crate::segment;

/// Transactions that reach over segments, one of which is open.
fn entangled() -> Model {
    Model::of(&entangled_steps())
}

fn entangled_steps() -> Vec<Step> {
    vec![
        Step::Data { producer: 1, count: 2 },
        Step::Data { producer: 2, count: 1 },
        Step::Roll,
        Step::Idempotent,
        Step::End { producer: 1, commits: false },
        Step::Data { producer: 1, count: 1 },
        Step::Data { producer: 3, count: 2 },
        Step::End { producer: 2, commits: true },
        Step::Roll,
        Step::Data { producer: 4, count: 1 },
        Step::End { producer: 1, commits: true },
        Step::End { producer: 3, commits: false },
        Step::Data { producer: 2, count: 2 },
        Step::End { producer: 4, commits: false },
        Step::Roll,
        Step::Data { producer: 3, count: 1 },
        Step::Data { producer: 5, count: 1 },
        Step::End { producer: 3, commits: true },
        Step::End { producer: 2, commits: false },
        Step::Idempotent,
        Step::Data { producer: 1, count: 1 },
        Step::End { producer: 1, commits: true },
    ]
}

/// What a reader looked up while a transaction was open does not count once it has ended.
#[test]
fn a_tailing_reader_of_committed_records_sees_each_transaction_as_it_ends() {
    let steps: Vec<_> = entangled_steps();
    let prefix = |count: usize| Model::of(&steps[..count]);
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    prefix(1).write(&fixture, true);
    let log = fixture.follow_with(false);
    let mut cursor =
        Cursor::new(Arc::clone(&log), 0, ReadUpTo::Visible).isolated(IsolationLevel::ReadCommitted);
    let mut seen = Vec::new();
    for count in 1..=steps.len() {
        for (base, bytes) in &prefix(count).segments {
            fs::write(fixture.log_file(*base), bytes).unwrap();
        }
        log.tailing().unwrap().refresh().unwrap();
        cursor.refresh_transactions().unwrap();
        while let Some(fetched) = cursor.fetch(ANY).unwrap() {
            seen.extend(records_of(&fetched).into_iter().map(|(offset, _)| offset));
        }
        assert_eq!(seen, prefix(count).committed(), "after {count} steps");
    }
}

/// Opens the log with one file changed or taken away, for writing and for reading, and reads it.
fn check_with(model: &Model, change: &dyn Fn(&Fixture)) {
    for follows in [false, true] {
        let fixture = Fixture::new(POSITIONED, 1 << 20);
        model.write(&fixture, true);
        change(&fixture);
        let led = || Arc::new(fixture.open(clean(model)).into());
        let log: Arc<PartitionLog> = if follows { fixture.follow_with(false) } else { led() };
        log.bounds().unwrap();
        let mut cursor =
            Cursor::new(Arc::clone(&log), 0, ReadUpTo::Visible).isolated(IsolationLevel::ReadCommitted);
        cursor.refresh_transactions().unwrap();
        // What is open may first be found by reading.
        while cursor.fetch(ANY).unwrap().is_some() {}
        model.check(&log);
    }
}

#[test]
fn whatever_is_in_an_index_of_transactions_what_is_seen_is_what_the_markers_say() {
    let model = entangled();
    let bases: Vec<_> = model.segments.iter().map(|(base, _)| *base).collect();
    let index_of = |base: &u64| transaction_index::encode(&model.aborted_in(*base));
    for base in &bases {
        let right = index_of(base);
        let mut contents: Vec<Option<Vec<u8>>> =
            vec![None, Some(Vec::new()), Some(vec![0; 34]), Some(vec![0xff; 34])];
        contents.extend(bases.iter().map(|other| Some(index_of(other))));
        contents.extend((1..right.len()).step_by(11).map(|cut| Some(right[..cut].to_vec())));
        for bit in (0..right.len() * 8).step_by(7 * STRIDE) {
            let mut flipped = right.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            contents.push(Some(flipped));
        }
        for bytes in contents {
            check_with(&model, &|fixture| {
                let path = file(fixture, *base, segment::TRANSACTION_INDEX);
                match &bytes {
                    Some(bytes) => fs::write(path, bytes).unwrap(),
                    None => drop(fs::remove_file(path)),
                }
            });
        }
    }
}

#[test]
fn whatever_is_in_a_snapshot_what_is_seen_is_what_the_markers_say() {
    let model = entangled();
    let last = (model.next, model.state.encode());
    let snapshots: Vec<_> = model.snapshots.iter().cloned().chain([last]).collect();
    for (at, right) in &snapshots {
        let mut flipped = right.clone();
        flipped[right.len() / 2] ^= 4;
        let mut contents: Vec<Option<Vec<u8>>> =
            vec![None, Some(Vec::new()), Some(vec![0; right.len()]), Some(flipped)];
        contents.push(Some(right[..right.len() / 2].to_vec()));
        contents.push(Some(ProducerState::default().encode()));
        contents.extend(snapshots.iter().map(|(_, other)| Some(other.clone())));
        for bytes in contents {
            check_with(&model, &|fixture| {
                let path = file(fixture, *at, segment::PRODUCER_SNAPSHOT);
                match &bytes {
                    Some(bytes) => fs::write(path, bytes).unwrap(),
                    None => fs::remove_file(path).unwrap(),
                }
            });
        }
    }
    check_with(&model, &|fixture| {
        for (at, _) in &snapshots {
            fs::remove_file(file(fixture, *at, segment::PRODUCER_SNAPSHOT)).unwrap();
        }
    });
}

#[test]
fn a_snapshot_that_lies_is_reported_and_written_anew() {
    let model = entangled();
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    model.write(&fixture, true);
    let newest = file(&fixture, model.next, segment::PRODUCER_SNAPSHOT);
    let right = fs::read(&newest).unwrap();
    // That of an earlier offset, where others were open.
    fs::write(&newest, &model.snapshots[0].1).unwrap();
    let log = fixture.open(clean(&model));
    let events = fixture.context.events.listen();
    log.bounds().unwrap();
    log.prove_open().unwrap();
    let reported = events.try_next();
    assert!(matches!(&reported, Some(Event::IndexRebuilt { path, .. }) if *path == newest), "{reported:?}");
    assert_eq!(fs::read(&newest).unwrap(), right);
    assert_eq!(Some(log.bounds().unwrap().last_stable), model.first_open());
}

#[test]
fn an_offset_index_that_leads_nowhere_hides_no_transaction() {
    let model = entangled();
    for position in [7_u32, 100, 4000] {
        check_with(&model, &|fixture| {
            for (base, _) in &model.segments {
                let path = file(fixture, *base, segment::OFFSET_INDEX);
                fs::write(path, [&[0; 4], &position.to_be_bytes()[..]].concat()).unwrap();
            }
            // Without the last of them the batches after the one before are gone through.
            fs::remove_file(file(fixture, model.next, segment::PRODUCER_SNAPSHOT)).unwrap();
        });
    }
}
