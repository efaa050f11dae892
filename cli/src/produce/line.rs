//! A line of input as a record: headers, key and value, as Kafka's `LineMessageReader` cuts them.
//!
//! One difference: bytes that are no UTF-8 stay as they are, where Kafka's reader replaces them by U+FFFD.

use memchr::memmem;
use regex_lite::Regex;
use stratalog::Record;

use crate::failure::{Failure, Outcome};
use crate::properties::{flag, unknown};

const KNOWN: [&str; 8] = [
    "parse.key",
    "key.separator",
    "parse.headers",
    "headers.delimiter",
    "headers.separator",
    "headers.key.separator",
    "null.marker",
    "ignore.error",
];

/// How lines are cut: `headers⟨delimiter⟩key⟨separator⟩value`.
#[derive(Debug)]
pub(super) struct Cut {
    parse_key: bool,
    key_separator: Vec<u8>,
    parse_headers: bool,
    headers_delimiter: Vec<u8>,
    headers_separator: Between,
    headers_key_separator: Vec<u8>,
    null_marker: Option<Vec<u8>>,
    ignore_error: bool,
}

/// What is between two headers: Kafka's reader takes a regular expression.
#[derive(Debug)]
enum Between {
    /// An expression that means itself.
    Text(Vec<u8>),
    Expression(Regex),
}

impl Cut {
    pub(super) fn of(properties: &[(String, String)]) -> Outcome<Self> {
        let given = |wanted: &str| {
            let mut values = properties.iter().rev().filter(|(name, _)| name == wanted);
            values.next().map(|(_, value)| value.as_str())
        };
        let is_on = |name: &str| given(name).map_or(Ok(false), |value| flag(name, value));
        if let Some((name, _)) = properties.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
            return Err(unknown(name, &KNOWN));
        }
        let key_separator = given("key.separator").unwrap_or("\t");
        let headers_delimiter = given("headers.delimiter").unwrap_or("\t");
        let headers_separator = given("headers.separator").unwrap_or(",");
        let headers_key_separator = given("headers.key.separator").unwrap_or(":");
        let null_marker = given("null.marker");
        differ(&[
            ("headers.delimiter", headers_delimiter),
            ("headers.separator", headers_separator),
            ("headers.key.separator", headers_key_separator),
        ])?;
        for other in [
            ("key.separator", key_separator),
            ("headers.separator", headers_separator),
            ("headers.delimiter", headers_delimiter),
            ("headers.key.separator", headers_key_separator),
        ] {
            if let Some(marker) = null_marker {
                differ(&[("null.marker", marker), other])?;
            }
        }
        Ok(Self {
            parse_key: is_on("parse.key")?,
            key_separator: key_separator.into(),
            parse_headers: is_on("parse.headers")?,
            headers_delimiter: headers_delimiter.into(),
            headers_separator: Between::parse(headers_separator)?,
            headers_key_separator: headers_key_separator.into(),
            null_marker: null_marker.map(Into::into),
            ignore_error: is_on("ignore.error")?,
        })
    }

    /// The record that a line represents, or what is wrong with it.
    #[inline]
    pub(super) fn record<'l>(&'l self, line: &'l [u8]) -> Result<Record<'l>, String> {
        if !self.parse_key && !self.parse_headers && self.null_marker.is_none() {
            return Ok(Record::new(line));
        }
        self.parts(line)
    }

    fn parts<'l>(&'l self, line: &'l [u8]) -> Result<Record<'l>, String> {
        let (headers, line) =
            self.cut_off(self.parse_headers, line, "headers", "headers.delimiter", &self.headers_delimiter)?;
        let (key, value) = self.cut_off(self.parse_key, line, "key", "key.separator", &self.key_separator)?;
        let mut record = Record::of(key.and_then(|key| self.unless_null(key)), self.unless_null(value));
        for one in
            headers.and_then(|text| self.unless_null(text)).into_iter().flat_map(|text| self.split(text))
        {
            let (name, value) = self.header(one?)?;
            record = match value {
                Some(value) => record.header(name, value),
                None => record.null_header(name),
            };
        }
        Ok(record)
    }

    /// What is before a separator, and the rest. Where it is missing and errors are ignored, all is the rest.
    fn cut_off<'l>(
        &self,
        wanted: bool,
        line: &'l [u8],
        what: &str,
        property: &str,
        separator: &[u8],
    ) -> Result<(Option<&'l [u8]>, &'l [u8]), String> {
        match split(line, separator).filter(|_| wanted) {
            Some((before, rest)) => Ok((Some(before), rest)),
            None if wanted && !self.ignore_error => Err(missing(what, property, separator)),
            None => Ok((None, line)),
        }
    }

    fn unless_null<'l>(&self, text: &'l [u8]) -> Option<&'l [u8]> {
        Some(text).filter(|text| self.null_marker.as_deref() != Some(text))
    }

    /// The headers that a text lists. Empty ones at the end do not count, as in Java's `split`.
    fn split<'l>(&self, text: &'l [u8]) -> Vec<Result<&'l [u8], String>> {
        let mut found = match &self.headers_separator {
            Between::Text(separator) => by_text(text, separator),
            Between::Expression(expression) => {
                let Ok(text) = std::str::from_utf8(text) else {
                    let why = "the headers are not UTF-8, so that headers.separator, an expression, cannot divide them";
                    return vec![Err(why.to_owned())];
                };
                by_expression(text, expression)
            }
        };
        if found.len() > 1 {
            let counting = found.iter().rposition(|one| !one.is_empty()).map_or(0, |last| last + 1);
            found.truncate(counting);
        }
        found.into_iter().map(Ok).collect()
    }

    fn header<'l>(&self, text: &'l [u8]) -> Result<(&'l [u8], Option<&'l [u8]>), String> {
        let shown = || format!("header {:?}", String::from_utf8_lossy(text));
        let separator = &self.headers_key_separator;
        match split(text, separator) {
            None if self.ignore_error => Ok((text, None)),
            None => Err(missing(&shown(), "headers.key.separator", separator)),
            Some((name, _)) if self.unless_null(name).is_none() => {
                Err(format!("the name of {} is the null.marker, but no name is null", shown()))
            }
            Some((name, value)) => Ok((name, self.unless_null(value))),
        }
    }
}

