//! The kinds of value that a setting takes: how its text is read, and what an error says is valid.
//!
//! Texts are read as Kafka's `ConfigDef` reads them, or more strictly: what is accepted here, a broker accepts.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A setting by its Kafka name, whatever its kind.
pub(crate) trait Setting: Sync {
    fn name(&self) -> &'static str;
    fn accepts(&self, text: &str) -> bool;
    /// Completes "give …".
    fn wanted(&self) -> String;
    /// Whether both texts are values of the setting, and the same one.
    fn is_same(&self, one: &str, other: &str) -> bool;
    /// The default, as Kafka writes it.
    fn default_text(&self) -> String;
}

/// A setting that is a number within limits.
pub(crate) struct Number<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) default: T,
    pub(crate) valid: &'static [RangeInclusive<T>],
    /// What it counts, and what values out of the ordinary mean.
    pub(crate) unit: &'static str,
}

impl<T: PartialOrd + FromStr> Number<T> {
    pub(crate) fn read(&self, text: &str) -> Option<T> {
        let value = trim(text).parse().ok()?;
        self.valid.iter().any(|range| range.contains(&value)).then_some(value)
    }
}

impl<T: PartialOrd + FromStr + Display + Sync> Setting for Number<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn accepts(&self, text: &str) -> bool {
        self.read(text).is_some()
    }

    fn wanted(&self) -> String {
        let ranges: Vec<_> = self.valid.iter().map(in_words).collect();
        format!("{}: {}", self.unit, ranges.join(" or "))
    }

    fn is_same(&self, one: &str, other: &str) -> bool {
        same(self.read(one), self.read(other))
    }

    fn default_text(&self) -> String {
        self.default.to_string()
    }
}

/// A setting that is one of a few words.
pub(crate) struct Word<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) default: T,
    pub(crate) words: &'static [(&'static str, T)],
    /// Kafka ignores case in `true` and `false`, and nowhere else.
    pub(crate) any_case: bool,
}

impl<T: Copy> Word<T> {
    pub(crate) fn read(&self, text: &str) -> Option<T> {
        let text = trim(text);
        let same = |word: &str| word == text || (self.any_case && word.eq_ignore_ascii_case(text));
        self.words.iter().find(|(word, _)| same(word)).map(|(_, value)| *value)
    }
}

impl<T: Copy + PartialEq + Sync> Setting for Word<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn accepts(&self, text: &str) -> bool {
        self.read(text).is_some()
    }

    fn wanted(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    }

    fn is_same(&self, one: &str, other: &str) -> bool {
        same(self.read(one), self.read(other))
    }

    fn default_text(&self) -> String {
        let word = self.words.iter().find(|(_, value)| *value == self.default);
        word.map_or("", |(word, _)| word).to_owned()
    }
}

/// A setting that is a list, separated by commas, of words that may each occur once. Read as which of them occur.
pub(crate) struct WordList<const N: usize> {
    pub(crate) name: &'static str,
    pub(crate) default: [bool; N],
    pub(crate) words: [&'static str; N],
}

impl<const N: usize> WordList<N> {
    pub(crate) fn read(&self, text: &str) -> Option<[bool; N]> {
        let mut found = [false; N];
        let text = trim(text);
        if text.is_empty() {
            return Some(found);
        }
        for item in text.split(',') {
            let item = item.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
            let (seen, _) = found.iter_mut().zip(self.words).find(|(_, word)| *word == item)?;
            // Kafka takes a repetition before 4.2, and not from then on.
            if std::mem::replace(seen, true) {
                return None;
            }
        }
        Some(found)
    }
}

impl<const N: usize> Setting for WordList<N> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn accepts(&self, text: &str) -> bool {
        self.read(text).is_some()
    }

    fn wanted(&self) -> String {
        format!("none or more, each once, separated by commas, of {}", self.words.join(", "))
    }

    fn is_same(&self, one: &str, other: &str) -> bool {
        same(self.read(one), self.read(other))
    }

    fn default_text(&self) -> String {
        let words = self.words.iter().zip(self.default).filter(|(_, chosen)| *chosen);
        words.map(|(word, _)| *word).collect::<Vec<_>>().join(",")
    }
}

fn same<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_some() && one == other
}

/// A text as an error shows it: in quotes, and cut when it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Strips what Java's `String.trim` strips. Rust's own `trim` takes more, such as the no-break space, and would let
/// values pass that a broker refuses.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

fn in_words<T: PartialEq + Display>(range: &RangeInclusive<T>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{} to {}", range.start(), range.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: Number<i32> =
        Number { name: "level", default: 1, valid: &[-1..=-1, 1..=9], unit: "a whole number" };
    const SHARE: Number<f64> = Number { name: "share", default: 0.5, valid: &[0.0..=1.0], unit: "a number" };
    const SWITCH: Word<bool> =
        Word { name: "switch", default: false, words: &[("true", true), ("false", false)], any_case: true };
    const LIST: WordList<2> = WordList { name: "list", default: [true, false], words: ["a", "b"] };

    #[test]
    fn numbers_are_read_within_their_ranges() {
        for (text, value) in [
            ("-1", Some(-1)),
            ("0", None),
            ("1", Some(1)),
            ("9", Some(9)),
            ("10", None),
            (" \t+5\n", Some(5)),
            ("007", Some(7)),
            ("\u{a0}5", None),
            ("", None),
            ("5.0", None),
            ("5_0", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(LEVEL.read(text), value, "{text:?}");
        }
        assert_eq!(LEVEL.wanted(), "a whole number: -1 or 1 to 9");
    }

    #[test]
    fn fractions_are_read_within_their_ranges() {
        for (text, valid) in [
            ("0", true),
            ("1e-3", true),
            ("1.0", true),
            ("1.01", false),
            ("-0.1", false),
            ("NaN", false),
            ("inf", false),
        ] {
            assert_eq!(SHARE.accepts(text), valid, "{text:?}");
        }
    }

    #[test]
    fn words_are_read_in_their_case_or_any() {
        assert_eq!(SWITCH.read(" TRUE "), Some(true));
        assert_eq!(SWITCH.read("yes"), None);
        let strict = Word { any_case: false, ..SWITCH };
        assert_eq!(strict.read("TRUE"), None);
        assert_eq!(strict.wanted(), "one of true, false");
    }

    #[test]
    fn lists_hold_each_word_once() {
        for (text, value) in [
            ("", Some([false, false])),
            ("a", Some([true, false])),
            ("b , a", Some([true, true])),
            ("a,a", None),
            ("a,", None),
            (",", None),
            ("A", None),
            ("a b", None),
        ] {
            assert_eq!(LIST.read(text), value, "{text:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(quoted("a\"b"), "\"a\\\"b\"");
        assert_eq!(quoted(&"ä".repeat(64)), format!("\"{}\"", "ä".repeat(64)));
        assert_eq!(quoted(&"ä".repeat(65)), format!("\"{}\"…", "ä".repeat(64)));
    }
}
