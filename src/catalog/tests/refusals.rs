//! What is refused: topics that cannot be, directories that are no log, logs that others must finish.

use super::*;
use crate::config::Compression;
use crate::error::Remedy;
use crate::format::file_names::METADATA_DIRECTORY;

#[test]
fn topics_that_cannot_be_say_why() {
    let (_dir, catalog) = fresh(&["a.b"]);
    let one = TopicConfig::new;
    for (wanted, reason) in [
        (vec![("", one())], "topic name: \"\" is empty"),
        (vec![("a/b", one())], "contains '/'"),
        (vec![("__consumer_offsets", one())], "is reserved"),
        (vec![("a_b", one())], "topic name: \"a_b\" is too much like \"a.b\", which exists"),
        (vec![("x", one()), ("x", one())], "topic name: \"x\" is wanted twice"),
        (vec![("x.y", one()), ("x_y", one())], "\"x_y\" is wanted twice"),
        (vec![("x", one().partitions(0))], "partitions: 0 were asked for"),
        (vec![("x", one().partitions(100_001))], "partitions: 100001 were asked for"),
        (vec![("x", one().partitions(100_000))], "partitions: there would be 100001 in all topics"),
        (vec![("x", one().replication_factor(2))], "replication factor: is 2"),
        (vec![("x", one().segment_bytes(5))], "segment.bytes is \"5\""),
    ] {
        let error = catalog.create(&wanted, NOW).unwrap_err();
        assert_eq!(error.remedy(), Remedy::FixTheCall);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let compressed = catalog.create(&[("x", one().compression(Compression::Zstd))], NOW);
    if cfg!(feature = "zstd") {
        catalog.delete(compressed.unwrap()[0].name(), NOW).unwrap();
    } else {
        let text = compressed.unwrap_err().to_string();
        assert!(text.contains("enable the cargo feature `zstd`"), "{text}");
    }
    assert!(matches!(catalog.create(&[("a.b", one())], NOW), Err(Error::AlreadyExists { .. })));
    assert!(matches!(catalog.delete("a_b", NOW), Err(Error::NotFound { .. })));
    assert_eq!(names(&catalog), ["a.b"]);
    catalog.create(&[("x", one().compression(Compression::None))], NOW).unwrap();
    // The name is free again with the topic that it was too much like.
    catalog.delete("a.b", NOW).unwrap();
    catalog.create(&[("a_b", one())], NOW).unwrap();
}

#[test]
fn names_that_differ_in_case_exist_beside_each_other_where_files_can() {
    let (dir, catalog) = fresh(&["orders"]);
    let folds = fs::exists(dir.path().join("META.PROPERTIES")).unwrap();
    assert!(folds || !cfg!(windows));
    assert_eq!(ensure(&catalog, "Orders", TopicConfig::new()).is_err(), folds);
    drop(catalog);

    // What a directory that folds case looks like.
    fs::copy(dir.path().join("meta.properties"), dir.path().join("META.PROPERTIES")).ok();
    let catalog = open(dir.path()).unwrap();
    let text = message(ensure(&catalog, "ORDERS", TopicConfig::new()));
    assert!(
        text.contains("\"ORDERS\" is too much like \"") && text.contains("upper from lower case"),
        "{text}"
    );
    let both = [("new", TopicConfig::new()), ("New", TopicConfig::new())];
    assert!(message(catalog.create(&both, NOW)).contains("\"New\" is wanted twice"));
    catalog.delete("orders", NOW).unwrap();
    assert_eq!(ensure(&catalog, "oRDERS", TopicConfig::new()).is_ok(), folds);
    if !folds {
        catalog.delete("Orders", NOW).unwrap();
        ensure(&catalog, "oRDERS", TopicConfig::new()).unwrap();
    }
    // The topic that exists is found under its own name only.
    assert!(catalog.topic("orders").is_none());
}

#[test]
fn names_of_devices_are_refused_where_there_are_such_names() {
    let (_dir, catalog) = fresh(&[]);
    for name in ["con", "nul.a", "Com1"] {
        let made = ensure(&catalog, name, TopicConfig::new());
        assert_eq!(made.is_err(), cfg!(windows), "{name}");
    }
}

#[test]
fn files_of_others_are_left_alone() {
    let (dir, catalog) = fresh(&["a"]);
    drop(catalog);
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let catalog = open(dir.path()).unwrap();
    ensure(&catalog, "b", TopicConfig::new()).unwrap();
    assert_eq!(fs::read(dir.path().join("notes.txt")).unwrap(), b"mine");
    assert!(catalog.unknown_directories().is_empty());
}

#[test]
fn a_directory_of_something_else_is_no_log_directory() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["src", "photos-2023", "remote-log-index-cache", "notes.txt", "lost+found2"] {
        if name.contains('.') {
            fs::write(dir.path().join(name), "mine").unwrap();
        } else {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let text = message(open(dir.path()));
        assert!(text.contains("is not a log directory") && text.contains("and no meta.properties"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is made");
        fs::remove_dir(dir.path().join(name)).or_else(|_| fs::remove_file(dir.path().join(name))).unwrap();
    }
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::create_dir(dir.path().join(".snapshot")).unwrap();
    fs::write(dir.path().join(".DS_Store"), "theirs").unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn what_a_log_has_lost_is_named() {
    let dir = copied("catalog/logdir");
    fs::rename(dir.path().join("meta.properties"), dir.path().join("aside")).unwrap();
    let text = message(open(dir.path()));
    assert!(text.contains("meta.properties at byte 0: the file is missing, but"), "{text}");
    fs::rename(dir.path().join("aside"), dir.path().join("meta.properties")).unwrap();

    fs::remove_dir_all(dir.path().join(METADATA_DIRECTORY)).unwrap();
    let before = fs::read_dir(dir.path()).unwrap().count();
    let error = open(dir.path()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the metadata log is missing or empty, but"), "{text}");
    assert_eq!(error.remedy(), Remedy::Inspect);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before, "nothing is made");

    // Without a metadata log that is all that is known.
    let dir = copied("logdir");
    let text = message(open(dir.path()));
    assert!(text.contains("bootstrap.checkpoint at byte 0: the directory was formatted for a"), "{text}");
}

#[test]
fn directories_of_no_topic_are_reported_and_left_alone() {
    let (dir, catalog) = fresh(&["a"]);
    fill(&catalog.topic("a").unwrap());
    catalog.topic("a").unwrap().partitions()[0].close().unwrap();
    let hex = "0123456789abcdef0123456789abcdef";
    let metadata = format!("version: 0\ntopic_id: {}", Uuid::from_bytes([7; 16]));
    let stray = [format!("b-0.{hex}-stray"), format!("c-0.{hex}-delete"), format!("d-0.{hex}-future")];
    let mut others: Vec<_> = stray.iter().map(String::as_str).chain(["a-1", "b-0", "lost+found"]).collect();
    others.sort_unstable();
    for name in &others {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("partition.metadata"), &metadata).unwrap();
    }
    let catalog = open(dir.path()).unwrap();
    let paths: Vec<_> = others.iter().map(|name| dir.path().join(name)).collect();
    assert_eq!(catalog.unknown_directories(), paths);
    assert_eq!(names(&catalog), ["a"]);

    let text = message(catalog.create(&[("b", TopicConfig::new())], NOW));
    assert!(text.contains("b-0 is in the way and belongs to no topic"), "{text}");
    delete(&catalog, "a");
    assert_eq!(directories(dir.path()), others);
    assert!(paths.iter().all(|path| path.join("partition.metadata").exists()));
}

#[test]
fn changes_after_what_a_broker_has_not_finished_are_refused() {
    let level = |level| MetadataRecord::FeatureLevel { name: METADATA_VERSION.into(), level };
    for (record, reason) in [
        (level(34), "metadata.version is 34, but this version knows the levels up to 33"),
        (MetadataRecord::BeginTransaction, "a Kafka broker was stopped in the middle of a change"),
    ] {
        let (dir, catalog) = fresh(&["a"]);
        catalog.changes.lock().write(vec![record], NOW).unwrap();
        for catalog in [catalog, open(dir.path()).unwrap()] {
            let error = catalog.create(&[("b", TopicConfig::new())], NOW).unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)) && error.to_string().contains(reason), "{error}");
            assert!(matches!(catalog.delete("a", NOW), Err(Error::Unsupported(_))));
            let a = catalog.topic("a").unwrap();
            assert!(matches!(catalog.add_partitions(&a, 2, NOW), Err(Error::Unsupported(_))));
            let altered = catalog.alter(&a, |now| now.set("segment.ms", "5"), NOW);
            assert!(matches!(altered, Err(Error::Unsupported(_))));
            assert_eq!((a.config().entries().count(), a.partitions().len()), (1, 1));
            let kept = ensure(&catalog, "a", TopicConfig::new()).unwrap();
            fill(&kept);
            kept.partitions()[0].close().unwrap();
        }
    }
}

#[test]
fn levels_up_to_the_newest_known_are_written_to() {
    let (dir, catalog) = fresh(&[]);
    let newest = MetadataRecord::FeatureLevel { name: METADATA_VERSION.into(), level: 33 };
    catalog.changes.lock().write(vec![newest], NOW).unwrap();
    open(dir.path()).unwrap().create(&[("a", TopicConfig::new())], NOW).unwrap();
}
