//! Rooms depend downwards only, whichever way a name is written: `crate::`, `crate::{..}`, through the root's re-exports, or by
//! as many `super` as lead out of a room.

use std::collections::BTreeMap;
use std::path::Path;

use crate::source::{Word, exports, files, is_test, shipped};

/// Rooms from the ground up. A room may use those before it and itself.
const ROOMS: [&[&str]; 18] = [
    &["error", "clock", "position"],
    &["events"],
    &["config"],
    &["format"],
    &["sys"],
    &["wait"],
    &["segment"],
    &["partition"],
    &["compaction"],
    &["keyed"],
    &["catalog"],
    &["group"],
    &["transaction"],
    &["background"],
    &["directory"],
    &["handover", "snapshot"],
    &["producer", "consumer"],
    &["inspect"],
];

/// Names that mean things of any room: the face may use all, and no room uses the face.
const FACE: [&str; 3] = ["lib", "event_log", "fuzzing"];

pub(crate) fn room_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The names at the root that a file uses, and how each is written.
fn names_at_root(path: &Path, words: &[Word]) -> Vec<(String, String)> {
    let depth = path.components().count() - usize::from(path.ends_with("mod.rs"));
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let steps = match &*word.text {
            "crate" => 1,
            // As many as lead to the root.
            "super" => depth + word.nesting,
            _ => continue,
        };
        let (way, rest) = words[at..].split_at((2 * steps).min(words.len() - at));
        let leads = way
            .chunks(2)
            .all(|step| matches!(step, [name, colons] if name.text == word.text && colons.text == "::"));
        if leads {
            let way: String = way.iter().map(|word| &*word.text).collect();
            found.extend(first_names(rest).into_iter().map(|name| (name.clone(), format!("{way}{name}"))));
        }
    }
    found
}

/// What follows `crate::`: one name, or the first of each path in braces.
fn first_names(words: &[Word]) -> Vec<String> {
    let Some(first) = words.first() else { return Vec::new() };
    if first.text != "{" {
        return vec![first.text.clone()];
    }
    let (mut depth, mut begins, mut names) = (0, false, Vec::new());
    for word in words {
        match &*word.text {
            "{" => {
                depth += 1;
                begins = depth == 1;
            }
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            "," => begins = depth == 1,
            name => {
                if begins {
                    names.push(name.to_owned());
                }
                begins = false;
            }
        }
    }
    names
}

fn level(room: &str) -> Option<usize> {
    ROOMS.iter().position(|level| level.contains(&room))
}

/// What a file uses that it may not.
fn breaches(path: &Path, text: &str, exports: &BTreeMap<String, String>) -> Vec<String> {
    let room = room_of(path);
    let own = level(&room).unwrap_or_else(|| panic!("{} is in no room of the table", path.display()));
    let mut found = Vec::new();
    for (name, way) in names_at_root(path, &shipped(text)) {
        let used = exports.get(&name).map_or(&*name, String::as_str);
        match level(used) {
            Some(other) if other <= own => {}
            Some(_) => found.push(format!("{} uses {way}, of {used}, which is above it", path.display())),
            None => found.push(format!("{} uses {way}, which is in no room", path.display())),
        }
    }
    found
}

fn of_the_root() -> BTreeMap<String, String> {
    let root = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    exports(&shipped(&root))
}

#[test]
fn rooms_depend_downwards_only() {
    let (exports, mut found, mut seen) = (of_the_root(), Vec::new(), 0);
    for (path, text) in files("src") {
        let room = room_of(&path);
        if FACE.contains(&room.as_str()) || is_test(&path) {
            continue;
        }
        seen += 1;
        found.extend(breaches(&path, &text, &exports));
    }
    assert!(seen > 150, "only {seen} files found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_breach_of_each_kind_is_found() {
    let exports = of_the_root();
    let planted = |path: &str, text: &str| breaches(Path::new(path), text, &exports).len();
    for breach in [
        "use crate::consumer::Consumer;",
        "use crate::{error::Error, consumer::Consumer};",
        "use crate::{config::{ReadUpTo, StartFrom}, consumer::{self, Consumer}};",
        "use crate::Consumer;",
        "use crate::{Error, Consumer as Reader};",
        "fn new() -> Option<crate::Consumer> { None }",
        "fn new() { assert!(matches!(0, crate::EventLog { .. })); }",
        "use crate::event_log::EventLog;",
        "use crate::*;",
        "mod tests;\nfn later() { crate::consumer::poll() }",
        "#[cfg(test)]\nmod tests;\n\nuse crate::consumer::Consumer;",
        "#[cfg(test)]\nmod tests {\n fn a() { { } }\n}\nfn later() { crate::consumer::poll() }",
        "#[cfg(test)]\nuse crate::producer::Producer;\nuse crate::consumer::Consumer;",
        "struct S { #[cfg(test)] seen: crate::Producer, of: crate::Consumer }",
        "use super::super::consumer::Consumer;",
        "mod inner { use super::super::super::consumer::Consumer; }",
        "macro_rules! poll { () => { $crate::consumer::poll() } }",
    ] {
        assert_eq!(planted("partition/reader.rs", breach), 1, "{breach}");
    }
    assert_eq!(planted("partition/mod.rs", "use super::consumer::Consumer;"), 1);
    for right in [
        "use crate::error::{Error, Result};",
        "use crate::{Error, Durability, format::batch};",
        "use super::consumer::Consumer;",
        "mod inner { use super::super::consumer::Consumer; }",
        "/// As [`poll`](crate::Consumer::poll).\n// crate::Consumer\nfn read() { let _ = \"crate::Consumer\"; }",
        "#[cfg(test)]\nmod tests {\n use crate::consumer::Consumer;\n}",
        "#[cfg(test)]\npub(crate) fn seen(of: &crate::Consumer) -> bool { false }",
        "#[cfg(all(test, unix))]\nuse crate::consumer::Consumer;",
    ] {
        assert_eq!(planted("partition/reader.rs", right), 0, "{right}");
    }
}
