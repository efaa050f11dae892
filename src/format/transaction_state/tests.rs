use proptest::prelude::*;

use super::*;
use crate::format::schema::{self, Coordinator};
use crate::format::tests::{records, vectors_with_suffix};
use crate::format::wire::{push_compact_count, push_compact_str, push_no_tags};

const AT: i64 = 1_790_000_000_000;
const ALL: [TransactionStatus; 8] = TransactionStatus::ALL;

fn encoded(state: &TransactionState) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes).unwrap();
    bytes
}

fn ongoing() -> TransactionState {
    TransactionState {
        producer_id: 1000,
        epoch: 2,
        timeout_ms: 60_000,
        status: TransactionStatus::Ongoing,
        partitions: vec![("t", 0).into(), ("t", 1).into()],
        updated_at: AT,
        started_at: Some(AT),
        next_producer_id: None,
        client_version: 0,
    }
}

fn empty() -> TransactionState {
    let status = TransactionStatus::Empty;
    TransactionState { epoch: 0, status, partitions: Vec::new(), started_at: None, ..ongoing() }
}

/// Every record of `__transaction_state` that a broker has written: id, value.
fn of_brokers() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for (path, bytes) in vectors_with_suffix("broker", ".log") {
        if !path.to_str().unwrap().contains("__transaction_state") {
            continue;
        }
        for record in records(&bytes).into_iter().filter(|record| !record.control) {
            let key = record.key.unwrap();
            let id = transactional_id(&key).unwrap().unwrap().to_owned();
            let mut again = Vec::new();
            push_key(&id, &mut again).unwrap();
            assert_eq!(again, key);
            found.push((id, record.value.unwrap()));
        }
    }
    found
}

/// The value of version 0 with the fields of this one, put together from the list of fields.
fn as_version_0(value: &[u8]) -> Vec<u8> {
    let fields = schema::transaction_state(value).unwrap();
    let mut to = vec![0, 0];
    push_i64(fields.the_int("producerId").unwrap(), &mut to);
    push_i16(fields.the_int("producerEpoch").unwrap(), &mut to);
    push_i32(fields.the_int("transactionTimeoutMs").unwrap(), &mut to);
    push_i8(fields.the_int("transactionStatus").unwrap(), &mut to);
    match fields.list("transactionPartitions").unwrap() {
        None => push_i32(-1, &mut to),
        Some(topics) => {
            let topics: Vec<_> = topics.structs().map(Result::unwrap).collect();
            push_count(topics.len(), &mut to);
            for topic in topics {
                push_str(topic.the_text("topic").unwrap(), &mut to).unwrap();
                let partitions = topic.the_list("partitionIds").unwrap().ints();
                let partitions: Vec<i32> = partitions.map(Result::unwrap).collect();
                push_count(partitions.len(), &mut to);
                for partition in partitions {
                    push_i32(partition, &mut to);
                }
            }
        }
    }
    push_i64(fields.the_int("transactionLastUpdateTimestampMs").unwrap(), &mut to);
    push_i64(fields.the_int("transactionStartTimestampMs").unwrap(), &mut to);
    to
}

#[test]
#[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
fn what_brokers_wrote_is_read_and_written_in_version_0() {
    let found = of_brokers();
    assert!(found.len() > 200);
    let mut seen = Vec::new();
    for (id, value) in found {
        assert!(!id.is_empty());
        let state = TransactionState::decode(&value).unwrap();
        assert_eq!(check(&value), Ok(()));
        let again = encoded(&state);
        assert_eq!(again, as_version_0(&value));
        let without_tags = TransactionState { next_producer_id: None, client_version: 0, ..state.clone() };
        assert_eq!(TransactionState::decode(&again), Ok(without_tags));
        if value[1] == 0 {
            assert_eq!(again, value);
        }
        for cut in 0..value.len() {
            assert!(TransactionState::decode(&value[..cut]).is_err());
        }
        seen.push(state);
    }
    for status in &ALL[..6] {
        assert!(seen.iter().any(|state| state.status == *status), "{status:?}");
    }
    assert!(seen.iter().all(|state| (-1..100_000).contains(&state.producer_id) && state.timeout_ms > 0));
    assert!(seen.iter().all(|state| state.partitions.is_empty() != state.status.is_open()));
    assert!(seen.iter().any(|state| state.client_version == 2 && state.started_at.is_some()));
}

