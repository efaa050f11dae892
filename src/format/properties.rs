//! Java properties text, and `meta.properties`, which says whose a log directory is.
//!
//! A file is read as the JVM reads it: a byte is a character (ISO 8859-1), and what lies beyond is written
//! `\uXXXX` in UTF-16. So what is written here is ASCII.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Malformed;
use super::uuid::Uuid;

/// What `meta.properties` holds in the only version that matters, 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the names of the keys in the file")]
pub(crate) struct MetaProperties {
    /// The same on all nodes of a cluster, never empty.
    pub(crate) cluster_id: String,
    /// Never negative.
    pub(crate) node_id: i32,
    /// Different for every log directory. A broker that finds none makes one up.
    pub(crate) directory_id: Option<Uuid>,
}

impl MetaProperties {
    pub(crate) fn parse(file: &[u8]) -> Result<Self, Malformed> {
        let mut found = parse(file)?;
        match found.get("version").map(String::as_str) {
            Some("1") => {}
            Some("0") => {
                return Err(Malformed(
                    "meta.properties has version 0, of a broker with ZooKeeper; 1 is needed",
                ));
            }
            Some(version) if version.parse().is_ok_and(|version: u32| version > 1) => {
                return Err(Malformed::NEWER_PROPERTIES);
            }
            Some(_) => return Err(Malformed("meta.properties has a version other than 1")),
            None => return Err(Malformed("meta.properties has no version")),
        }
        let cluster_id = found.remove("cluster.id").filter(|id| !id.is_empty());
        let node_id = found.get("node.id").ok_or(Malformed("meta.properties has no node.id"))?;
        let node_id = node_id.parse().ok().filter(|id| *id >= 0);
        let directory_id = found.get("directory.id").map(|id| Uuid::parse(id)).transpose();
        let directory_id =
            directory_id.map_err(|_| Malformed("meta.properties has a directory.id that is not an id"))?;
        if directory_id.is_some_and(|id| id.is_reserved()) {
            return Err(Malformed("meta.properties has a directory.id that is reserved"));
        }
        Ok(Self {
            cluster_id: cluster_id.ok_or(Malformed("meta.properties has no cluster.id"))?,
            node_id: node_id.ok_or(Malformed("meta.properties has a node.id that is not a number from 0"))?,
            directory_id,
        })
    }

    /// The file. `date` is the text of the comment that Kafka begins it with, one line without `#`.
    pub(crate) fn encode(&self, date: &str) -> String {
        debug_assert!(!date.contains(['\n', '\r']), "the date is a line");
        let mut text = format!("#\n#{date}\n");
        push("version", "1", &mut text);
        push("cluster.id", &self.cluster_id, &mut text);
        push("node.id", &self.node_id.to_string(), &mut text);
        if let Some(id) = self.directory_id {
            push("directory.id", &id.to_string(), &mut text);
        }
        text
    }
}

/// Reads properties text. The last value of a key counts.
pub(crate) fn parse(file: &[u8]) -> Result<BTreeMap<String, String>, Malformed> {
    let mut properties = BTreeMap::new();
    let mut rest = file;
    while let Some(line) = logical_line(&mut rest) {
        let (key, value) = split(&line);
        properties.insert(unescape(key)?, unescape(value)?);
    }
    Ok(properties)
}

/// Appends a line `key=value`.
fn push(key: &str, value: &str, to: &mut String) {
    escape(key, true, to);
    to.push('=');
    escape(value, false, to);
    to.push('\n');
}

/// The next line that is neither blank nor a comment, without the white space before it, and with the lines
/// joined that end in a backslash.
fn logical_line(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    let mut continues = false;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(end)?;
        *rest =
            after.strip_prefix(b"\r\n").or(after.split_first().map(|(_, after)| after)).unwrap_or_default();

        let line = trim_start(line);
        if !continues && matches!(line.first(), None | Some(b'#' | b'!')) {
            continue;
        }
        // An even number of backslashes means backslashes.
        continues = line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
        joined.extend_from_slice(if continues { line.strip_suffix(b"\\").unwrap_or(line) } else { line });
        if !continues {
            return Some(joined);
        }
    }
    continues.then_some(joined)
}

/// Key and value, at the first `=`, `:` or white space that is not escaped.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = line.iter().position(|byte| {
        let ends = !escaped && (is_white(*byte) || matches!(byte, b'=' | b':'));
        escaped = !escaped && *byte == b'\\';
        ends
    });
    let (key, after) = line.split_at_checked(end.unwrap_or(line.len())).unwrap_or((line, &[]));
    let after = trim_start(after);
    let value = after.strip_prefix(b"=").or(after.strip_prefix(b":")).unwrap_or(after);
    (key, trim_start(value))
}

fn unescape(text: &[u8]) -> Result<String, Malformed> {
    let mut units = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        units.push(match byte {
            b'\\' => match bytes.next() {
                None => break,
                Some(b't') => u16::from(b'\t'),
                Some(b'n') => u16::from(b'\n'),
                Some(b'r') => u16::from(b'\r'),
                Some(b'f') => 0x0c,
                Some(b'u') => code_unit(&mut bytes)?,
                Some(other) => u16::from(other),
            },
            plain => u16::from(plain),
        });
    }
    String::from_utf16(&units).map_err(|_| Malformed("a property has half of a \\u pair"))
}

/// The four hex digits after `\u`.
fn code_unit(bytes: &mut impl Iterator<Item = u8>) -> Result<u16, Malformed> {
    (0..4).try_fold(0, |unit, _| {
        let digit = bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let digit = digit.and_then(|digit| u16::try_from(digit).ok());
        Ok(unit << 4 | digit.ok_or(Malformed("a property has \\u without four hex digits"))?)
    })
}

