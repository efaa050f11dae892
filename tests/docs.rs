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

fn file_of(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match name.split_once('/') {
        Some(("wait", file)) => root.join("src/wait").join(format!("{file}.rs")),
        Some((folder, file)) => root.join("src").join(folder).join("tests").join(format!("{file}.rs")),
        None => root.join("tests").join(format!("{name}.rs")),
    }
}

#[test]
fn every_statement_about_durability_names_a_test_that_exists() {
    let document = include_str!("../docs/durability.md");
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
    let document = include_str!("../docs/kafka.md");
    let names = named(document);
    assert!(names.len() > 35, "{}", names.len());
    exist(&names);
    let promises = document.split("## What is not").next().unwrap();
    for statement in promises.split("\n* ").skip(1) {
        assert!(statement.contains("[`"), "no test for: {statement}");
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
