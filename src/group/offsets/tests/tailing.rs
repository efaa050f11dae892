use super::*;

#[test]
fn what_another_process_commits_is_seen() {
    let writer = Fixture::new();
    writer.commit("before", "t", 0, 1);
    let reader = Fixture::read_only(Arc::clone(&writer.dir));
    assert_eq!(reader.all_of("before"), ["t-0: 1"]);
    assert_eq!(reader.all_of("g"), [""; 0]);
    for offset in 1..5 {
        writer.commit("g", "t", 0, offset);
        writer.commit("before", "t", 1, offset);
        assert_eq!(reader.offset("g", "t", 0), Some(offset));
        assert_eq!(reader.offset("before", "t", 1), Some(offset));
    }
    writer.offsets.delete_group("g", NOW).unwrap();
    assert_eq!(reader.offsets.groups().unwrap(), ["before"]);
    assert_eq!(reader.reported(), []);
}

#[test]
fn a_topic_that_another_process_makes_is_seen() {
    let writer = Fixture::new();
    let reader = Fixture::read_only(Arc::clone(&writer.dir));
    assert_eq!(reader.offset("g", "t", 0), None);
    writer.commit("g", "t", 0, 5);
    assert_eq!(reader.offset("g", "t", 0), Some(5));
}

#[test]
fn a_reader_commits_nothing() {
    let writer = Fixture::new();
    let reader = Fixture::read_only(Arc::clone(&writer.dir));
    let refused = |result: Result<()>| assert!(matches!(result, Err(Error::ReadOnly)), "{result:?}");
    let commit = || reader.offsets.commit("g", &[Position::new(("t", 0), 5)], NOW, Durability::Buffered);
    refused(commit());
    writer.commit("g", "t", 0, 5);
    // Not even what is committed already.
    refused(commit());
    refused(reader.offsets.remove("g", &[("t", 0).into()], NOW));
    refused(reader.offsets.delete_group("g", NOW));
    refused(reader.offsets.write_group("g", &GroupMetadata::default(), NOW));
    refused(reader.offsets.forget_topic("t", NOW));
    refused(reader.offsets.clamp(|_| Some(0), NOW).map(drop));
    refused(reader.offsets.expire(NOW, Duration::ZERO, |_, _| false).map(drop));
    assert_eq!(reader.all_of("g"), ["t-0: 5"]);
}

#[test]
fn a_transaction_that_ends_later_counts_then() {
    let open = frame(0, TRANSACTIONAL, 7, &[commit("g", "t", 0, 5)]);
    let writer = Fixture::with_log("g", &open);
    let reader = Fixture::read_only(Arc::clone(&writer.dir));
    assert_eq!(reader.offset("g", "t", 0), None);
    let file = writer.directory_of("g").join(LOG_FILE);
    fs::write(&file, [open, marker(1, 7, true)].concat()).unwrap();
    assert_eq!(reader.offset("g", "t", 0), Some(5));
}
