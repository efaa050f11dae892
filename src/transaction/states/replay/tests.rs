use proptest::prelude::*;

use super::*;
use crate::format::batch::BatchBuilder;
use crate::format::record::RecordFields;
use crate::format::transaction_state::{TransactionStatus, push_key};

type Record = (Option<Vec<u8>>, Option<Vec<u8>>);

/// What records add up to, each a key and a value, and the offsets of those that are reported.
fn replayed(records: &[Record]) -> (ReplayedStates, Vec<u64>) {
    let mut builder = BatchBuilder::default();
    for (key, value) in records {
        let fields = RecordFields { key: key.as_deref(), value: value.as_deref(), headers: &[] };
        let measured = builder.measure(&fields, 0);
        builder.push(&fields, measured, 0);
    }
    let (mut replayed, mut skipped) = (ReplayedStates::default(), Vec::new());
    if let Some(mut batch) = builder.finish() {
        batch.placed_at(0, 0);
        replayed.apply(&batch.as_batch().unwrap(), 0, &mut |record| skipped.push(record.offset));
    }
    (replayed, skipped)
}

fn state(partitions: u32) -> TransactionState {
    TransactionState {
        producer_id: 1000,
        epoch: 1,
        timeout_ms: 60_000,
        status: TransactionStatus::Ongoing,
        partitions: (0..partitions).map(|partition| ("t", partition).into()).collect(),
        updated_at: 7,
        started_at: Some(7),
        next_producer_id: None,
        client_version: 0,
    }
}

fn record(id: &str, state: &TransactionState) -> Record {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    push_key(id, &mut key).unwrap();
    state.encode(&mut value).unwrap();
    (Some(key), Some(value))
}

#[test]
fn a_state_with_many_partitions_does_not_keep_its_memory() {
    let (replayed, skipped) = replayed(&[record("a", &state(2000)), record("a", &state(3))]);
    assert_eq!((replayed.state("a"), skipped), (Some(state(3)), vec![]));
    let kept = replayed.ids["a"].value.capacity();
    assert!(kept <= KEPT_BYTES, "{kept}");
}

proptest! {
    #![proptest_config(crate::fuzzing::properties())]
    #[test]
    fn garbage_is_left_out_or_read(
        records in proptest::collection::vec(
            (
                proptest::option::of("[ab]?"),
                any::<Option<Vec<u8>>>(),
                proptest::option::of(0..3_i16),
            ),
            0..20,
        ),
    ) {
        let records = records.into_iter().map(|(id, value, version)| {
            let key = id.map(|id| {
                let mut key = Vec::new();
                push_key(&id, &mut key).unwrap();
                key
            });
            let value = value.map(|value| [&version.map_or([0; 2], i16::to_be_bytes)[..], &value].concat());
            (key, value)
        });
        let records: Vec<_> = records.collect();
        let (replayed, skipped) = replayed(&records);
        for id in ["", "a", "b"] {
            let (state, unreadable) = (replayed.state(id), replayed.why_unreadable(id));
            prop_assert_eq!(state.is_some() || unreadable.is_some(), replayed.contains(id), "{}", id);
            prop_assert!(state.is_none() || unreadable.is_none(), "{}", id);
            prop_assert!(unreadable.is_none_or(|(at, _)| skipped.contains(&at)));
        }
        let without_key = records.iter().rposition(|(key, _)| key.is_none());
        prop_assert_eq!(replayed.left_out(), without_key.map(|at| at as u64));
    }
}
