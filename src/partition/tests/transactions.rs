//! Transactions that brokers' clients wrote, against a naive model of what is seen of them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{ANY, Fixture, POSITIONED, TestRecord, append, as_log, batch, batches_of, records_of};
use crate::config::{IsolationLevel, ReadUpTo};
use crate::format::crc::crc32c;
use crate::format::header::{BatchHeader, CHECKSUMMED, HEADER_BYTES};
use crate::format::transaction_index::{self, AbortedTransaction};
use crate::partition::transactions::ProducerState;
use crate::partition::{Checkpointed, Cursor, FetchLimits, Leader, PartitionLog};
use crate::segment;
use crate::sys::faults::{Faults, Operation};

pub(super) const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// Bytes of a batch as a broker writes it, at an offset.
pub(super) fn bytes_at(
    offset: u64,
    records: &[TestRecord],
    change: impl FnOnce(&mut BatchHeader),
) -> Vec<u8> {
    let mut builder = batch(records);
    let mut bytes = builder.finish().unwrap().placed_at(i64::try_from(offset).unwrap(), 0).to_vec();
    let mut header = BatchHeader::read(bytes.first_chunk().unwrap());
    change(&mut header);
    header.write(bytes.first_chunk_mut::<HEADER_BYTES>().unwrap());
    let crc = crc32c(&bytes[CHECKSUMMED..]);
    BatchHeader::seal(bytes.first_chunk_mut().unwrap(), crc);
    bytes
}

fn data(offset: u64, producer: i64, transactional: bool, count: usize) -> Vec<u8> {
    let records: Vec<_> = (0..count as u64).map(|at| TestRecord::of(format!("{}", offset + at))).collect();
    bytes_at(offset, &records, |header| {
        header.producer_id = producer;
        header.producer_epoch = 0;
        header.base_sequence = i32::try_from(offset).unwrap();
        header.attributes = if transactional { TRANSACTIONAL } else { 0 };
    })
}

pub(super) fn marker(offset: u64, producer: i64, commits: bool) -> Vec<u8> {
    let record = TestRecord {
        key: Some(vec![0, 0, 0, u8::from(commits)]),
        value: Some(vec![0; 6]),
        ..TestRecord::of("")
    };
    bytes_at(offset, &[record], |header| {
        header.producer_id = producer;
        header.producer_epoch = 0;
        header.attributes = TRANSACTIONAL | CONTROL;
    })
}

/// What happens in the life of a partition.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A producer of a transaction writes records, as a broker appends them.
    Data {
        producer: i64,
        count: usize,
    },
    /// A producer with an id, but without a transaction.
    Idempotent,
    End {
        producer: i64,
        commits: bool,
    },
    Roll,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..5_i64, 1..4_usize).prop_map(|(producer, count)| Step::Data { producer, count }),
        2 => Just(Step::Idempotent),
        4 => (1..5_i64, any::<bool>()).prop_map(|(producer, commits)| Step::End { producer, commits }),
        1 => Just(Step::Roll),
    ]
}

/// A partition as a broker writes it, and the plain truth about it.
#[derive(Default)]
pub(super) struct Model {
    /// Log files by base offset.
    pub(super) segments: Vec<(u64, Vec<u8>)>,
    pub(super) next: u64,
    /// Offset and transaction of each record; transactions are numbered.
    records: Vec<(u64, Option<usize>)>,
    /// Producer, first offset and outcome of each transaction.
    transactions: Vec<(i64, u64, Option<bool>)>,
    aborted: Vec<AbortedTransaction>,
    /// Log end offsets at which a broker would have taken a snapshot, with what it would hold.
    pub(super) state: ProducerState,
    pub(super) snapshots: Vec<(u64, Vec<u8>)>,
}

impl Model {
    pub(super) fn of(steps: &[Step]) -> Self {
        let mut model = Self { segments: vec![(0, Vec::new())], ..Self::default() };
        for step in steps {
            model.take(step);
        }
        model
    }

    fn open_of(&self, producer: i64) -> Option<usize> {
        self.transactions.iter().position(|one| one.0 == producer && one.2.is_none())
    }

