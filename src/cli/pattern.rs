//! Which topics are meant: names, or the part of regular expressions that names of topics call for.
//!
//! Kafka's tools take a regular expression. Names hold letters, digits, `.`, `_` and `-` only, so little of it is of
//! use: `.*` for anything, `.` for any character, `|` or `,` between alternatives. The rest is refused rather than misread.
//! A `.` also stands for itself, so a plain name means itself first of all: see [`Pattern::is_name`].

use super::failure::{Failure, Outcome};

/// One or several names of topics.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    alternatives: Vec<String>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let inner = text.strip_prefix('^').unwrap_or(text);
        let inner = inner.strip_suffix('$').unwrap_or(inner);
        let alternatives: Vec<String> = inner.split(['|', ',']).map(|part| part.trim().to_owned()).collect();
        let understood = alternatives.iter().all(|part| !part.is_empty() && is_understood(part));
        if !understood {
            return Err(Failure::usage(format!(
                "{text:?} is no name of a topic; give names, with .* for anything, and with | or , between several"
            )));
        }
        Ok(Self { text: text.to_owned(), alternatives })
    }

    /// Exactly this name, whatever stands in it.
    pub(super) fn name(name: &str) -> Self {
        Self { text: name.to_owned(), alternatives: Vec::new() }
    }

    /// Whether it can mean only one topic, which should be there then.
    pub(super) fn is_name(&self) -> bool {
        self.alternatives.len() <= 1 && !self.text.contains('*')
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        if self.is_name() {
            return self.alternatives.first().unwrap_or(&self.text) == name;
        }
        self.alternatives.iter().any(|part| fits(part.as_bytes(), name.as_bytes()))
    }
}

fn is_understood(part: &str) -> bool {
    let mut before = None;
    part.chars().all(|c| {
        let starred = before.replace(c) == Some('.');
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') || (c == '*' && starred)
    })
}

/// Matches with one point to go back to, the last `.*`: that is enough, and keeps the work small.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = pattern.get(p..).unwrap_or_default();
        if rest.starts_with(b".*") {
            p += 2;
            retry = Some((p, n));
        } else if n == name.len() && rest.is_empty() {
            return true;
        } else if n < name.len() && rest.first().is_some_and(|c| *c == b'.' || Some(c) == name.get(n)) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((after, from)) = retry.filter(|(_, from)| *from < name.len()) {
            retry = Some((after, from + 1));
            (p, n) = (after, from + 1);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("a.b", "a.b", true),
            ("a.b", "axb", false),
            (".*", "", true),
            (".*", "orders", true),
            ("or.*", "orders", true),
            (".*ers", "orders", true),
            (".*ers", "orders.x", false),
            ("o.*e.*", "orders", true),
            ("a.*b.*c", "a-bb-b-c", true),
            ("a.*b.*c", "a-bb-b-", false),
            ("orders|payments", "payments", true),
            ("orders,payments", "payments", true),
            ("^orders$", "orders", true),
            ("o.ders|x", "orders", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in ["", "a|", "[ab]", "a*", "a+", "(a)", "a b", "\\d"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
