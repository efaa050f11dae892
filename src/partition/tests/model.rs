//! A partition against a plain list of records: whatever is done to both, both hold the same.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::fixture::{Fixture, Modes, TestRecord, append, as_log, batch, preallocate_now, read};
use crate::error::Error;
use crate::partition::{Cursor, FetchLimits, Leader};

#[derive(Debug, Clone)]
enum Action {
    Append(Vec<TestRecord>),
    /// From this part of the log on, in 256ths.
    Read {
        from: u8,
        limits: FetchLimits,
    },
    Time {
        from: u8,
        at: i64,
    },
    WorkAhead,
    Sync,
    CloseAndReopen,
    /// Neither closed nor synced.
    DropAndReopen,
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    (0..=most, any::<u8>()).prop_map(|(length, first)| {
        (0..length).map(|at| u8::try_from((at + usize::from(first)) % 251).unwrap()).collect()
    })
}

fn record() -> impl Strategy<Value = TestRecord> {
    let header = ("[a-z]{0,4}", option::of(bytes(40)));
    let value = prop_oneof![bytes(100), bytes(3000)];
    (-3_i64..500, option::of(bytes(30)), option::of(value), vec(header, 0..3))
        .prop_map(|(timestamp, key, value, headers)| TestRecord { timestamp, key, value, headers })
}

fn action() -> impl Strategy<Value = Action> {
    let limits = (prop_oneof![0..200_usize, 0..50_000_usize], 1..30_usize)
        .prop_map(|(bytes, records)| FetchLimits { bytes, records });
    prop_oneof![
        12 => vec(record(), 1..20).prop_map(Action::Append),
        4 => (any::<u8>(), limits).prop_map(|(from, limits)| Action::Read { from, limits }),
        3 => (any::<u8>(), -5_i64..505).prop_map(|(from, at)| Action::Time { from, at }),
        3 => Just(Action::WorkAhead),
        1 => Just(Action::Sync),
        1 => Just(Action::CloseAndReopen),
        2 => Just(Action::DropAndReopen),
    ]
}

struct Pair {
    fixture: Fixture,
    log: Arc<Leader>,
    model: Vec<TestRecord>,
}

impl Pair {
    fn run(&mut self, action: Action) {
        let part = |from: u8| self.model.len() * usize::from(from) / 255;
        match action {
            Action::Append(records) => self.append(records),
            Action::Read { from, limits } => self.check_reading(part(from), limits),
            Action::Time { from, at } => self.check_time(part(from), at),
            Action::WorkAhead => preallocate_now(&self.log),
            Action::Sync => {
                self.log.sync().unwrap();
                let end = self.model.len() as u64;
                assert_eq!(self.log.recovery_point().unwrap_or(0), end, "all of it is on disk");
            }
            Action::CloseAndReopen => self.close_and_reopen(),
            Action::DropAndReopen => {
                let point = self.log.recovery_point().unwrap_or(0);
                self.log = self.fixture.open_unclean(point);
                let report = self.log.load().unwrap().unwrap();
                assert_eq!((report.bytes_truncated, report.log_end), (0, self.model.len() as u64));
            }
        }
        let bounds = self.log.bounds().unwrap();
        assert_eq!((bounds.log_start, bounds.log_end), (0, self.model.len() as u64));
    }

    fn append(&mut self, records: Vec<TestRecord>) {
        let bytes = batch(&records).finish().unwrap().len();
        match append(&self.log, &records) {
            Ok(base) => {
                assert_eq!(base, self.model.len() as u64);
                self.model.extend(records);
            }
            Err(Error::TooLarge { .. }) => assert!(bytes > self.fixture.settings.segment_bytes as usize),
            Err(failure) => panic!("{failure}"),
        }
    }

    fn close_and_reopen(&mut self) {
        self.log.bounds().unwrap();
        self.log.close().unwrap();
        if !self.model.is_empty() {
            self.fixture.check_closed();
        }
        self.log = self.fixture.open_clean(self.log.recovery_point().unwrap_or(0));
    }

    fn check_reading(&self, from: usize, limits: FetchLimits) {
        let found = read(&self.log, from as u64, limits).unwrap();
        assert_eq!(found.len(), self.model.len() - from);
        for ((offset, record), (at, expected)) in found.iter().zip(self.model.iter().enumerate().skip(from)) {
            assert_eq!((*offset, record), (at as u64, expected));
        }
    }

    fn check_time(&self, from: usize, at: i64) {
        let found = Cursor::offset_for_time(&as_log(&self.log), at, from as u64).unwrap();
        let expected = self.model.iter().enumerate().skip(from).find(|(_, record)| record.timestamp >= at);
        assert_eq!(found, expected.map(|(offset, _)| offset as u64));
    }
}

fn run(modes: Modes, segment_bytes: u32, late: bool, actions: Vec<Action>) {
    let mut fixture = Fixture::new(modes, segment_bytes);
    if late {
        fixture.finish_late();
    }
    let log = fixture.open_new();
    let mut pair = Pair { fixture, log, model: Vec::new() };
    for action in actions {
        pair.run(action);
    }
    pair.check_reading(0, FetchLimits { bytes: 10_000, records: usize::MAX });
    pair.close_and_reopen();
    pair.check_reading(0, FetchLimits { bytes: 1 << 20, records: 3 });
    pair.check_time(0, 250);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::fuzzing::cases(64), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_partition_holds_what_a_list_holds(
        modes in (0..8_usize).prop_map(|at| Modes::all().nth(at).unwrap()),
        segment_bytes in prop_oneof![Just(9_000_u32), Just(40_000), Just(300_000)],
        late in any::<bool>(),
        actions in vec(action(), 1..40),
    ) {
        run(modes, segment_bytes, late, actions);
    }
}
