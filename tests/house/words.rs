//! The words of the field: none of the words that this code once had of its own is left.
//!
//! Text is read as a row of lower-case words: comments, strings, names of tests and of types alike. A name is cut at
//! underscores and at capital letters, so `look_around`, `LookAround` and "look around" are the same two words.

use std::fs;
use std::path::{Path, PathBuf};

/// What is not said any more, and what is said instead.
const WORDS: [(&str, &str); 64] = [
    ("actives", "open files"),
    ("agenda", "schedule"),
    ("behind", "after, past, from … on; a consumer lags"),
    ("bell", "futex, notify"),
    ("board", "shared page"),
    ("chore", "task, request"),
    ("chores", "tasks, context"),
    ("come across", "find"),
    ("deal out", "assign"),
    ("dealt out", "assigned"),
    ("dirt", "dirty range"),
    ("doomed", "pending deletion"),
    ("drop front", "delete head segments"),
    ("expel", "evict"),
    ("expelled", "evicted"),
    ("expels", "evicts"),
    ("fold up", "replay"),
    ("folded", "replayed"),
    ("glance", "refresh, poll"),
    ("go on", "continue"),
    ("goes on", "continues"),
    ("gone on", "continued"),
    ("hand out", "return, deliver"),
    ("handed out", "returned, delivered"),
    ("hands out", "returns, delivers"),
    ("inboxes", "channels"),
    ("judge", "plan, decide, compare"),
    ("judged", "planned, decided, compared"),
    ("judges", "plans, decides, compares"),
    ("let go of", "released, revoked"),
    ("lets go of", "releases"),
    ("look around", "refresh"),
    ("looked at", "checked, read"),
    ("looks at", "checks, reads"),
    ("medium", "disk"),
    ("nobodys", "of no owner"),
    ("nobody", "name the thing that acts"),
    ("not whole", "not complete, invalid"),
    ("raise epoch", "bump the epoch"),
    ("rested", "idle, closed"),
    ("resting", "idle"),
    ("revoking", "revoked"),
    ("seat", "membership"),
    ("seats", "members"),
    ("skip to", "advance the log end"),
    ("somebody", "name the thing that acts"),
    ("stand in", "be stored in, be listed in"),
    ("standing", "state"),
    ("stands", "is stored, is listed, is"),
    ("stood", "was stored, was listed, was"),
    ("sweep", "clean up"),
    ("sweeps", "cleans up"),
    ("swept", "cleaned up"),
    ("sync behind", "background sync"),
    ("take a turn", "reconcile"),
    ("take turn", "reconcile"),
    ("tells", "reports, returns"),
    ("told", "reported"),
    ("undecided", "open, unstable"),
    ("upkeep", "maintenance"),
    ("upto", "end"),
    ("verdict", "decision"),
    ("whoever", "name the thing that acts"),
    ("whole batch", "complete batch, valid batch"),
];

/// Constants have `MAX_` and `MIN_`.
const PREFIXES: [&str; 6] = ["MOST_", "FEWEST_", "LONGEST_", "LARGEST_", "SMALLEST_", "LEAST_"];

/// Names of types that once meant six things. Each is its own noun.
const TYPES: [&str; 5] = ["Place", "Found", "Held", "Walk", "Wanted"];

/// A word in another sense: the word, the end of the file's path, a part of the line, and why.
const EXCEPTIONS: [(&str, &str, &str, &str); 4] = [
    ("undecided", "src/events.rs", "TransactionUndecided", "the name of an event that the design gives"),
    ("undecided", "src/transaction/opening.rs", "TransactionUndecided", "the same"),
    ("undecided", "cli/src/transactions/mod.rs", "TransactionUndecided", "the same"),
    (
        "behind",
        "cli/tests/program/transactions.rs",
        "CompleteAbort",
        "a transactional id that a broker's client had",
    ),
];

/// Lower-case words, each with where its line begins.
fn words(line: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let (mut inside, mut before) = (false, ' ');
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let is_hump =
            c.is_uppercase() && (before.is_lowercase() || chars.peek().is_some_and(|c| c.is_lowercase()));
        let begins = !inside || is_hump;
        (inside, before) = (c.is_alphabetic(), c);
        if inside {
            if begins {
                found.push(String::new());
            }
            let last = found.last_mut().expect("one was begun");
            last.extend(c.to_lowercase());
        }
    }
    found
}

/// What is said in a text that is not said any more: the number of the line, the word.
fn hits(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let row = words(line);
        let excused = |word: &str| {
            EXCEPTIONS
                .iter()
                .any(|(of, file, part, _)| *of == word && path.ends_with(file) && line.contains(part))
        };
        let mut add = |word: &str| {
            if !excused(word) {
                found.push((number + 1, word.to_owned()));
            }
        };
        for (word, _) in WORDS {
            let parts: Vec<&str> = word.split(' ').collect();
            if row.windows(parts.len()).any(|window| window == parts) {
                add(word);
            }
        }
        let names = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        for name in names.clone().filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix))) {
            add(name);
        }
        for (kind, name) in names.clone().zip(names.skip(1)) {
            if ["struct", "enum"].contains(&kind) && TYPES.contains(&name) {
                add(name);
            }
        }
    }
    found
}

/// The files that people read. Vectors are what other programs wrote.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places: Vec<PathBuf> =
        ["src", "cli", "crash", "tests", "bench", "benches", "examples", "fuzz", "docs"]
            .iter()
            .map(|at| root.join(at))
            .collect();
    places
        .extend(fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    let mut found = Vec::new();
    while let Some(path) = places.pop() {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            let skipped = ["target", "vectors", "corpus"].iter().any(|folder| path.ends_with(folder));
            let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            places.extend(entries.filter(|_| !skipped));
        } else if path.extension().is_some_and(|suffix| ["rs", "md", "toml"].iter().any(|of| suffix == *of)) {
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn the_words_are_those_of_the_field() {
    let files = files();
    assert!(files.len() > 400, "{}", files.len());
    let mut wrong = Vec::new();
    for (path, text) in files {
        // This file names them.
        if path.ends_with("house/words.rs") {
            continue;
        }
        for (line, word) in hits(&path, &text) {
            let better =
                WORDS.iter().find(|(old, _)| *old == word).map_or("see PREFIXES and TYPES", |(_, new)| new);
            wrong.push(format!("{path}:{line}: {word:?}; say {better}"));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_kind_of_word_is_found_where_it_is_planted() {
    let found = |line: &str| hits("planted", line).into_iter().map(|(_, word)| word).collect::<Vec<_>>();
    for (word, _) in WORDS {
        let snake = format!("fn {}_x() {{}}", word.replace(' ', "_"));
        let camel: String = word.split(' ').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
        for line in [
            format!("/// It {word}."),
            format!("let text = \"{word}\";"),
            snake,
            format!("enum {camel}X {{}}"),
        ] {
            assert!(found(&line).iter().any(|hit| hit == word), "{word:?} in {line}");
        }
    }
    for prefix in PREFIXES {
        assert_eq!(found(&format!("const {prefix}BYTES: u64 = 1;")), [format!("{prefix}BYTES")]);
    }
    for name in TYPES {
        assert_eq!(found(&format!("pub(crate) struct {name} {{")), [name]);
        assert_eq!(found(&format!("enum {name} {{")), [name]);
    }
    assert_eq!(found("/// After the batch, the log end offset is durable."), [""; 0]);
    assert_eq!(hits("planted", "fine\nbehind"), [(2, "behind".to_owned())]);
}
