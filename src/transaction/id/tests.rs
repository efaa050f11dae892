use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::format::transaction_state::TransactionStatus as Status;

const NOW: i64 = 1_790_000_000_000;

fn with(status: Status) -> Id {
    let partitions = if status.is_open() { vec![("t", 0).into()] } else { Vec::new() };
    let state = TransactionState {
        status,
        epoch: 7,
        partitions,
        started_at: Some(NOW),
        ..Id::new(1000, 60_000, NOW).state
    };
    resume(state, None)
}

type Transition = (&'static str, fn(&mut Id) -> Result<(), Refused>);

const TRANSITIONS: [Transition; 7] = [
    ("init", |id| id.init(None, 1, NOW + 1)),
    ("begin", |id| id.begin([("u", 1).into()], NOW + 1)),
    ("add", |id| id.add([("u", 1).into()], NOW + 1)),
    ("prepare commit", |id| id.prepare(End::Commit, NOW + 1)),
    ("prepare abort", |id| id.prepare(End::Abort, NOW + 1)),
    ("complete", |id| id.complete(NOW + 1)),
    ("fence", |id| id.fence(NOW + 1)),
];

#[test]
fn each_state_and_each_transition() {
    use Refused::{Expired, NotOpen, Open, Pending};
    let (empty, ongoing) = (Ok((Status::Empty, 8)), Ok((Status::Ongoing, 8)));
    let idle = [empty, ongoing, Err(NotOpen), Err(NotOpen), Err(NotOpen), Err(NotOpen), Err(NotOpen)];
    let fenced = Ok((Status::PrepareAbort, 8));
    let prepared = |complete| {
        let refused = Err(Pending);
        [refused, refused, refused, refused, refused, Ok((complete, 7)), refused]
    };
    let of_ongoing = [
        Err(Open),
        Err(Open),
        Ok((Status::Ongoing, 7)),
        Ok((Status::PrepareCommit, 7)),
        Ok((Status::PrepareAbort, 7)),
        Err(Open),
        fenced,
    ];
    let mut of_fenced = [Err(Open); 7];
    of_fenced[6] = fenced;
    let mut expired = [Err(Expired); 7];
    expired[0] = empty;
    let table = [
        (Status::Empty, idle),
        (Status::Ongoing, of_ongoing),
        (Status::PrepareCommit, prepared(Status::CompleteCommit)),
        (Status::PrepareAbort, prepared(Status::CompleteAbort)),
        (Status::CompleteCommit, idle),
        (Status::CompleteAbort, idle),
        (Status::Dead, expired),
        (Status::PrepareEpochFence, of_fenced),
    ];
    for (status, row) in table {
        for ((name, transition), expected) in TRANSITIONS.into_iter().zip(row) {
            let before = with(status);
            let mut id = before.clone();
            let outcome = transition(&mut id).map(|()| (id.state.status, id.state.epoch));
            assert_eq!(outcome, expected, "{status:?} {name}");
            if outcome.is_err() {
                assert_eq!(id, before, "{status:?} {name}");
                continue;
            }
            assert_eq!((id.state.producer_id, id.state.updated_at), (1000, NOW + 1));
            let partitions: Vec<_> = id.state.partitions.iter().map(ToString::to_string).collect();
            let expected = match (name, status) {
                ("begin", _) => vec!["u-1"],
                ("add", _) => vec!["t-0", "u-1"],
                ("prepare commit" | "prepare abort" | "fence", _) => vec!["t-0"],
                _ => vec![],
            };
            assert_eq!(partitions, expected, "{status:?} {name}");
        }
    }
}

#[test]
fn the_first_transaction_has_one_more_than_the_first_state() {
    let mut id = Id::new(5, 100, NOW);
    assert_eq!((id.state().epoch, id.state().status, id.end()), (0, Status::Empty, None));
    id.begin([("t", 1).into(), ("t", 0).into(), ("t", 1).into()], NOW + 1).unwrap();
    assert_eq!((id.state().epoch, id.state().started_at), (1, Some(NOW + 1)));
    assert_eq!(id.state().partitions, [("t", 0).into(), ("t", 1).into()]);
    id.prepare(End::Commit, NOW + 2).unwrap();
    assert_eq!((id.state().epoch, id.end()), (1, Some(End::Commit)));
    id.complete(NOW + 3).unwrap();
    assert_eq!((id.state().epoch, id.state().started_at, id.end()), (1, Some(NOW + 1), None));
    id.begin([], NOW + 4).unwrap();
    assert_eq!(id.state().epoch, 2);
    id.fence(NOW + 5).unwrap();
    assert_eq!((id.state().epoch, id.end()), (3, Some(End::Abort)));
    id.complete(NOW + 6).unwrap();
    id.init(None, 200, NOW + 7).unwrap();
    let state = id.state();
    assert_eq!((state.producer_id, state.epoch, state.timeout_ms, state.started_at), (5, 4, 200, None));
}

#[test]
fn a_producer_whose_epochs_are_used_up_is_replaced() {
    let mut id = Id::new(5, 100, NOW);
    for epoch in 1..=MAX_EPOCH {
        assert!(!id.is_used_up());
        id.begin([], NOW).unwrap();
        assert_eq!(id.state().epoch, epoch);
        id.prepare(End::Commit, NOW).unwrap();
        id.complete(NOW).unwrap();
    }
    let before = id.clone();
    assert!(id.is_used_up());
    assert_eq!(id.begin([], NOW), Err(Refused::UsedUp));
    assert_eq!(id.init(None, 100, NOW), Err(Refused::UsedUp));
    assert_eq!((&id, id.state().epoch), (&before, 32_766));
    id.init(Some(6), 100, NOW).unwrap();
    assert_eq!(id, Id::new(6, 100, NOW));

    // The last transaction too can be fenced, with the epoch that is left for that.
    let last = TransactionState { epoch: MAX_EPOCH, ..with(Status::Ongoing).state };
    for seen in [None, Some(i16::MAX)] {
        let mut id = resume(last.clone(), seen);
        id.fence(NOW).unwrap();
        assert_eq!((id.state().epoch, id.is_used_up()), (i16::MAX, true));
        id.complete(NOW).unwrap();
        assert_eq!(id.begin([], NOW), Err(Refused::UsedUp));
    }
}

#[test]
fn an_id_continues_above_every_batch_that_is_left() {
    let resumed = |status, seen| resume(with(status).state, seen);
    for seen in [None, Some(-1), Some(6), Some(7)] {
        for status in [Status::Empty, Status::Ongoing, Status::PrepareCommit, Status::CompleteAbort] {
            assert_eq!(resumed(status, seen), with(status), "{seen:?}");
        }
    }
    // Of a transaction whose states are lost.
    for idle in [Status::Empty, Status::CompleteCommit, Status::CompleteAbort, Status::PrepareAbort] {
        let mut id = resumed(idle, Some(9));
        assert_eq!((id.state().epoch, id.end()), (9, Some(End::Abort)), "{idle:?}");
        id.complete(NOW).unwrap();
        id.begin([], NOW).unwrap();
        assert_eq!(id.state().epoch, 10);
    }
    let mut id = resumed(Status::Ongoing, Some(9));
    assert_eq!(id.state(), with(Status::Ongoing).state());
    id.fence(NOW).unwrap();
    assert_eq!((id.state().epoch, id.end()), (10, Some(End::Abort)));

    // What was decided is done first, with its own epoch.
    let mut id = resumed(Status::PrepareCommit, Some(9));
    assert_eq!((id.state().epoch, id.end()), (7, Some(End::Commit)));
    id.complete(NOW).unwrap();
    assert_eq!((id.state().epoch, id.end(), &id.state().partitions[..]), (9, Some(End::Abort), &[][..]));
    id.complete(NOW).unwrap();
    assert_eq!((id.state().epoch, id.state().status), (9, Status::CompleteAbort));
}

#[test]
fn the_end_of_a_brokers_last_epoch_is_that_of_its_producer() {
    let state = TransactionState {
        epoch: i16::MAX,
        next_producer_id: Some(2000),
        client_version: 2,
        ..with(Status::PrepareCommit).state
    };
    let mut id = resume(state, Some(MAX_EPOCH));
    assert_eq!(id.end(), Some(End::Commit));
    id.complete(NOW).unwrap();
    let state = id.state();
    assert_eq!((state.producer_id, state.epoch, state.status), (2000, 0, Status::CompleteCommit));
    assert_eq!((state.next_producer_id, state.client_version), (None, 0));
    id.begin([], NOW).unwrap();
    assert_eq!((id.state().producer_id, id.state().epoch), (2000, 1));
}

/// What is tried, and a number from which a stop takes what is lost.
fn actions() -> impl Strategy<Value = Vec<(usize, u32)>> {
    proptest::collection::vec((0..9_usize, any::<u32>()), 1..120)
}

proptest! {
    #![proptest_config(crate::fuzzing::properties())]
    /// A transaction never has the epoch of one that has batches in the log, nor a lower one, whatever a stop has taken from
    /// the ends of the shard and of the partitions.
    #[test]
    fn no_epoch_is_used_twice(actions in actions(), begins_at in (MAX_EPOCH - 12)..MAX_EPOCH) {
        let mut next_producer_id = 1001;
        let mut id = Id::new(1000, 60_000, NOW);
        id.state.epoch = begins_at;
        id = resume(id.state, None);
        let mut written = vec![id.state().clone()];
        // By producer, the epochs of the transactions that have batches, in their order.
        let mut used: BTreeMap<i64, Vec<i16>> = BTreeMap::new();
        for (action, number) in actions {
            let before = id.clone();
            match action {
                0..=6 => {
                    if TRANSITIONS[action].1(&mut id).is_err() {
                        prop_assert_eq!(&id, &before);
                    }
                }
                7 if id.is_used_up() => {
                    if id.init(Some(next_producer_id), 60_000, NOW).is_ok() {
                        next_producer_id += 1;
                    }
                }
                _ => {
                    written.truncate(1 + number as usize % written.len());
                    let state = written.last().unwrap().clone();
                    let left = used.entry(state.producer_id).or_default();
                    left.truncate(left.len().saturating_sub(number as usize >> 16 & 3));
                    // A fence is seen by its marker only, and that comes after its state.
                    id = resume(state, left.last().copied());
                    continue;
                }
            }
            prop_assert!(id.state().producer_id > before.state().producer_id
                || (id.state().epoch >= before.state().epoch && id.highest_epoch >= before.highest_epoch));
            prop_assert!(id.highest_epoch >= id.state().epoch);
            if action == 1 && id != before {
                let used = used.entry(id.state().producer_id).or_default();
                prop_assert!(used.iter().all(|epoch| *epoch < id.state().epoch), "{:?} {:?}", used, id);
                used.push(id.state().epoch);
            }
            if id != before {
                written.push(id.state().clone());
            }
        }
    }
}
