//! The source as the compiler's lexer sees it: comments are gone, and so are items that only tests have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A token, and in how many modules inside of its file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) nesting: usize,
}

/// All source files of a folder, by their paths below it.
pub(crate) fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// The tokens of what is shipped: the whole file but for items under `#[cfg(test)]`, wherever they are.
pub(crate) fn shipped(text: &str) -> Vec<Word> {
    let tokens: TokenStream = text.parse().unwrap_or_else(|failure| panic!("{failure}"));
    let mut words = Vec::new();
    flatten(tokens, 0, &mut words);
    words
}

fn flatten(tokens: TokenStream, nesting: usize, words: &mut Vec<Word>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if is_for_tests(&tokens[at..]) {
            at = end_of_item(&tokens, at);
            continue;
        }
        let mut push = |text: &str| words.push(Word { text: text.to_owned(), nesting });
        match &tokens[at] {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open);
                let is_module = at >= 2 && is_word(&tokens[at - 2], "mod") && open == "{";
                flatten(group.stream(), nesting + usize::from(is_module), words);
                words.push(Word { text: close.to_owned(), nesting });
            }
            TokenTree::Punct(colon) if colon.as_char() == ':' && is_colon(tokens.get(at + 1)) => {
                push("::");
                at += 1;
            }
            token => push(&token.to_string()),
        }
        at += 1;
    }
}

fn is_colon(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// Whether an attribute follows that leaves an item to tests: `cfg(test)` or `cfg(all(test, ..))`.
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = tokens else { return false };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    hash.as_char() == '#' && (text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

/// What an item begins with.
const KEYWORDS: [&str; 14] = [
    "pub",
    "fn",
    "mod",
    "use",
    "impl",
    "struct",
    "enum",
    "const",
    "static",
    "type",
    "trait",
    "unsafe",
    "let",
    "macro_rules",
];

/// After the item whose attributes begin at `at`. Items end with a block or a semicolon; fields, variants and arms with a
/// comma.
fn end_of_item(tokens: &[TokenTree], mut at: usize) -> usize {
    while matches!(&tokens[at], TokenTree::Punct(hash) if hash.as_char() == '#') {
        at += 2;
    }
    let is_item = KEYWORDS.iter().any(|word| is_word(&tokens[at], word));
    for (further, token) in tokens.iter().enumerate().skip(at) {
        let ends = match token {
            TokenTree::Group(group) => is_item && group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';' || (!is_item && punct.as_char() == ','),
            _ => false,
        };
        if ends {
            return further + 1;
        }
    }
    tokens.len()
}

/// Whether the tokens are there one after another, as in `std :: fs`.
pub(crate) fn holds(words: &[Word], sequence: &str) -> bool {
    let sequence: Vec<_> = sequence.split(' ').collect();
    words.windows(sequence.len()).any(|window| window.iter().map(|word| &word.text).eq(&sequence))
}

/// The names that the root re-exports, and from which room each comes.
pub(crate) fn exports(of: &[Word]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (at, _) in of.iter().enumerate().filter(|(_, word)| word.text == "use") {
        let declaration: Vec<_> =
            of[at + 1..].iter().map(|word| &*word.text).take_while(|word| *word != ";").collect();
        let Some((room, path)) = declaration.split_first() else { continue };
        for (place, name) in path.iter().enumerate() {
            let is_leaf = matches!(path.get(place + 1), None | Some(&("," | "}")));
            if is_leaf && name.starts_with(char::is_alphabetic) {
                found.insert((*name).to_owned(), (*room).to_owned());
            }
        }
    }
    found
}