    pub(super) fn take(&mut self, step: &Step) {
        let next = self.next;
        match *step {
            Step::Data { producer, count } => {
                let open = self.open_of(producer).unwrap_or_else(|| {
                    self.transactions.push((producer, next, None));
                    self.transactions.len() - 1
                });
                self.records.extend((next..next + count as u64).map(|offset| (offset, Some(open))));
                self.put(&data(next, producer, true, count), count as u64);
            }
            Step::Idempotent => {
                self.records.push((next, None));
                self.put(&data(next, 99, false, 1), 1);
            }
            Step::End { producer, commits } => {
                if let Some(open) = self.open_of(producer) {
                    self.transactions[open].2 = Some(commits);
                    if !commits {
                        let first_offset = self.transactions[open].1;
                        let last_stable = self.first_open().unwrap_or(next + 1);
                        let last_offset = next;
                        let producer_id = producer;
                        self.aborted.push(AbortedTransaction {
                            producer_id,
                            first_offset,
                            last_offset,
                            last_stable,
                        });
                    }
                }
                self.put(&marker(next, producer, commits), 1);
            }
            Step::Roll => {
                if !self.segments.last().unwrap().1.is_empty() {
                    self.segments.push((next, Vec::new()));
                    self.snapshots.push((next, self.state.encode()));
                }
            }
        }
    }

    fn put(&mut self, bytes: &[u8], offsets: u64) {
        let header = BatchHeader::read(bytes.first_chunk().unwrap());
        self.state.note(&header, crate::format::control::ControlRecord::of_batch(bytes));
        self.segments.last_mut().unwrap().1.extend_from_slice(bytes);
        self.next += offsets;
    }

    pub(super) fn first_open(&self) -> Option<u64> {
        self.transactions.iter().filter(|one| one.2.is_none()).map(|one| one.1).min()
    }

    /// Offsets that a reader of committed records sees.
    pub(super) fn committed(&self) -> Vec<u64> {
        let stable = self.first_open().unwrap_or(self.next);
        let counts = |of: &Option<usize>| of.is_none_or(|of| self.transactions[of].2 == Some(true));
        self.records.iter().filter(|(at, of)| *at < stable && counts(of)).map(|(at, _)| *at).collect()
    }

    /// The aborted transactions whose markers are in the segment at `base`.
    pub(super) fn aborted_in(&self, base: u64) -> Vec<AbortedTransaction> {
        let end = self.segments.iter().map(|(base, _)| *base).find(|other| *other > base);
        let range = base..end.unwrap_or(u64::MAX);
        self.aborted.iter().filter(|one| range.contains(&one.last_offset)).copied().collect()
    }

    /// The files that a broker leaves, with or without what can be made again.
    pub(super) fn write(&self, fixture: &Fixture, derived: bool) {
        // Made by us, so that the id and the epochs are there.
        let log = fixture.open_new();
        append(&log, &[TestRecord::of("first")]).unwrap();
        log.close().unwrap();
        let names = fixture.files().into_keys().filter(|name| name.starts_with("0000"));
        names.for_each(|name| fs::remove_file(fixture.directory().join(name)).unwrap());
        for (base, bytes) in &self.segments {
            fs::write(fixture.log_file(*base), bytes).unwrap();
            if derived {
                fs::write(file(fixture, *base, segment::OFFSET_INDEX), []).unwrap();
                fs::write(file(fixture, *base, segment::TIME_INDEX), []).unwrap();
                let aborted = self.aborted_in(*base);
                if !aborted.is_empty() {
                    let bytes = transaction_index::encode(&aborted);
                    fs::write(file(fixture, *base, segment::TRANSACTION_INDEX), bytes).unwrap();
                }
            }
        }
        if derived {
            let last = (self.next, self.state.encode());
            for (at, bytes) in self.snapshots.iter().chain([&last]) {
                fs::write(file(fixture, *at, segment::PRODUCER_SNAPSHOT), bytes).unwrap();
            }
        }
    }

    /// Asserts that this is what is read, and from every offset on.
    pub(super) fn check<T>(&self, log: &Arc<T>)
    where
        Arc<T>: Into<PartitionLog>,
    {
        let bounds = as_log(log).bounds().unwrap();
        let stable = self.first_open().unwrap_or(self.next);
        assert_eq!((bounds.last_stable, bounds.log_end), (stable, self.next));
        let committed = self.committed();
        for from in 0..=self.next {
            let limits = FetchLimits { bytes: 1 + usize::try_from(from).unwrap() * 40, records: 3 };
            let limits = if from % 2 == 0 { ANY } else { limits };
            let found = offsets(log, from, IsolationLevel::ReadCommitted, limits);
            let expected: Vec<_> = committed.iter().copied().filter(|at| *at >= from).collect();
            assert_eq!(found, expected, "committed from {from}");
        }
        let all: Vec<_> = self.records.iter().map(|(at, _)| *at).collect();
        assert_eq!(offsets(log, 0, IsolationLevel::ReadUncommitted, ANY), all);
    }

