//! A line of input as a record: headers, key and value, as Kafka's console producer cuts them.

use memchr::memmem;
use stratalog::Record;

use crate::cli::failure::Outcome;
use crate::cli::properties::{flag, unknown};

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
    headers_separator: Vec<u8>,
    headers_key_separator: Vec<u8>,
    null_marker: Option<Vec<u8>>,
    ignore_error: bool,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            parse_key: false,
            key_separator: b"\t".to_vec(),
            parse_headers: false,
            headers_delimiter: b"\t".to_vec(),
            headers_separator: b",".to_vec(),
            headers_key_separator: b":".to_vec(),
            null_marker: None,
            ignore_error: false,
        }
    }
}

impl Cut {
    pub(super) fn of(properties: &[(String, String)]) -> Outcome<Self> {
        let mut cut = Self::default();
        for (name, value) in properties {
            let bytes = || separator(name, value);
            match name.as_str() {
                "parse.key" => cut.parse_key = flag(name, value)?,
                "key.separator" => cut.key_separator = bytes()?,
                "parse.headers" => cut.parse_headers = flag(name, value)?,
                "headers.delimiter" => cut.headers_delimiter = bytes()?,
                "headers.separator" => cut.headers_separator = bytes()?,
                "headers.key.separator" => cut.headers_key_separator = bytes()?,
                "null.marker" => cut.null_marker = Some(value.clone().into()),
                "ignore.error" => cut.ignore_error = flag(name, value)?,
                _ => return Err(unknown(name, &KNOWN)),
            }
        }
        Ok(cut)
    }

    /// The record that a line stands for, or what is wrong with it.
    #[inline]
    pub(super) fn record<'l>(&'l self, line: &'l [u8]) -> Result<Record<'l>, String> {
        if !self.parse_key && !self.parse_headers && self.null_marker.is_none() {
            return Ok(Record::new(line));
        }
        self.parts(line).or_else(|reason| if self.ignore_error { Ok(Record::new(line)) } else { Err(reason) })
    }

    fn parts<'l>(&'l self, line: &'l [u8]) -> Result<Record<'l>, String> {
        let (headers, line) = if self.parse_headers {
            let missing = || missing("headers", "headers.delimiter", &self.headers_delimiter);
            let (headers, rest) = split(line, &self.headers_delimiter).ok_or_else(missing)?;
            (Some(headers).filter(|headers| !self.is_null(headers)), rest)
        } else {
            (None, line)
        };
        let (key, value) = if self.parse_key {
            let missing = || missing("key", "key.separator", &self.key_separator);
            let (key, value) = split(line, &self.key_separator).ok_or_else(missing)?;
            (Some(key).filter(|key| !self.is_null(key)), value)
        } else {
            (None, line)
        };
        let mut record = match (key, self.is_null(value)) {
            (Some(key), true) => Record::tombstone(key),
            (Some(key), false) => Record::new(value).key(key),
            (None, false) => Record::new(value),
            (None, true) => return Err("a record without a value needs a key".to_owned()),
        };
        for header in headers.into_iter().flat_map(|text| self.headers(text)) {
            let (name, value) = header?;
            record = if self.is_null(value) { record.null_header(name) } else { record.header(name, value) };
        }
        Ok(record)
    }

    fn is_null(&self, text: &[u8]) -> bool {
        self.null_marker.as_deref() == Some(text)
    }

    fn headers<'l>(&'l self, text: &'l [u8]) -> impl Iterator<Item = Result<(&'l [u8], &'l [u8]), String>> {
        let mut rest = (!text.is_empty()).then_some(text);
        std::iter::from_fn(move || {
            let all = rest?;
            let (one, more) = match split(all, &self.headers_separator) {
                Some((one, more)) => (one, Some(more)),
                None => (all, None),
            };
            rest = more;
            Some(self.header(one))
        })
    }

    fn header<'l>(&self, text: &'l [u8]) -> Result<(&'l [u8], &'l [u8]), String> {
        let shown = String::from_utf8_lossy(text);
        let (name, value) = split(text, &self.headers_key_separator).ok_or_else(|| {
            missing(&format!("header {shown:?}"), "headers.key.separator", &self.headers_key_separator)
        })?;
        if self.is_null(name) {
            return Err(format!("the name of header {shown:?} is the null.marker, but no name is null"));
        }
        Ok((name, value))
    }
}

fn separator(name: &str, value: &str) -> Outcome<Vec<u8>> {
    if value.is_empty() {
        return Err(crate::cli::Failure::usage(format!("{name} is empty")));
    }
    Ok(value.as_bytes().to_vec())
}

fn missing(what: &str, property: &str, separator: &[u8]) -> String {
    let separator = String::from_utf8_lossy(separator);
    format!("no {property} ({separator:?}) behind the {what}")
}

fn split<'l>(text: &'l [u8], separator: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let at = memmem::find(text, separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(properties: &[(&str, &str)]) -> Cut {
        let owned: Vec<_> = properties.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Cut::of(&owned).unwrap()
    }

    #[test]
    fn keys_and_values() {
        let keyed = cut(&[("parse.key", "true"), ("key.separator", ":")]);
        let record = keyed.record(b"k:v:w").unwrap();
        assert_eq!((record.key_bytes(), record.value_bytes()), (Some(&b"k"[..]), Some(&b"v:w"[..])));
        let reason = keyed.record(b"no separator").unwrap_err();
        assert_eq!(reason, "no key.separator (\":\") behind the key");
        let record = keyed.record(b":").unwrap();
        assert_eq!((record.key_bytes(), record.value_bytes()), (Some(&b""[..]), Some(&b""[..])));
    }

    #[test]
    fn plain_lines_are_values_as_they_are() {
        let record = Cut::default();
        let record = record.record(b"\0\xff\tx").unwrap();
        assert_eq!((record.key_bytes(), record.value_bytes()), (None, Some(&b"\0\xff\tx"[..])));
    }

    #[test]
    fn headers_stand_before_the_key() {
        let all = cut(&[("parse.headers", "true"), ("parse.key", "true"), ("null.marker", "NIL")]);
        let headers = format!("{:?}", all.record(b"a:1,:2,\xff:3,b:NIL\tk\tv").unwrap());
        for header in [
            "[97], value: Some([49])",
            "[], value: Some([50])",
            "[255], value: Some([51])",
            "[98], value: None",
        ] {
            assert!(headers.contains(&format!("Header {{ name: {header}")), "{headers}");
        }
        assert_eq!(all.record(b"NIL\tk\tNIL").unwrap().value_bytes(), None);
        assert!(all.record(b"NIL\tNIL\tv").unwrap().key_bytes().is_none());
        for (line, reason) in [
            (&b"a:1"[..], "no headers.delimiter"),
            (b"a\tk\tv", "no headers.key.separator (\":\") behind the header \"a\""),
            (b"NIL:1\tk\tv", "no name is null"),
            (b"NIL\tNIL\tNIL", "needs a key"),
        ] {
            let text = all.record(line).unwrap_err();
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_cut_is_a_value_if_errors_are_ignored() {
        let lenient = cut(&[("parse.key", "true"), ("ignore.error", "true")]);
        assert_eq!(lenient.record(b"alone").unwrap().value_bytes(), Some(&b"alone"[..]));
    }
}