impl Between {
    fn parse(text: &str) -> Outcome<Self> {
        const MEANING: &[char] = &['.', '$', '|', '(', ')', '[', '{', '^', '?', '*', '+', '\\'];
        if !text.is_empty() && !text.contains(MEANING) {
            return Ok(Self::Text(text.into()));
        }
        let wrong = |why| {
            Failure::usage(format!("headers.separator is a regular expression, but {text:?} is none: {why}"))
        };
        Regex::new(text).map(Self::Expression).map_err(wrong)
    }
}

fn by_text<'l>(text: &'l [u8], separator: &[u8]) -> Vec<&'l [u8]> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((one, more)) = split(rest, separator) {
        found.push(one);
        rest = more;
    }
    found.push(rest);
    found
}

/// As Java's `split` does: a match of nothing at the very beginning does not count.
fn by_expression<'l>(text: &'l str, expression: &Regex) -> Vec<&'l [u8]> {
    let (mut found, mut from) = (Vec::new(), 0);
    for between in expression.find_iter(text).filter(|between| between.end() > 0) {
        found.extend(text.get(from..between.start()).map(str::as_bytes));
        from = between.end();
    }
    found.extend(text.get(from..).map(str::as_bytes));
    found
}

/// Refuses what Kafka's reader refuses: two properties of the same text, where one could not be distinguished from the other.
fn differ(properties: &[(&str, &str)]) -> Outcome {
    for (at, (one, text)) in properties.iter().enumerate() {
        if let Some((other, _)) = properties.iter().skip(at + 1).find(|(_, same)| same == text) {
            return Err(Failure::usage(format!("{one} and {other} are both {text:?}, but may not be equal")));
        }
    }
    Ok(())
}

fn missing(what: &str, property: &str, separator: &[u8]) -> String {
    let separator = String::from_utf8_lossy(separator);
    format!("no {property} ({separator:?}) after the {what}")
}

fn split<'l>(text: &'l [u8], separator: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let at = memmem::find(text, separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(properties: &[(&str, &str)]) -> Outcome<Cut> {
        let owned: Vec<_> = properties.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Cut::of(&owned)
    }

    #[test]
    fn plain_lines_are_values_as_they_are() {
        let plain = cut(&[]).unwrap();
        let record = plain.record(b"\0\xff\tx").unwrap();
        assert_eq!((record.key_bytes(), record.value_bytes()), (None, Some(&b"\0\xff\tx"[..])));
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let all = cut(&[("parse.headers", "true"), ("parse.key", "true")]).unwrap();
        let record = all.record(b"\xff:\xfe,b:\t\x80\t\xc3").unwrap();
        assert_eq!((record.key_bytes(), record.value_bytes()), (Some(&b"\x80"[..]), Some(&b"\xc3"[..])));
        let headers = format!("{record:?}");
        assert!(headers.contains("[255], value: Some([254])"), "{headers}");
        let divided = cut(&[("parse.headers", "true"), ("headers.separator", "[,;]")]).unwrap();
        let why = divided.record(b"a:\xff\tv").unwrap_err();
        assert!(why.contains("the headers are not UTF-8"), "{why}");
    }

    #[test]
    fn a_line_that_cannot_be_cut_says_what_is_missing() {
        let all = [("parse.headers", "true"), ("parse.key", "true"), ("null.marker", "NIL")];
        for (line, reason) in [
            (&b"a:1"[..], "no headers.delimiter (\"\\t\") after the headers"),
            (b"a:1\tk", "no key.separator (\"\\t\") after the key"),
            (b"a\tk\tv", "no headers.key.separator (\":\") after the header \"a\""),
            (b"NIL:1\tk\tv", "the name of header \"NIL:1\" is the null.marker, but no name is null"),
        ] {
            assert_eq!(cut(&all).unwrap().record(line).unwrap_err(), reason);
        }
    }

    #[test]
    fn what_is_no_expression_does_not_separate_headers() {
        let Err(Failure::Usage(why)) = cut(&[("headers.separator", "(")]) else { panic!("it is taken") };
        assert!(why.contains("headers.separator is a regular expression, but \"(\" is none"), "{why}");
    }
}