    /// Asserts that the indexes of transactions are what a broker has, and the snapshots say the truth.
    pub(super) fn check_files(&self, fixture: &Fixture) {
        for (base, _) in &self.segments {
            let index = fs::read(file(fixture, *base, segment::TRANSACTION_INDEX)).ok();
            let aborted = self.aborted_in(*base);
            let expected = (!aborted.is_empty()).then(|| transaction_index::encode(&aborted));
            assert_eq!(index, expected, "the index of {base}");
        }
        for (name, bytes) in fixture.files() {
            let Some(at) = segment::base_of(&name, segment::PRODUCER_SNAPSHOT) else { continue };
            let known = self.snapshots.iter().find(|(known, _)| *known == at).map(|(_, bytes)| bytes.clone());
            assert!(known.is_some() || at >= self.next, "{name} belongs to nothing");
            assert_eq!(bytes, known.unwrap_or_else(|| self.state.encode()), "{name}");
        }
    }
}

pub(super) fn file(fixture: &Fixture, at: u64, suffix: &str) -> PathBuf {
    fixture.directory().join(segment::file_name(at, suffix))
}

fn offsets<T>(log: &Arc<T>, from: u64, level: IsolationLevel, limits: FetchLimits) -> Vec<u64>
where
    Arc<T>: Into<PartitionLog>,
{
    let mut cursor = Cursor::new(Arc::clone(log), from, ReadUpTo::Visible).isolated(level);
    let mut found = Vec::new();
    while let Some(fetched) = cursor.fetch(limits).unwrap() {
        assert!(cursor.offset() > from || fetched.records > 0);
        found.extend(records_of(&fetched).into_iter().map(|(offset, record)| {
            assert_eq!(record.value, Some(offset.to_string().into_bytes()));
            offset
        }));
    }
    assert!(!cursor.may_have_data(), "what waits for data must not spin");
    found
}

