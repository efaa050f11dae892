//! Encoding the usual record: no headers, and numbers that take three bytes at most.
//!
//! The numbers before the key become one word, which is stored as a whole; what it has beyond them the key overwrites.

use super::record::{RecordFields, length};
use super::varint::zigzag;

/// Bytes that a usual record takes beside its key and its value, at most.
const MAX_OVERHEAD: usize = 3 + WORD + 3 + 1;
const WORD: usize = size_of::<u64>();

/// Unsigned numbers in LEB128, one after the other in the low bytes of a word.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    word: u64,
    bytes: u32,
}

impl Numbers {
    /// `None`: it takes more than three bytes.
    #[inline(always)]
    fn of(number: i64) -> Option<Self> {
        let z = zigzag(number);
        Some(if z < 0x80 {
            Self { word: z, bytes: 1 }
        } else if z < 0x4000 {
            Self { word: (z & 0x7f) | 0x80 | (z >> 7) << 8, bytes: 2 }
        } else if z < 0x20_0000 {
            Self { word: (z & 0x7f) | (z << 1 & 0x7f00) | 0x8080 | (z >> 14) << 16, bytes: 3 }
        } else {
            return None;
        })
    }

    /// `None`: they do not fit into a word.
    #[inline(always)]
    fn then(self, next: Self) -> Option<Self> {
        let bytes = self.bytes + next.bytes;
        let word = self.word | next.word << (8 * self.bytes);
        (bytes as usize <= WORD).then_some(Self { word, bytes })
    }

    #[inline(always)]
    fn push(self, to: &mut Vec<u8>) {
        let end = to.len() + self.bytes as usize;
        to.extend_from_slice(&self.word.to_le_bytes());
        to.truncate(end);
    }
}

/// Bytes that the record takes if it is a usual one, at most.
#[inline(always)]
pub(super) fn most_bytes(record: &RecordFields<'_>) -> usize {
    let bytes = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
    bytes(record.key).saturating_add(bytes(record.value)).saturating_add(MAX_OVERHEAD)
}

/// Appends the encoded record if it is a usual one. `false`: it is not, and nothing was appended.
#[inline(always)]
pub(super) fn push_usual(
    record: &RecordFields<'_>,
    timestamp_delta: i64,
    offset_delta: u32,
    to: &mut Vec<u8>,
) -> bool {
    const NO_HEADERS: u8 = 0;
    let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
    let Some(Parts { body, before_key, before_value }) = Parts::of(record, timestamp_delta, offset_delta)
    else {
        return false;
    };
    to.reserve(MAX_OVERHEAD + WORD + key.len() + value.len());
    if let Some(together) = body.then(before_key) {
        together.push(to);
    } else {
        body.push(to);
        before_key.push(to);
    }
    push_key(key, to);
    before_value.push(to);
    to.extend_from_slice(value);
    to.push(NO_HEADERS);
    true
}

/// The numbers of a usual record.
struct Parts {
    body: Numbers,
    before_key: Numbers,
    before_value: Numbers,
}

impl Parts {
    #[inline(always)]
    fn of(record: &RecordFields<'_>, timestamp_delta: i64, offset_delta: u32) -> Option<Self> {
        if !record.headers.is_empty() {
            return None;
        }
        let attributes = Numbers { word: 0, bytes: 1 };
        let deltas =
            attributes.then(Numbers::of(timestamp_delta)?)?.then(Numbers::of(offset_delta.into())?)?;
        let before_key = deltas.then(Numbers::of(length(record.key))?)?;
        let before_value = Numbers::of(length(record.value))?;
        // Each of the two fields is below 2²⁰, and the count of headers is one byte.
        let fields = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let body = (before_key.bytes + before_value.bytes + 1) as usize + fields;
        Some(Self { body: Numbers::of(i64::try_from(body).ok()?)?, before_key, before_value })
    }
}

/// Keys of 8 to 16 bytes, numbers and UUIDs among them, are two words that may overlap.
#[inline(always)]
fn push_key(key: &[u8], to: &mut Vec<u8>) {
    match (key.first_chunk::<WORD>(), key.last_chunk::<WORD>()) {
        (Some(first), Some(last)) if key.len() <= 2 * WORD => {
            let last_at = to.len() + key.len() - WORD;
            to.extend_from_slice(first);
            to.truncate(last_at);
            to.extend_from_slice(last);
        }
        _ => to.extend_from_slice(key),
    }
}
