//! A line that represents a record: what `export` prints is read where it lies; the same in any other order or with other
//! white space goes by way of a tree.

use serde_json::Value;

use super::{number, text};
use crate::{Failure, Outcome};

/// A record, its keys and values still in hex.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RecordLine<'l> {
    pub(super) topic: &'l str,
    pub(super) partition: u64,
    pub(super) offset: u64,
    pub(super) timestamp: i64,
    pub(super) appended: bool,
    pub(super) committed: bool,
    pub(super) key: Option<&'l str>,
    pub(super) value: Option<&'l str>,
    pub(super) headers: Vec<(Name<'l>, Option<&'l str>)>,
}

/// The name of a header: a string, or `{"hex":"…"}` where it is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name<'l> {
    Text(&'l str),
    Hex(&'l str),
}

/// Reads what `export` has printed. `None`: it is something else, or has an escape in it.
pub(super) fn as_exported(line: &str) -> Option<RecordLine<'_>> {
    let mut rest = line.strip_prefix("{\"type\":\"record\",\"topic\":")?;
    let topic = string(&mut rest)?;
    literal(&mut rest, ",\"partition\":")?;
    let partition = digits(&mut rest)?.parse().ok()?;
    literal(&mut rest, ",\"offset\":")?;
    let offset = digits(&mut rest)?.parse().ok()?;
    literal(&mut rest, ",\"timestamp\":")?;
    let timestamp = digits(&mut rest)?.parse().ok()?;
    literal(&mut rest, ",\"timestampType\":")?;
    let appended = string(&mut rest)? == "LogAppendTime";
    literal(&mut rest, ",\"leaderEpoch\":")?;
    literal(&mut rest, "null").or_else(|| digits(&mut rest).map(drop))?;
    literal(&mut rest, ",\"committed\":")?;
    let committed = literal(&mut rest, "true").is_some();
    if !committed {
        literal(&mut rest, "false")?;
    }
    literal(&mut rest, ",\"key\":")?;
    let key = nullable(&mut rest)?;
    literal(&mut rest, ",\"value\":")?;
    let value = nullable(&mut rest)?;
    literal(&mut rest, ",\"headers\":[")?;
    let mut headers = Vec::new();
    while literal(&mut rest, "[").is_some() {
        let name = if literal(&mut rest, "{\"hex\":").is_some() {
            let digits = string(&mut rest)?;
            literal(&mut rest, "}")?;
            Name::Hex(digits)
        } else {
            Name::Text(string(&mut rest)?)
        };
        literal(&mut rest, ",")?;
        headers.push((name, nullable(&mut rest)?));
        literal(&mut rest, "]")?;
        let _ = literal(&mut rest, ",");
    }
    (rest.trim_end() == "]}").then_some(())?;
    Some(RecordLine { topic, partition, offset, timestamp, appended, committed, key, value, headers })
}

fn literal(rest: &mut &str, expected: &str) -> Option<()> {
    *rest = rest.strip_prefix(expected)?;
    Some(())
}

fn digits<'l>(rest: &mut &'l str) -> Option<&'l str> {
    let end = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'-').count();
    let (digits, after) = rest.split_at_checked(end)?;
    *rest = after;
    Some(digits)
}

/// A string without escapes.
fn string<'l>(rest: &mut &'l str) -> Option<&'l str> {
    let (inside, after) = rest.strip_prefix('"')?.split_once('"')?;
    *rest = after;
    (!inside.contains('\\')).then_some(inside)
}

#[expect(clippy::option_option, reason = "it may be null, and it may not be there")]
fn nullable<'l>(rest: &mut &'l str) -> Option<Option<&'l str>> {
    match literal(rest, "null") {
        Some(()) => Some(None),
        None => string(rest).map(Some),
    }
}

impl<'l> RecordLine<'l> {
    /// Of a line that was parsed.
    pub(super) fn of(line: &'l Value) -> Outcome<Self> {
        let timestamp = line.get("timestamp").and_then(Value::as_i64);
        let mut headers = Vec::new();
        for header in line.get("headers").and_then(Value::as_array).into_iter().flatten() {
            let name = header.get(0);
            let text = name.and_then(Value::as_str).map(Name::Text);
            let digits = || name?.get("hex")?.as_str().map(Name::Hex);
            let name = text.or_else(digits).ok_or_else(|| Failure::failed("a header has no name"))?;
            headers.push((name, hex(header.get(1))));
        }
        Ok(Self {
            topic: text(line, "topic")?,
            partition: number(line, "partition")?,
            offset: number(line, "offset")?,
            timestamp: timestamp.ok_or_else(|| Failure::failed("it has no \"timestamp\""))?,
            appended: text(line, "timestampType")? == "LogAppendTime",
            committed: line.get("committed").and_then(Value::as_bool) != Some(false),
            key: hex(line.get("key")),
            value: hex(line.get("value")),
            headers,
        })
    }
}

fn hex(value: Option<&Value>) -> Option<&str> {
    // What is neither null nor a string is refused as no hex.
    value.filter(|value| !value.is_null()).map(|value| value.as_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_read_the_same() {
        let begin =
            r#"{"type":"record","topic":"t","partition":3,"offset":41,"timestamp":-1,"timestampType":"#;
        for rest in [
            r#""CreateTime","leaderEpoch":2,"committed":true,"key":null,"value":"","headers":[]}"#,
            r#""LogAppendTime","leaderEpoch":null,"committed":false,"key":"00ff","value":null,"headers":[["",null],["a","00"]]}"#,
            r#""CreateTime","leaderEpoch":2,"committed":true,"key":null,"value":"","headers":[[{"hex":"ff00"},null],[{"hex":""},"00"]]}"#,
        ] {
            let line = format!("{begin}{rest}\n");
            let quick = as_exported(&line).unwrap();
            let parsed: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(quick, RecordLine::of(&parsed).ok().unwrap());
        }
    }

    #[test]
    fn anything_else_is_left_to_the_tree() {
        let line = r#"{"type":"record","topic":"t","partition":3,"offset":41,"timestamp":1,"timestampType":"CreateTime","leaderEpoch":0,"committed":true,"key":null,"value":"00","headers":[["h","00"]]}"#;
        assert!(as_exported(line).is_some());
        for cut in 0..line.len() {
            assert_eq!(as_exported(&line[..cut]), None, "{cut}");
        }
        for (from, to) in
            [("\"t\"", "\"\\u0074\""), (":3", ": 3"), ("true", "1"), ("\"h\"", "null"), ("]}", "],\"x\":1}")]
        {
            assert_eq!(as_exported(&line.replace(from, to)), None, "{from}");
        }
    }
}