pub(super) fn clean(model: &Model) -> Checkpointed {
    Checkpointed { clean: true, recovery_point: Some(model.next), log_start: 0, ..Checkpointed::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::fuzzing::cases(64), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readers_of_committed_records_see_what_was_committed(
        steps in vec(step(), 1..60),
        point in 0..100_u64,
        lost in 0..4_u8,
    ) {
        let model = Model::of(&steps);
        let fixture = Fixture::new(POSITIONED, 1 << 20);
        if model.segments.len() == 1 && model.next == 0 {
            return Ok(());
        }
        // Closed cleanly, by a broker or by a program that leaves the bare logs.
        for derived in [true, false] {
            model.write(&fixture, derived);
            model.check(&fixture.open(clean(&model)));
            model.check_files(&fixture);
        }
        // Killed, with whatever of the derived files, right or wrong.
        model.write(&fixture, true);
        let point = model.next * point / 100;
        let whole = |at: u64| model.segments.iter().map(|(base, _)| *base).filter(|base| *base <= at).max();
        let below = whole(point).unwrap_or(0);
        for (name, _) in fixture.files() {
            let path = fixture.directory().join(&name);
            let snapshot = segment::base_of(&name, segment::PRODUCER_SNAPSHOT);
            let index = segment::base_of(&name, segment::TRANSACTION_INDEX).filter(|base| *base >= below);
            match lost {
                1 if snapshot.is_some() => fs::remove_file(path).unwrap(),
                2 if snapshot.or(index).is_some() => fs::write(path, b"nonsense").unwrap(),
                3 if index.is_some() => fs::remove_file(path).unwrap(),
                _ => {}
            }
        }
        let log = fixture.open_unclean(point);
        model.check(&log);
        log.close().unwrap();
        model.check_files(&fixture);
        let log = fixture.open(clean(&model));
        model.check(&log);

        // Our own records go after it, roll, and change nothing in it.
        fixture.check_continues(&log, &model);
    }
}

impl Fixture {
    fn check_continues(&self, log: &Arc<Leader>, model: &Model) {
        let ours = |offset: u64| TestRecord::of(offset.to_string());
        let mut expected = Model { ..Model::default() };
        expected.segments.clone_from(&model.segments);
        expected.transactions.clone_from(&model.transactions);
        expected.records.clone_from(&model.records);
        expected.state.clone_from(&model.state);
        for offset in model.next..model.next + 3 {
            append(log, &[ours(offset)]).unwrap();
            expected.records.push((offset, None));
            expected.next = offset + 1;
        }
        expected.check(log);
        log.close().unwrap();
        let last = fs::read(file(self, expected.next, segment::PRODUCER_SNAPSHOT)).unwrap();
        assert_eq!(last, model.state.encode());
        expected.check(&self.open(clean(&expected)));
        expected.check(&self.open_unclean(0));
    }
}

/// The sample directory's partition: one aborted transaction, its index and its snapshot.
#[test]
fn the_sample_partition_hides_its_aborted_records() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/logdir/orders-1");
    fs::create_dir(fixture.directory()).unwrap();
    for entry in fs::read_dir(sample).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), fixture.directory().join(entry.file_name())).unwrap();
    }
    let before = fixture.files();
    let committed = [3, 4, 5, 7, 8, 9];
    let read = |log: &Arc<Leader>| {
        let mut cursor =
            Cursor::new(Arc::clone(log), 0, ReadUpTo::Visible).isolated(IsolationLevel::ReadCommitted);
        let mut found = Vec::new();
        while let Some(fetched) = cursor.fetch(ANY).unwrap() {
            found.extend(records_of(&fetched).into_iter().map(|(offset, _)| offset));
        }
        assert_eq!(cursor.offset(), 11, "after the marker at the end");
        found
    };
    assert_eq!(read(&fixture.open_clean(11)), committed);
    fixture.assert_files(&before);
    // The index is found out to be wrong only when it is needed; it can be made from the batches.
    for wrong in [&b"nonsense"[..], &[1; 34], &vec![0xff; 100_000]] {
        fs::write(file(&fixture, 0, segment::TRANSACTION_INDEX), wrong).unwrap();
        assert_eq!(read(&fixture.open_clean(11)), committed);
    }
    let log = fixture.open_unclean(0);
    assert_eq!(read(&log), committed);
    log.close().unwrap();
    let name = segment::file_name(0, segment::TRANSACTION_INDEX);
    assert_eq!(fixture.files().get(&name), before.get(&name));
    let name = segment::file_name(11, segment::PRODUCER_SNAPSHOT);
    assert_eq!(fixture.files().get(&name), before.get(&name));
}

/// What the markers say counts, not an index, for which a broker takes a missing one too.
#[test]
fn without_the_index_aborted_records_stay_hidden() {
    let model = Model::of(&[
        Step::Data { producer: 1, count: 2 },
        Step::End { producer: 1, commits: false },
        Step::Idempotent,
    ]);
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    model.write(&fixture, true);
    fs::remove_file(file(&fixture, 0, segment::TRANSACTION_INDEX)).unwrap();
    model.check(&fixture.open(clean(&model)));
    fs::remove_file(file(&fixture, 0, segment::OFFSET_INDEX)).unwrap();
    model.check(&fixture.open(clean(&model)));
    model.check_files(&fixture);
}

/// A damaged header must not make a batch one of an aborted transaction.
#[test]
fn damage_is_reported_and_not_hidden() {
    let model = Model::of(&[
        Step::Data { producer: 1, count: 2 },
        Step::Data { producer: 2, count: 2 },
        Step::End { producer: 1, commits: false },
        Step::End { producer: 2, commits: true },
        Step::Data { producer: 3, count: 1 },
    ]);
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    model.write(&fixture, true);
    let bytes = &model.segments[0].1;
    for at in batches_of(bytes, 0) {
        for byte in at.position..at.position + at.bytes {
            for bit in [0, 3, 7] {
                let mut damaged = bytes.clone();
                damaged[byte] ^= 1 << bit;
                // After the last index entry everything is checked at open; so let that be all.
                fs::write(fixture.log_file(0), bytes).unwrap();
                let log = fixture.open(clean(&model));
                log.bounds().unwrap();
                fs::write(fixture.log_file(0), &damaged).unwrap();
                let mut cursor = Cursor::new(Arc::clone(&log), 0, ReadUpTo::Visible)
                    .isolated(IsolationLevel::ReadCommitted);
                let mut found = Vec::new();
                let outcome = loop {
                    match cursor.fetch(ANY) {
                        Ok(Some(fetched)) => found.extend(records_of(&fetched).into_iter().map(|one| one.0)),
                        Ok(None) => break Ok(()),
                        Err(failure) => break Err(failure),
                    }
                };
                // The checksum does not cover what is before it, the offset among that.
                if byte - at.position >= CHECKSUMMED {
                    assert!(found.iter().all(|at| [2, 3].contains(at)), "{found:?}");
                    assert!(outcome.is_err() || found == [2, 3], "byte {byte}, bit {bit}");
                }
            }
        }
    }
}

