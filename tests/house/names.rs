//! Names of files and of Kafka's own topics are spelled once: a second spelling is found.

use std::fs;
use std::path::Path;

use crate::source::{Word, files, is_test, shipped};

/// Where names are spelled.
const SPELLED: [&str; 3] = ["format/file_names.rs", "format/transaction_ends.rs", "config/topic_name.rs"];

/// What a literal holds.
fn literal(word: &Word) -> Option<&str> {
    word.text.trim_start_matches('b').strip_prefix('"')?.strip_suffix('"')
}

/// All names that these files spell.
fn names() -> Vec<String> {
    let mut found = Vec::new();
    for path in SPELLED {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path)).unwrap();
        let words = shipped(&text);
        // const NAME : & str = "…" ;
        let spelled = words.windows(7).filter(|at| at[0].text == "const" && at[4].text == "str");
        found.extend(spelled.filter_map(|at| literal(&at[6])).map(str::to_owned));
    }
    found
}

/// Literals that spell one of the names again. Words of an error text that are also a suffix are none, and neither are sentences.
fn spelled_again(text: &str, names: &[String]) -> Vec<String> {
    let words = shipped(text);
    let is_of_error = |at: usize| {
        let before: Vec<_> = words[at.saturating_sub(4)..at].iter().map(|word| &*word.text).collect();
        matches!(before[..], ["Error", "::", "invalid" | "io" | "not_found", "("])
    };
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some(literal) = literal(word).filter(|literal| !literal.contains(' ') && !is_of_error(at)) else {
            continue;
        };
        let is_spelled = |name: &String| {
            let is_long = name.contains(['.', '-', '_']) && name.len() > 3;
            literal == name
                || (is_long && literal.contains(&**name))
                || literal.ends_with(&format!(".{name}"))
        };
        if names.iter().any(is_spelled) {
            found.push(literal.to_owned());
        }
    }
    found
}

#[test]
fn names_of_files_are_spelled_once() {
    let (names, mut found) = (names(), Vec::new());
    assert!(names.len() > 30, "only {names:?} found");
    for (path, text) in files("src") {
        if is_test(&path) || SPELLED.iter().any(|spelled| path.ends_with(spelled)) {
            continue;
        }
        found.extend(
            spelled_again(&text, &names).into_iter().map(|name| format!("{}: {name}", path.display())),
        );
    }
    assert!(found.is_empty(), "spelled again, see format/file_names.rs:\n{}", found.join("\n"));
}

#[test]
fn a_second_spelling_is_found() {
    let names = names();
    for breach in [
        "const MARKER: &str = \".kafka_cleanshutdown\";",
        "fn of(path: &Path) -> PathBuf { path.with_extension(\"txnindex\") }",
        "fn of(root: &Path) -> PathBuf { root.join(\"meta.properties.tmp\") }",
        "fn of(end: u64) -> String { format!(\"{end:020}.log\") }",
        "fn is_internal(topic: &str) -> bool { topic == \"__consumer_offsets\" }",
    ] {
        assert_eq!(spelled_again(breach, &names).len(), 1, "{breach}");
    }
    for right in [
        "fn fail() -> Error { Error::not_found(\"log\", path) }",
        "fn fail() -> Malformed { Malformed(\"partition.metadata has no valid version\") }",
        "/// See `meta.properties`.\nfn read() {}",
        "#[cfg(test)]\nmod tests { const FILE: &str = \"meta.properties\"; }",
    ] {
        assert!(spelled_again(right, &names).is_empty(), "{right}");
    }
}
