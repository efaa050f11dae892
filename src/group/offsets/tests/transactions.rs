use super::*;

fn in_transaction(base: i64, producer: i64, records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<u8> {
    frame(base, TRANSACTIONAL, producer, records)
}

#[test]
fn commits_in_a_transaction_count_at_its_commit_only() {
    let open = [
        plain(0, &[commit("g", "t", 0, 1)]),
        in_transaction(1, 7, &[commit("g", "t", 0, 5), commit("g", "t", 1, 6)]),
        in_transaction(3, 8, &[commit("g", "t", 2, 9)]),
    ]
    .concat();
    let of = |end: &[u8]| Fixture::with_log("g", &[&open, end].concat()).all_of("g");
    assert_eq!(of(&[]), ["t-0: 1"]);
    assert_eq!(of(&marker(4, 7, true)), ["t-0: 5", "t-1: 6"]);
    assert_eq!(of(&marker(4, 7, false)), ["t-0: 1"]);
    assert_eq!(of(&marker(4, 9, true)), ["t-0: 1"]);
    let both = [marker(4, 8, true), marker(5, 7, false), marker(6, 7, true)].concat();
    assert_eq!(of(&both), ["t-0: 1", "t-2: 9"]);
}

#[test]
fn a_commit_in_between_is_not_overwritten() {
    let log = [
        in_transaction(0, 7, &[commit("g", "t", 0, 5), commit("g", "t", 1, 5)]),
        plain(2, &[commit("g", "t", 0, 8)]),
        marker(3, 7, true),
    ];
    assert_eq!(Fixture::with_log("g", &log.concat()).all_of("g"), ["t-0: 8", "t-1: 5"]);
}

#[test]
fn an_open_transaction_of_a_killed_broker_hides_nothing_of_ours() {
    let log = in_transaction(0, 7, &[commit("g", "t", 0, 5), commit("g", "u", 0, 5)]);
    let fixture = Fixture::with_log("g", &log);
    assert_eq!(fixture.all_of("g"), [""; 0]);
    fixture.commit("g", "t", 0, 3);
    assert_eq!(fixture.all_of("g"), ["t-0: 3"]);
    let fixture = fixture.reopened();
    assert_eq!(fixture.all_of("g"), ["t-0: 3"]);
    // What is pending may yet be ended by a broker, so that its age says nothing.
    fixture.commit("g", "u", 0, 1);
    let expired = fixture.offsets.expire(NOW + 1000, Duration::from_secs(1), |_, _| false).unwrap();
    assert_eq!((expired, fixture.all_of("g")), (0, vec!["t-0: 3".to_owned(), "u-0: 1".to_owned()]));
    assert_eq!(fixture.reported(), []);
}

#[test]
fn compressed_batches_count_like_others() {
    for codec in Codec::ALL.into_iter().filter(|codec| codec.is_built_in()) {
        let log = [
            frame_with(codec, 0, 0, -1, &[commit("g", "t", 0, 1), commit("g", "t", 1, 1)]),
            frame_with(codec, 2, TRANSACTIONAL, 7, &[commit("g", "t", 0, 5)]),
            marker(3, 7, true),
            frame_with(codec, 4, TRANSACTIONAL, 7, &[commit("g", "t", 1, 5)]),
            marker(5, 7, false),
        ];
        let fixture = Fixture::with_log("g", &log.concat());
        assert_eq!(fixture.all_of("g"), ["t-0: 5", "t-1: 1"], "{codec:?}");
        assert_eq!(fixture.reported(), []);
    }
}