/// Snapshots that nothing needs any more go when the log is loaded.
#[test]
fn stale_snapshots_go() {
    let roll = [Step::Idempotent, Step::Roll];
    let model = Model::of(&[&roll[..], &roll, &roll, &roll[..1]].concat());
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let snapshots = |fixture: &Fixture| -> Vec<u64> {
        let names = fixture.files().into_keys();
        names.filter_map(|name| segment::base_of(&name, segment::PRODUCER_SNAPSHOT)).collect()
    };
    model.write(&fixture, true);
    assert_eq!(snapshots(&fixture), [1, 2, 3, 4]);
    fs::write(file(&fixture, 9, segment::PRODUCER_SNAPSHOT), model.state.encode()).unwrap();
    let log = fixture.open(Checkpointed { log_start: 2, ..clean(&model) });
    log.bounds().unwrap();
    assert_eq!(snapshots(&fixture), [3, 4], "not below the log start, not above the log end");
    append(&log, &[TestRecord::of("4")]).unwrap();
    log.close().unwrap();
    assert_eq!(snapshots(&fixture), [3, 4, 5]);
    let log = fixture.open_clean(5);
    log.bounds().unwrap();
    assert_eq!(snapshots(&fixture), [3, 5], "the newest one only of those that are of no segment");
    // One that does not hold together is passed over, and gone through the batches instead.
    fs::write(file(&fixture, 5, segment::PRODUCER_SNAPSHOT), b"nonsense").unwrap();
    let log = fixture.open_clean(5);
    log.bounds().unwrap();
    assert_eq!(fs::read(file(&fixture, 5, segment::PRODUCER_SNAPSHOT)).unwrap(), model.state.encode());
}

/// A bit of everything, in three segments.
fn steps() -> Vec<Step> {
    let data = |producer, count| Step::Data { producer, count };
    let end = |producer, commits| Step::End { producer, commits };
    let first = [data(1, 2), data(2, 1), Step::Idempotent, end(1, false), data(1, 1), Step::Roll];
    let second = [data(3, 1), end(1, true), data(1, 3), end(3, false), Step::Roll];
    let third = [data(4, 2), end(2, false), end(4, true), data(2, 1), end(1, false), Step::Idempotent];
    [&first[..], &second, &third].concat()
}

#[test]
fn a_log_cut_anywhere_keeps_what_it_says_of_transactions() {
    let steps = steps();
    let whole = Model::of(&steps);
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    whole.write(&fixture, true);
    let files = fixture.files();
    let (base, bytes) = whole.segments.last().unwrap();
    let prefixes: Vec<_> = (0..=steps.len()).map(|count| Model::of(&steps[..count])).collect();
    for length in 0..bytes.len() {
        fixture.restore(&files);
        fs::write(fixture.log_file(*base), &bytes[..length]).unwrap();
        let is_left = |model: &&Model| model.segments.len() == 3 && model.segments[2].1.len() <= length;
        let model = prefixes.iter().rfind(is_left).unwrap();
        let log = fixture.open_unclean(*base);
        model.check(&log);
        log.close().unwrap();
        model.check_files(&fixture);
    }
}

/// Whatever fails while a log is recovered, the next attempt comes to the same.
#[test]
fn recovery_that_failed_can_be_tried_again() {
    let model = Model::of(&steps());
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    for operation in [Operation::Create, Operation::Write, Operation::Rename, Operation::Sync] {
        for successes in 0.. {
            model.write(&fixture, false);
            let faults = Faults::after(operation, successes, ErrorKind::Other, false);
            let log = fixture.open_with(&faults, Checkpointed::default());
            if log.load().is_err() {
                log.load().unwrap();
            }
            model.check(&log);
            let closed = log.close();
            if !faults.have_struck() {
                break;
            }
            let log = match closed {
                Ok(()) => fixture.open(clean(&model)),
                Err(_) => fixture.open_unclean(0),
            };
            model.check(&log);
            log.close().unwrap();
            model.check_files(&fixture);
        }
    }
}
