//! What the documents say of the tests: that they exist.

use std::fs;
use std::path::{Path, PathBuf};

/// `file::test`, `partition/file::test` and the like, in brackets.
fn named(text: &str) -> Vec<&str> {
    let brackets = text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    brackets
        .flat_map(|inside| inside.split('`').skip(1).step_by(2))
        .filter(|name| name.contains("::"))
        .collect()
}

/// `log/file` is `tests/log/file.rs`, `cli/file` one of the program's, and a room's own tests are in `src/room/tests/`.
fn file_of(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (folder, file) = name.split_once('/').unwrap_or_else(|| panic!("{name} is in no folder"));
    let file = format!("{file}.rs");
    let places = match folder {
        "cli" => ["cli/tests/program", "cli/tests/kafka"].map(|of| root.join(of).join(&file)),
        "wait" => [root.join("src/wait").join(&file), root.join("src/wait/tests").join(&file)],
        _ => [
            root.join("tests").join(folder).join(&file),
            root.join("src").join(folder).join("tests").join(&file),
        ],
    };
    let [first, second] = places;
    if first.exists() { first } else { second }
}

#[test]
fn every_statement_about_durability_names_a_test_that_exists() {
    let document = include_str!("../../docs/durability.md");
    let names = named(document);
    assert!(names.len() > 35, "{}", names.len());
    exist(&names);
    let promises = document.split("## What is not promised").next().unwrap();
    for line in promises.lines().filter(|line| line.starts_with("* ") || line.starts_with("| `")) {
        let statement = promises[promises.find(line).unwrap()..].split("\n* ").next().unwrap();
        assert!(statement.contains("[`"), "no test for: {line}");
    }
}

#[test]
fn every_statement_about_kafka_names_a_test_that_exists() {
    let document = include_str!("../../docs/kafka.md");
    let names = named(document);
    assert!(names.len() > 35, "{}", names.len());
    exist(&names);
    let promises = document.split("## What is not").next().unwrap();
    for statement in promises.split("\n* ").skip(1) {
        assert!(statement.contains("[`"), "no test for: {statement}");
    }
}

#[test]
fn every_difference_to_kafka_names_a_test_that_exists() {
    let document = include_str!("../../docs/differences.md");
    exist(&named(document));
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    let mut count = 0;
    for row in rows {
        // What Kafka does, what stratalog does, and the test.
        assert_eq!(row.split(" | ").count(), 4, "{row}");
        assert!(row.ends_with("`] |"), "no test for: {row}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// The guide is a map of the public face: what can be opened, made, read, ended and moved is in it, and what is there is
/// not called missing.
#[test]
fn the_guide_names_each_thing_that_can_be_done() {
    let guide = include_str!("../../src/guide.md");
    let face = include_str!("../../src/event_log.rs");
    let calls = face.lines().filter_map(|line| line.strip_prefix("    pub fn ")?.split(['(', '<']).next());
    let calls: Vec<_> = calls.collect();
    assert!(calls.len() > 15, "{calls:?}");
    let is_named = |call: &str| {
        [format!("`{call}`"), format!(".{call}("), format!("::{call}")].iter().any(|as_| guide.contains(as_))
    };
    let missing: Vec<_> = calls.iter().filter(|call| !is_named(call)).collect();
    assert!(missing.is_empty(), "the guide does not mention EventLog::{missing:?}");
    let remedies = include_str!("../../src/error/mod.rs").split("pub enum Remedy {").nth(1).unwrap();
    let remedies =
        remedies.split("\n}").next().unwrap().lines().filter_map(|line| line.trim().strip_suffix(','));
    let remedies: Vec<_> = remedies.filter(|name| name.chars().all(char::is_alphabetic)).collect();
    assert!(remedies.len() > 4, "{remedies:?}");
    for remedy in remedies {
        assert!(guide.contains(&format!("`{remedy}`")), "the guide does not mention Remedy::{remedy}");
    }
    for denied in ["no consumer groups", "no compaction", "no groups"] {
        assert!(!guide.contains(denied), "the guide says: {denied}");
    }
}

fn exist(names: &[&str]) {
    for name in names {
        let (file, test) = name.split_once("::").unwrap();
        let path = file_of(file);
        let source = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{name}: no {}", path.display()));
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{name} does not exist");
    }
}

/// What a text has in single backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Names in backquotes that look like paths and lead nowhere, from the root or from `src`. Rooms that are still to come are named as
/// such.
fn dead_paths(text: &str) -> Vec<String> {
    const TO_COME: [&str; 4] = ["transaction/", "replica/", "stream/", "share/"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (source, heart) = (root.join("src"), root.join("src/partition"));
    let is_path = |name: &&str| name.ends_with(".rs") || name.ends_with('/');
    let leads_nowhere = |name: &&str| {
        let of_format = source.join("format");
        ![root, &source, &heart, &of_format].iter().any(|folder| folder.join(name).exists())
    };
    let paths = quoted(text).into_iter().filter(is_path).filter(|name| !TO_COME.contains(name));
    paths.filter(leads_nowhere).map(str::to_owned).collect()
}

/// Rooms and files of `src`, and the files of `partition/`, that a text does not name.
fn unnamed(text: &str) -> Vec<String> {
    let names = quoted(text);
    let (_, heart) = text.split_once("## In `partition/`").expect("a section about the heart");
    let of_heart = quoted(heart);
    let mut found = Vec::new();
    for (path, _) in crate::source::files("src").into_iter().filter(|(path, _)| !crate::source::is_test(path))
    {
        let mut parts = path.components().map(|part| part.as_os_str().to_str().unwrap());
        let first = parts.next().unwrap();
        let room = if first.ends_with(".rs") { first.to_owned() } else { format!("{first}/") };
        let of_tests = room == "fuzzing.rs";
        if !names.contains(&&*room) && !of_tests && !found.contains(&room) {
            found.push(room);
        }
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if first == "partition" && stem != "mod" && !of_heart.contains(&stem) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn the_architecture_names_each_room_and_each_file_of_the_heart_and_none_that_is_not_there() {
    let text = include_str!("../../ARCHITECTURE.md");
    assert_eq!(dead_paths(text), Vec::<String>::new());
    assert_eq!(unnamed(text), Vec::<String>::new());
    // Both are found where they are planted.
    assert_eq!(dead_paths("| `heart/` | see `partition/lost.rs` |"), ["heart/", "partition/lost.rs"]);
    let without = text.replace("`keyed/`", "keyed").replace("`along`", "along");
    assert_eq!(unnamed(&without), ["keyed/", "partition/recovery/along.rs"]);
}