/// Values that Kafka 3.9.2, 4.1.0 and 4.4.0 have taken over from a directory and acted upon.
#[test]
fn version_0_is_written_as_brokers_take_it() {
    let front = |epoch: u8, status: u8| {
        [&[0, 0, 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, epoch, 0, 0, 0xea, 0x60, status][..]].concat()
    };
    let at = AT.to_be_bytes();
    let of_t = [0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(encoded(&ongoing()), [&front(2, 1)[..], &of_t, &at, &at].concat());
    assert_eq!(encoded(&empty()), [&front(0, 0)[..], &[255; 4], &at, &[255; 8]].concat());
    let status = TransactionStatus::CompleteCommit;
    let complete = TransactionState { status, partitions: Vec::new(), ..ongoing() };
    assert_eq!(encoded(&complete), [&front(2, 4)[..], &[0; 4], &at, &at].concat());
    for state in [ongoing(), empty(), complete] {
        assert_eq!(TransactionState::decode(&encoded(&state)), Ok(state));
    }
}

#[test]
fn partitions_keep_their_order_topic_by_topic() {
    let order = ["b-2", "b-0", "a-7", "c-1"];
    let partitions = vec![("b", 2).into(), ("b", 0).into(), ("a", 7).into(), ("c", 1).into()];
    let state = TransactionState { partitions, ..ongoing() };
    let decoded = TransactionState::decode(&encoded(&state)).unwrap();
    let names: Vec<_> = decoded.partitions.iter().map(ToString::to_string).collect();
    assert_eq!(names, order);
}

/// In version 1, with these tagged fields at the end.
fn flexible(state: &TransactionState, tags: &[u8]) -> Vec<u8> {
    let plain = encoded(state);
    let mut to = vec![0, 1];
    to.extend(&plain[2..17]);
    if state.status == TransactionStatus::Empty {
        to.push(0);
    } else {
        let topics: Vec<_> = state.partitions.chunk_by(|one, next| one.topic() == next.topic()).collect();
        push_compact_count(topics.len(), &mut to);
        for topic in topics {
            push_compact_str(topic[0].topic(), &mut to);
            push_compact_count(topic.len(), &mut to);
            for of in topic {
                push_i32(of.partition().cast_signed(), &mut to);
            }
            push_no_tags(&mut to);
        }
    }
    to.extend(&plain[plain.len() - 16..]);
    to.extend(tags);
    to
}

#[test]
fn tags_are_known_or_passed_over_by_their_size() {
    let decode = |tags: &[u8]| TransactionState::decode(&flexible(&ongoing(), tags));
    assert_eq!(decode(&[0]), Ok(ongoing()));
    // The producer before, the producer after, the version of the client, and the next epoch.
    let next = 4000_i64.to_be_bytes();
    let tags = [&[4, 0, 8][..], &[255; 8], &[1, 8], &next, &[2, 2, 0, 2], &[3, 2, 0, 1]].concat();
    let expected = TransactionState { next_producer_id: Some(4000), client_version: 2, ..ongoing() };
    assert_eq!(decode(&tags), Ok(expected));
    assert_eq!(decode(&[&[1, 1, 8][..], &[255; 8]].concat()), Ok(ongoing()), "-1 is none");
    for wrong in [&[1, 1, 7, 0, 0, 0, 0, 0, 0, 0][..], &[1, 2, 3, 0, 2, 0], &[0xff, 0xff, 3, 9, 1, 0]] {
        assert!(decode(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(TransactionState::decode(&flexible(&empty(), &[0])), Ok(empty()));
}

#[test]
fn what_is_wrong_is_said() {
    let wrong = |bytes: &[u8]| {
        let reason = TransactionState::decode(bytes).unwrap_err();
        assert_eq!(check(bytes), Err(reason));
        reason
    };
    let whole = encoded(&ongoing());
    let changed = |at: usize, to: u8| {
        let mut bytes = whole.clone();
        bytes[at] = to;
        bytes
    };
    for cut in 0..17 {
        assert_eq!(wrong(&whole[..cut]), Malformed("ends early"));
    }
    assert_eq!(wrong(&[&whole[..], &[0]].concat()), Malformed("bytes are left after the last field"));
    assert_eq!(wrong(&changed(0, 255)), Malformed("a record has a negative version"));
    assert_eq!(wrong(&changed(28, 255)), Malformed("the partition of a transaction is negative"));
    let partitions = changed(24, 255);
    assert_eq!(wrong(&partitions), Malformed("an array that must be there is null"));
    // Whatever a later version consists of, and whatever a later status means.
    assert_eq!(wrong(&[0, 2]), Malformed::NEWER_TRANSACTION);
    assert_eq!(wrong(&changed(16, 8)), Malformed::NEWER_TRANSACTION);
    assert_eq!(wrong(&changed(16, 255)), Malformed::NEWER_TRANSACTION);

    let unwritable = [
        TransactionState { partitions: vec![("t", 1 << 31).into()], ..ongoing() },
        TransactionState { partitions: vec![("t".repeat(32_768).as_str(), 0).into()], ..ongoing() },
    ];
    for state in unwritable {
        let mut bytes = vec![7];
        assert!(state.encode(&mut bytes).is_err());
        assert_eq!(bytes, [7]);
    }
}

#[test]
fn other_keys_are_passed_over_and_invalid_ones_refused() {
    assert_eq!(transactional_id(&[0, 1, 9]), Ok(None));
    assert_eq!(transactional_id(&[0, 0, 0, 1, b'a']), Ok(Some("a")));
    for wrong in
        [&[0][..], &[0, 0, 0, 2, b'a'], &[0, 0, 255, 255], &[0, 0, 0, 1, b'a', 0], &[0, 0, 0, 1, 255]]
    {
        assert!(transactional_id(wrong).is_err(), "{wrong:?}");
    }
    let mut to = vec![7];
    assert!(push_key(&"a".repeat(32_768), &mut to).is_err());
    assert_eq!(to, [7]);
    push_key(&"a".repeat(32_767), &mut to).unwrap();
}

#[test]
fn the_numbers_are_those_of_kafka() {
    for (number, status) in (0..).zip(ALL) {
        assert_eq!((status.number(), TransactionStatus::of(number)), (number, Some(status)));
    }
    let open: Vec<_> = ALL.iter().filter(|status| status.is_open()).map(|status| status.number()).collect();
    assert_eq!(open, [1, 2, 3, 7]);
}

fn states() -> impl Strategy<Value = TransactionState> {
    let numbers = any::<(i64, i16, i32, i64)>();
    let partitions = proptest::collection::vec(("[a-c]{0,2}", 0..=i32::MAX.unsigned_abs()), 0..6);
    (numbers, 0..8_i8, partitions, proptest::option::of(0..i64::MAX)).prop_map(
        |((producer_id, epoch, timeout_ms, updated_at), status, partitions, started_at)| {
            let status = TransactionStatus::of(status).unwrap();
            let partitions = partitions.iter().map(|(topic, number)| (&**topic, *number).into());
            let partitions =
                if status == TransactionStatus::Empty { Vec::new() } else { partitions.collect() };
            let (next_producer_id, client_version) = (None, 0);
            TransactionState {
                producer_id,
                epoch,
                timeout_ms,
                status,
                partitions,
                updated_at,
                started_at,
                next_producer_id,
                client_version,
            }
        },
    )
}

proptest! {
    #![proptest_config(crate::fuzzing::properties())]
    #[test]
    fn states_come_back(state in states()) {
        let bytes = encoded(&state);
        let key = [0, 0, 0, 0];
        prop_assert!(matches!(Coordinator::Transactions.value_words(&key, &bytes), Ok(Some(_))));
        prop_assert_eq!(as_version_0(&bytes), &bytes[..]);
        for cut in 0..bytes.len() {
            prop_assert!(TransactionState::decode(&bytes[..cut]).is_err());
        }
        prop_assert_eq!(TransactionState::decode(&flexible(&state, &[0])), Ok(state.clone()));
        prop_assert_eq!(TransactionState::decode(&bytes), Ok(state));
    }

    #[test]
    fn garbage_is_refused_or_read(version in 0_i16..3, mut bytes: Vec<u8>) {
        let _ = transactional_id(&bytes);
        bytes.splice(0..0, version.to_be_bytes());
        prop_assert_eq!(TransactionState::decode(&bytes).map(drop), check(&bytes));
        // What the list of fields takes is taken, but for statuses and negative partitions, which it does not know of.
        if TransactionState::decode(&bytes).is_ok() {
            prop_assert!(schema::transaction_state(&bytes).is_ok());
        }
    }
}
