//! Which topics are meant: a name, a list of names, or a regular expression, as Kafka's tools take them.
//!
//! `,` and `|` separate alternatives, surrounding quotes are dropped, and an expression has to match the whole name. One
//! rule is stricter than Kafka's: an alternative that is itself a legal topic name means that topic alone. To Kafka the dot
//! in `test.a` is a wildcard, so that deleting `test.a` also deletes `test-a`.

use regex_lite::Regex;

use super::failure::{Failure, Outcome};

/// One or several names of topics, or expressions for them.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    names: Vec<String>,
    expression: Option<Regex>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let quotes = ['"', '\''];
        let listed = text.trim().replace(',', "|").replace(' ', "");
        let listed = listed.trim_start_matches(quotes).trim_end_matches(quotes);
        // Within a group or a class, `|` does not separate names.
        let alternatives: Vec<&str> =
            if listed.contains(['(', '[', '{', '\\']) { vec![listed] } else { listed.split('|').collect() };
        let (names, expressions): (Vec<_>, Vec<_>) =
            alternatives.into_iter().map(without_anchors).partition(|part| is_name(part));
        let wrong = |why: &str| {
            Failure::usage(format!(
                "{text:?} names no topics: {why}; give names or regular expressions such as 'test-.*', with | or , \
                 between several"
            ))
        };
        if expressions.iter().any(|part| part.is_empty()) {
            return Err(wrong("an alternative is empty"));
        }
        let expression = match expressions.as_slice() {
            [] => None,
            parts => {
                let whole = format!("^(?:{})$", parts.join("|"));
                Some(Regex::new(&whole).map_err(|failure| wrong(&failure.to_string()))?)
            }
        };
        Ok(Self { text: text.to_owned(), names: names.into_iter().map(str::to_owned).collect(), expression })
    }

    /// Exactly this name, whatever characters it consists of.
    pub(super) fn name(name: &str) -> Self {
        Self { text: name.to_owned(), names: vec![name.to_owned()], expression: None }
    }

    /// Whether it can mean only one topic.
    pub(super) fn is_name(&self) -> bool {
        self.expression.is_none() && self.names.len() == 1
    }

    /// The topics that are named in full.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.is_named(name) || self.expression.as_ref().is_some_and(|expression| expression.is_match(name))
    }

    /// Whether this topic is named in full, not only matched by an expression.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|one| one == name)
    }
}

fn without_anchors(part: &str) -> &str {
    let part = part.strip_prefix('^').unwrap_or(part);
    part.strip_suffix('$').unwrap_or(part)
}

fn is_name(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
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
            (".*", "orders", true),
            ("or.*", "orders", true),
            (".*ers", "orders", true),
            (".*ers", "orders.x", false),
            ("a.*b.*c", "a-bb-b-c", true),
            ("a.*b.*c", "a-bb-b-", false),
            ("orders|payments", "payments", true),
            ("orders, payments", "payments", true),
            ("^orders$", "orders", true),
            ("\"orders\"", "orders", true),
            ("test[0-9]+", "test12", true),
            ("test[0-9]+", "test", false),
            ("(a|b)-x", "b-x", true),
            ("(a|b)-x", "a", false),
            ("a?b", "b", true),
            ("a{2},b", "aa", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_name_in_a_list_means_that_topic_alone() {
        let pattern = Pattern::parse("test.a,other2,x.*").unwrap();
        assert_eq!(pattern.names(), ["test.a", "other2"]);
        for (name, expected) in [("test.a", true), ("test-a", false), ("other2", true), ("x.y", true)] {
            assert_eq!(pattern.matches(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for pattern in ["", "a|", "|", ",a", "[ab", "(a", "*a", "a**)"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
