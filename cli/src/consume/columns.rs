//! How a record is printed: the columns of Kafka's console consumer, or JSON.
//!
//! Nothing is allocated per record: the columns go straight into the output's buffer.

use std::io::{self, Write};

use serde_json::Value;
use stratalog::{RecordView, TimestampType};

use super::deserializer::Deserializer;
use crate::failure::{Failure, Outcome};
use crate::properties::{flag, unknown};

const KNOWN: [&str; 13] = [
    "print.timestamp",
    "print.partition",
    "print.offset",
    "print.epoch",
    "print.headers",
    "print.key",
    "print.value",
    "key.separator",
    "line.separator",
    "headers.separator",
    "null.literal",
    "key.deserializer",
    "value.deserializer",
];

/// Which columns are printed, in Kafka's order, and what is between.
#[derive(Debug)]
pub(super) struct Columns {
    timestamp: bool,
    partition: bool,
    offset: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_as: Deserializer,
    value_as: Deserializer,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            timestamp: false,
            partition: false,
            offset: false,
            epoch: false,
            headers: false,
            key: false,
            value: true,
            key_separator: b"\t".to_vec(),
            line_separator: b"\n".to_vec(),
            headers_separator: b",".to_vec(),
            null_literal: b"null".to_vec(),
            key_as: Deserializer::Bytes,
            value_as: Deserializer::Bytes,
        }
    }
}

impl Columns {
    pub(super) fn of(properties: &[(String, String)]) -> Outcome<Self> {
        let mut columns = Self::default();
        for (name, value) in properties {
            match name.as_str() {
                "print.timestamp" => columns.timestamp = flag(name, value)?,
                "print.partition" => columns.partition = flag(name, value)?,
                "print.offset" => columns.offset = flag(name, value)?,
                "print.epoch" => columns.epoch = flag(name, value)?,
                "print.headers" => columns.headers = flag(name, value)?,
                "print.key" => columns.key = flag(name, value)?,
                "print.value" => columns.value = flag(name, value)?,
                "key.separator" => columns.key_separator = value.clone().into(),
                "line.separator" => columns.line_separator = value.clone().into(),
                "headers.separator" => columns.headers_separator = value.clone().into(),
                "null.literal" => columns.null_literal = value.clone().into(),
                "key.deserializer" => columns.key_as = value.parse().map_err(Failure::usage)?,
                "value.deserializer" => columns.value_as = value.parse().map_err(Failure::usage)?,
                _ => return Err(unknown(name, &KNOWN)),
            }
        }
        Ok(columns)
    }

    /// What the options of their own say about keys and values; those win over properties.
    pub(super) fn deserialize(mut self, key: Option<Deserializer>, value: Option<Deserializer>) -> Self {
        self.key_as = key.unwrap_or(self.key_as);
        self.value_as = value.unwrap_or(self.value_as);
        self
    }

    /// Prints a record.
    #[inline]
    pub(super) fn write(&self, record: &RecordView<'_>, out: &mut impl Write) -> io::Result<()> {
        if self.has_details() {
            self.write_details(record, out)?;
        }
        if self.value {
            match record.value() {
                Some(value) => self.value_as.write(value, out)?,
                None => out.write_all(&self.null_literal)?,
            }
        }
        out.write_all(&self.line_separator)
    }

    fn has_details(&self) -> bool {
        self.timestamp || self.partition || self.offset || self.epoch || self.headers || self.key
    }

    /// All columns before the value, with what is between.
    fn write_details(&self, record: &RecordView<'_>, out: &mut impl Write) -> io::Result<()> {
        let mut first = true;
        let mut begin = |out: &mut dyn Write| {
            if std::mem::take(&mut first) { Ok(()) } else { out.write_all(&self.key_separator) }
        };
        if self.timestamp {
            begin(out)?;
            let whose = whose_time(record);
            write!(out, "{whose}:{}", record.timestamp().as_millis())?;
        }
        if self.partition {
            begin(out)?;
            write!(out, "Partition:{}", record.partition())?;
        }
        if self.offset {
            begin(out)?;
            write!(out, "Offset:{}", record.offset())?;
        }
        if self.epoch {
            begin(out)?;
            match record.leader_epoch() {
                Some(epoch) => write!(out, "Epoch:{epoch}")?,
                None => out.write_all(b"Epoch:NOT_PRESENT")?,
            }
        }
        if self.headers {
            begin(out)?;
            self.write_headers(record, out)?;
        }
        if self.key {
            begin(out)?;
            match record.key() {
                Some(key) => self.key_as.write(key, out)?,
                None => out.write_all(&self.null_literal)?,
            }
        }
        if self.value { out.write_all(&self.key_separator) } else { Ok(()) }
    }

    fn write_headers(&self, record: &RecordView<'_>, out: &mut impl Write) -> io::Result<()> {
        let mut headers = record.headers().peekable();
        if headers.peek().is_none() {
            return out.write_all(b"NO_HEADERS");
        }
        while let Some(header) = headers.next() {
            out.write_all(header.name_bytes())?;
            out.write_all(b":")?;
            out.write_all(header.value().unwrap_or(&self.null_literal))?;
            if headers.peek().is_some() {
                out.write_all(&self.headers_separator)?;
            }
        }
        Ok(())
    }
}

fn whose_time(record: &RecordView<'_>) -> &'static str {
    match record.timestamp_type() {
        TimestampType::LogAppendTime => "LogAppendTime",
        _ => "CreateTime",
    }
}

/// A record as an object on a line. What is no text is as `{"base64": "…"}`.
pub(super) fn write_json(record: &RecordView<'_>, out: &mut impl Write) -> io::Result<()> {
    write!(
        out,
        r#"{{"topic":"{}","partition":{},"offset":{},"timestamp":{},"timestampType":"{}""#,
        record.topic(),
        record.partition(),
        record.offset(),
        record.timestamp().as_millis(),
        whose_time(record)
    )?;
    if let Some(epoch) = record.leader_epoch() {
        write!(out, r#","leaderEpoch":{epoch}"#)?;
    }
    out.write_all(br#","headers":["#)?;
    for (at, header) in record.headers().enumerate() {
        out.write_all(if at == 0 { b"[" } else { b",[" })?;
        write_text(header.name_bytes(), out)?;
        out.write_all(b",")?;
        write_bytes(header.value(), out)?;
        out.write_all(b"]")?;
    }
    out.write_all(br#"],"key":"#)?;
    write_bytes(record.key(), out)?;
    out.write_all(br#","value":"#)?;
    write_bytes(record.value(), out)?;
    out.write_all(b"}\n")
}

fn write_bytes(bytes: Option<&[u8]>, out: &mut impl Write) -> io::Result<()> {
    match bytes {
        None => out.write_all(b"null"),
        Some(bytes) => write_text(bytes, out),
    }
}

fn write_text(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(serde_json::to_writer(out, text)?),
        Err(_) => write!(out, "{}", Value::from_iter([("base64", base64(bytes))])),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) & 63;
            text.push(if digit <= group.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
