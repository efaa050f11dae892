//! Records with everything added up, to compare what is read with what was written or described.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::format::batch::{Batch, BatchBuilder};
use crate::format::raw_record::RawRecord;
use crate::format::record::{Header, RecordFields};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Row {
    /// All records of a batch that `check_records` has passed.
    pub(super) fn read(batch: &Batch<'_>) -> Vec<Self> {
        let mut input = batch.records();
        let rows = (0..batch.header.record_count)
            .map(|_| Self::of(batch, &RawRecord::take(&mut input).unwrap()))
            .collect();
        assert!(input.is_empty());
        rows
    }

    fn of(batch: &Batch<'_>, record: &RawRecord<'_>) -> Self {
        let mut headers = Vec::new();
        for header in record.headers.iter() {
            headers.push((header.name().to_owned(), header.value().map(<[u8]>::to_vec)));
        }
        assert_eq!(headers.len(), record.headers.len());
        Self {
            offset: batch.header.base_offset + i64::from(record.offset_delta),
            timestamp: batch.timestamp_of(record),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        }
    }

    /// A record of the manifest.
    pub(super) fn described(record: &Value) -> Self {
        let header = |header: &Value| (header[0].as_str().unwrap().to_owned(), base64(&header[1]));
        Self {
            offset: record["offset"].as_i64().unwrap(),
            timestamp: record["timestamp"].as_i64().unwrap(),
            key: field(&record["key"]),
            value: field(&record["value"]),
            headers: record["headers"].as_array().unwrap().iter().map(header).collect(),
        }
    }

    /// Adds the record to a batch. The offset is the batch's to give.
    pub(super) fn push(&self, builder: &mut BatchBuilder) {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| header(name, value.as_deref())).collect();
        let fields =
            RecordFields { key: self.key.as_deref(), value: self.value.as_deref(), headers: &headers };
        let measured = builder.measure(&fields, self.timestamp);
        let bytes = builder.bytes_with(&measured);
        builder.push(&fields, measured, self.timestamp);
        assert_eq!(builder.bytes(), bytes);
    }
}

fn header<'a>(name: &'a str, value: Option<&'a [u8]>) -> Header<'a> {
    value.map_or(Header::null(name), |value| Header::new(name, value))
}

/// A key or value of the manifest: all of its bytes, or the piece that it repeats.
fn field(field: &Value) -> Option<Vec<u8>> {
    let Some(piece) = field.get("repeat_b64") else { return base64(&field["b64"]) };
    let number = |name: &str| usize::try_from(field[name].as_u64().unwrap()).unwrap();
    let bytes = base64(piece).unwrap().repeat(number("times"));
    assert_eq!(bytes.len(), number("len"));
    Some(bytes)
}

fn base64(text: &Value) -> Option<Vec<u8>> {
    assert!(text.is_string() || text.is_null(), "{text}");
    text.as_str().map(|text| STANDARD.decode(text).unwrap())
}
