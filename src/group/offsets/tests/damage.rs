use super::*;
use crate::format::Malformed;

fn skipped(fixture: &Fixture) -> Vec<(u64, String)> {
    let reported = fixture.reported().into_iter().map(|event| match event {
        Event::CommitSkipped { partition, offset, reason } => {
            assert_eq!(partition.topic(), TOPIC);
            (offset, reason.into())
        }
        other => panic!("{other:?}"),
    });
    reported.collect()
}

#[test]
fn records_that_cannot_be_read_are_reported_and_left_out() {
    let good = |partition| commit("g", "t", partition, 5);
    let (key, value) = good(7);
    let value = value.unwrap();
    let records = [
        good(0),
        (key.clone(), Some(value[..value.len() - 1].to_vec())),
        (vec![0], Some(value.clone())),
        (vec![0, 2, 0, 9], None),
        // Of a kind that comes later: none of our business.
        (vec![0, 99, 1], Some(value)),
        // Of a later version: replaced by the next.
        (key.clone(), Some(vec![0, 9, 1])),
        (key.clone(), None),
        good(1),
    ];
    let fixture = Fixture::with_log("g", &plain(0, &records));
    assert_eq!(fixture.all_of("g"), ["t-0: 5", "t-1: 5"]);
    let early = [1, 2, 3].map(|offset| (offset, "ends early".to_owned()));
    let expected = [&early[..], &[(5, Malformed::NEWER_COMMIT.0.to_owned())]].concat();
    assert_eq!(skipped(&fixture), expected);
    // Read once, reported once.
    fixture.commit("g", "t", 0, 6);
    assert_eq!(fixture.all_of("g"), ["t-0: 6", "t-1: 5"]);
    assert_eq!(skipped(&fixture), []);
}

#[test]
fn a_record_without_a_key_is_left_out() {
    let mut builder = BatchBuilder::default();
    for (key, value) in [(None, Some(&b"v"[..])), (Some(&b""[..]), None)] {
        let fields = RecordFields { key, value, headers: &[] };
        let measured = builder.measure(&fields, NOW);
        builder.push(&fields, measured, NOW);
    }
    let log = [builder.finish().unwrap().placed_at(0, 0), &plain(2, &[commit("g", "t", 0, 5)])].concat();
    let fixture = Fixture::with_log("g", &log);
    assert_eq!(fixture.all_of("g"), ["t-0: 5"]);
    let expected = [(0, "a record of a group has no key".to_owned()), (1, "ends early".to_owned())];
    assert_eq!(skipped(&fixture), expected);
}

#[test]
fn what_lies_around_a_damaged_batch_is_kept() {
    const COMMITS: u32 = 200;
    let fixture = Fixture::new();
    for n in 0..COMMITS {
        fixture.commit("g", "t", n, 5);
    }
    let shards = fixture.offsets.shards().unwrap().unwrap();
    shards.of("g").unwrap().log().close().unwrap();
    let (dir, file) = (Arc::clone(&fixture.dir), fixture.directory_of("g").join(LOG_FILE));
    drop((shards, fixture));
    // Closed in order, so that nothing is cut off: the damage came later.
    fs::write(dir.path().join(CLEAN_MARKER), "{}").unwrap();
    let mut log = fs::read(&file).unwrap();
    // All are of one size; after its header, so that only the checksum reports.
    let batch = log.len() / COMMITS as usize;
    log[batch * COMMITS as usize / 2 + 70] ^= 1;
    fs::write(&file, log).unwrap();
    let fixture = Fixture::open(dir);
    let left = fixture.offsets.of_group("g").unwrap();
    let left: Vec<_> = left.into_iter().map(|(of, _)| of.partition()).collect();
    assert_eq!(left.len(), COMMITS as usize - 1);
    let lost = (0..COMMITS).find(|n| !left.contains(n)).unwrap();
    let reported = skipped(&fixture);
    assert!(
        matches!(&reported[..], [(at, reason)] if *at == u64::from(lost) && reason.contains("checksum")),
        "{reported:?}"
    );
    fixture.commit("g", "t", lost, 6);
    assert_eq!(fixture.offset("g", "t", lost), Some(6));
    assert_eq!(skipped(&fixture), []);
}

#[test]
fn a_torn_end_is_cut_off_as_in_any_partition() {
    let whole = [plain(0, &[commit("g", "t", 0, 5)]), plain(1, &[commit("g", "t", 0, 6)])].concat();
    let first = plain(0, &[commit("g", "t", 0, 5)]).len();
    for cut in 0..whole.len() {
        let fixture = Fixture::with_log("g", &whole[..cut]);
        let expected = if cut < first { None } else { Some(5) };
        assert_eq!(fixture.offset("g", "t", 0), expected, "{cut}");
        fixture.commit("g", "t", 0, 7);
        assert_eq!(fixture.reopened().offset("g", "t", 0), Some(7), "{cut}");
    }
}