/// Writes `text` so that [`parse`] gives it back. In a key every space is escaped, in a value the leading ones.
fn escape(text: &str, key: bool, to: &mut String) {
    let mut leading = true;
    for character in text.chars() {
        leading &= character == ' ';
        match character {
            '\t' => to.push_str("\\t"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\x0c' => to.push_str("\\f"),
            ' ' if key || leading => to.push_str("\\ "),
            '\\' | '=' | ':' | '#' | '!' => to.extend(['\\', character]),
            ' '..='~' => to.push(character),
            beyond => {
                for unit in beyond.encode_utf16(&mut [0; 2]) {
                    let _ = write!(to, "\\u{unit:04X}");
                }
            }
        }
    }
}

fn trim_start(line: &[u8]) -> &[u8] {
    let white = line.iter().take_while(|byte| is_white(**byte)).count();
    line.get(white..).unwrap_or_default()
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::{vector, vectors_named};

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn files_of_brokers_are_read() {
        for (path, file) in vectors_named(&["meta.properties"]) {
            let meta = MetaProperties::parse(&file).unwrap();
            assert_eq!((meta.node_id, meta.cluster_id.len()), (1, 22), "{}", path.display());
            assert!(meta.directory_id.is_some());
        }
    }

    #[test]
    fn file_in_our_order_comes_back_byte_for_byte() {
        let file = vector("catalog/logdir/meta.properties");
        let meta = MetaProperties::parse(&file).unwrap();
        assert_eq!(meta.encode("Tue Nov 14 22:13:20 UTC 2023").as_bytes(), file);
    }

    #[test]
    fn text_is_read_as_the_jvm_reads_it() {
        let check = |text: &[u8], expected: &[(&str, &str)]| {
            let read = parse(text).unwrap();
            let read: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(read, expected, "{}", text.escape_ascii());
        };
        check(b"", &[]);
        check(b" \n# a=b\n\t! a=b\\\nc", &[("c", "")]);
        check(b"a=b\nc:d\re f\r\ng", &[("a", "b"), ("c", "d"), ("e", "f"), ("g", "")]);
        check(b"  a \t= : b ", &[("a", ": b ")]);
        check(b"a  b=c", &[("a", "b=c")]);
        check(b"=a", &[("", "a")]);
        check(b"a\\=\\:\\ b=\\tc\\q\\\\", &[("a=: b", "\tcq\\")]);
        check(b"a=b\\\n   # c\\\r\nd\ne", &[("a", "b# cd"), ("e", "")]);
        check(b"a=\\\\\nb=\\", &[("a", "\\"), ("b", "")]);
        check(b"a=\xe9\\u00e9\\uD83D\\uDE00", &[("a", "éé😀")]);
        check(b"a=1\na=2", &[("a", "2")]);
        assert_eq!(parse(b"a=\\u12"), Err(Malformed("a property has \\u without four hex digits")));
        assert_eq!(parse(b"a=\\uD83D"), Err(Malformed("a property has half of a \\u pair")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| MetaProperties::parse(text.as_bytes()).unwrap_err().0;
        assert_eq!(wrong("cluster.id=a\nnode.id=1"), "meta.properties has no version");
        assert_eq!(wrong("version=2"), Malformed::NEWER_PROPERTIES.0);
        assert_eq!(wrong("version=-1"), "meta.properties has a version other than 1");
        let zookeeper = "meta.properties has version 0, of a broker with ZooKeeper; 1 is needed";
        assert_eq!(wrong("version=0\nbroker.id=1"), zookeeper);
        assert_eq!(wrong("version=1\nnode.id=1"), "meta.properties has no cluster.id");
        assert_eq!(wrong("version=1\nnode.id=1\ncluster.id="), "meta.properties has no cluster.id");
        assert_eq!(wrong("version=1\ncluster.id=a"), "meta.properties has no node.id");
        let node = "meta.properties has a node.id that is not a number from 0";
        assert_eq!(wrong("version=1\ncluster.id=a\nnode.id=-1"), node);
        let with_directory =
            |id: &str| wrong(&format!("version=1\ncluster.id=a\nnode.id=1\ndirectory.id={id}"));
        assert_eq!(with_directory("x"), "meta.properties has a directory.id that is not an id");
        let reserved = "meta.properties has a directory.id that is reserved";
        assert_eq!(with_directory("AAAAAAAAAAAAAAAAAAAAAQ"), reserved);
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        #[cfg_attr(miri, ignore = "compiles a regular expression for its strings, which takes Miri minutes")]
        fn meta_comes_back(cluster_id in ".+", node_id in 0..=i32::MAX, directory: Option<[u8; 16]>) {
            let directory_id = directory.map(Uuid::from_bytes).filter(|id| !id.is_reserved());
            let meta = MetaProperties { cluster_id, node_id, directory_id };
            prop_assert_eq!(MetaProperties::parse(meta.encode("today").as_bytes()), Ok(meta));
        }

        #[test]
        fn properties_come_back(key: String, value: String) {
            let mut text = String::new();
            push(&key, &value, &mut text);
            prop_assert!(text.is_ascii());
            prop_assert_eq!(parse(text.as_bytes()), Ok(BTreeMap::from([(key, value)])));
        }

        #[test]
        #[cfg_attr(miri, ignore = "compiles a regular expression for its strings, which takes Miri minutes")]
        fn garbage_is_refused_or_read(bytes: Vec<u8>, text in "[a \\\\\n\r=:u0#]{0,40}") {
            let _ = MetaProperties::parse(&bytes);
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }
    }
}
