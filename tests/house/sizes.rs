//! A type with more than a dozen fields or thirty methods is usually two concepts. One that is not says why at its head.

use std::collections::BTreeMap;

use crate::rooms::room_of;
use crate::rules::sources;
use crate::source::{Word, shipped};

const MAX_FIELDS: usize = 13;
const MAX_METHODS: usize = 30;
/// How the reason begins, in a comment at the head of the type.
const REASON: &str = "One type";

#[derive(Debug, Default, PartialEq, Eq)]
struct Size {
    fields: usize,
    methods: usize,
}

/// The types of a file, with what the file adds to each.
fn sizes(words: &[Word]) -> BTreeMap<String, Size> {
    let mut found: BTreeMap<String, Size> = BTreeMap::new();
    for (at, word) in words.iter().enumerate() {
        match &*word.text {
            "struct" => {
                let fields = body(words, at).iter().filter(|word| **word == ":").count();
                found.entry(words[at + 1].text.clone()).or_default().fields += fields;
            }
            "impl" => {
                if let Some(name) = implemented(&words[at + 1..]) {
                    let methods = body(words, at).iter().filter(|word| **word == "fn").count();
                    found.entry(name).or_default().methods += methods;
                }
            }
            _ => {}
        }
    }
    found
}

/// The name of the type of an `impl` that implements no trait.
fn implemented(words: &[Word]) -> Option<String> {
    let (mut depth, mut name) = (0_usize, None);
    for word in words {
        match &*word.text {
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            "{" | "where" => return name,
            "for" if depth == 0 => return None,
            text if depth == 0 && text.starts_with(char::is_alphabetic) => name = Some(text.to_owned()),
            _ => {}
        }
    }
    None
}

/// The tokens of the block that begins after `at`, but for those of blocks, lists and parentheses in it.
fn body(words: &[Word], at: usize) -> Vec<&str> {
    let (mut depth, mut inside, mut begun) = (0_usize, Vec::new(), false);
    for word in &words[at..] {
        match &*word.text {
            ";" if !begun => break,
            "{" if !begun => begun = true,
            _ if !begun => {}
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 0 => break,
            "}" | ")" | "]" => depth -= 1,
            text if depth == 0 => inside.push(text),
            _ => {}
        }
    }
    inside
}

/// Whether a type of a file says why it is one.
fn says_why(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let declares = |line: &str| {
        let after = line.split_once("struct ").or_else(|| line.split_once("enum ")).map(|(_, after)| after);
        after.and_then(|after| after.strip_prefix(name)).is_some_and(|rest| rest.starts_with([' ', '<', '(']))
    };
    let heads = (0..lines.len()).filter(|at| !lines[*at].starts_with("//") && declares(lines[*at]));
    heads
        .flat_map(|at| {
            lines[..at].iter().rev().take_while(|line| line.starts_with("//") || line.starts_with("#["))
        })
        .any(|line| line.contains(REASON))
}

/// Types that are too large without a reason, each with its fields and methods.
fn unexplained(files: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut types: BTreeMap<(String, String), (Size, bool)> = BTreeMap::new();
    for (room, text) in files {
        for (name, size) in sizes(&shipped(&text)) {
            let says_why = says_why(&text, &name);
            let (known, is_explained) = types.entry((room.clone(), name)).or_default();
            known.fields += size.fields;
            known.methods += size.methods;
            *is_explained |= says_why;
        }
    }
    let is_large = |size: &Size| size.fields > MAX_FIELDS || size.methods > MAX_METHODS;
    let large = types.into_iter().filter(|(_, (size, is_explained))| is_large(size) && !is_explained);
    large
        .map(|((room, name), (Size { fields, methods }, _))| {
            format!("{room}::{name} has {fields} fields and {methods} methods")
        })
        .collect()
}

#[test]
fn large_types_say_why_they_are_one() {
    let files = sources().map(|(folder, path, text)| (format!("{folder}/{}", room_of(&path)), text));
    let found = unexplained(files);
    assert!(
        found.is_empty(),
        "these say no \"{REASON}\" at their heads, see {}:\n{}",
        file!(),
        found.join("\n")
    );
}

#[test]
fn a_large_type_is_found() {
    let fields = |count| vec!["f: Vec<(u8, [u8; 4])>,"; count].concat();
    let methods = |count| {
        format!("impl<T: Sized> Large<T> {{ {} }}", "pub fn m(&self) { fn inner() {} }".repeat(count))
    };
    let found = |texts: &[String]| unexplained(texts.iter().map(|text| ("room".to_owned(), text.clone())));
    assert!(found(&[format!("struct Large<T> {{ {} }}", fields(13)), methods(15), methods(15)]).is_empty());
    let wide = format!("struct Large<T> {{ {} }}", fields(14));
    assert_eq!(found(std::slice::from_ref(&wide)), ["room::Large has 14 fields and 0 methods"]);
    assert!(found(&[format!("/// Of all. One type, since.\n#[must_use]\n{wide}")]).is_empty());
    assert!(found(&[format!("// One type, since.\npub(crate) {wide}")]).is_empty());
    let elsewhere = format!("/// One type, since.\nstruct LargeOther;\n{wide}");
    assert_eq!(found(&[elsewhere]).len(), 1);
    assert_eq!(found(&[methods(15), methods(16)]), ["room::Large has 0 fields and 31 methods"]);
    let of_a_trait = "impl<T> Shape for Large<T> { fn a() {} }".repeat(40);
    assert!(found(&[of_a_trait]).is_empty());
}
