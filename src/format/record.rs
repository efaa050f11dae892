//! One record inside a batch: lengths, key, value, headers.

use super::Malformed;
use super::varint::{Input, MAX_VARINT, MAX_VARLONG, put_varlong, varlong_len};

/// A header of a record: a name and a value, which may be null.
///
/// Names may repeat, may be empty, and keep their order. A name is a text for Kafka's own client; other clients write any
/// bytes, and so does this crate. Kafka's counterpart has the same name.
///
/// ```
/// use stratalog::Header;
/// assert_eq!(Header::new("by", "card").name(), "by");
/// assert_eq!(Header::null(&[0xff_u8, 0x00]).name_bytes(), [0xff, 0x00]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a value.
    pub fn new(name: &'a (impl AsRef<[u8]> + ?Sized), value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { name: name.as_ref(), value: Some(value.as_ref()) }
    }

    /// A header whose value is null.
    pub fn null(name: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { name: name.as_ref(), value: None }
    }

    #[inline]
    pub(super) fn of(name: &'a [u8], value: Option<&'a [u8]>) -> Self {
        Self { name, value }
    }

    /// The name. One that is not UTF-8 reads as U+FFFD: [`name_bytes`](Self::name_bytes) gives it as it is.
    pub fn name(&self) -> &'a str {
        std::str::from_utf8(self.name).unwrap_or("\u{fffd}")
    }

    /// The bytes of the name.
    pub fn name_bytes(&self) -> &'a [u8] {
        self.name
    }

    /// The value, `None` for null.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }
}

/// What a record is encoded from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordFields<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [Header<'a>],
}

/// Length prefix, attributes and two deltas, key length.
const MAX_PREFIX: usize = MAX_VARINT + 1 + MAX_VARLONG + MAX_VARINT + MAX_VARINT;

/// A length as the format writes it: −1 for null. Lengths above 2³¹−1 are refused before anything is encoded.
#[inline]
pub(super) fn length(field: Option<&[u8]>) -> i64 {
    field.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

#[inline]
fn field_bytes(field: Option<&[u8]>) -> usize {
    varlong_len(length(field)).saturating_add(field.map_or(0, <[u8]>::len))
}

#[inline]
fn index(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A record's place in its batch and its size there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    timestamp_delta: i64,
    offset_delta: u32,
    /// Bytes after the length prefix. Saturated, so that a size check refuses what cannot be.
    body: usize,
}

impl Measured {
    /// Bytes of the encoded record.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.body.saturating_add(varlong_len(index(self.body)))
    }
}

impl RecordFields<'_> {
    #[inline]
    pub(crate) fn measure(&self, timestamp_delta: i64, offset_delta: u32) -> Measured {
        let mut body = 1 + varlong_len(timestamp_delta) + varlong_len(i64::from(offset_delta));
        body = body.saturating_add(field_bytes(self.key)).saturating_add(field_bytes(self.value));
        body += varlong_len(index(self.headers.len()));
        for header in self.headers {
            body = body.saturating_add(field_bytes(Some(header.name)));
            body = body.saturating_add(field_bytes(header.value));
        }
        Measured { timestamp_delta, offset_delta, body }
    }

    /// Appends the encoded record. The caller has bounded its size.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a prefix holds the longest numbers")]
    pub(crate) fn encode(&self, measured: Measured, to: &mut Vec<u8>) {
        let mut prefix = [0; MAX_PREFIX];
        let mut at = put_varlong(index(measured.body), &mut prefix);
        at += 1; // attributes, always 0
        at += put_varlong(measured.timestamp_delta, &mut prefix[at..]);
        at += put_varlong(i64::from(measured.offset_delta), &mut prefix[at..]);
        at += put_varlong(length(self.key), &mut prefix[at..]);
        to.reserve(measured.bytes());
        to.extend_from_slice(&prefix[..at]);
        to.extend_from_slice(self.key.unwrap_or_default());
        push_length(length(self.value), to);
        to.extend_from_slice(self.value.unwrap_or_default());
        if self.headers.is_empty() {
            to.push(0);
            return;
        }
        push_length(index(self.headers.len()), to);
        for header in self.headers {
            push_field(Some(header.name), to);
            push_field(header.value, to);
        }
    }
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "the array holds the longest number")]
fn push_length(length: i64, to: &mut Vec<u8>) {
    let mut bytes = [0; MAX_VARLONG];
    let used = put_varlong(length, &mut bytes);
    to.extend_from_slice(&bytes[..used]);
}

fn push_field(field: Option<&[u8]>, to: &mut Vec<u8>) {
    push_length(length(field), to);
    to.extend_from_slice(field.unwrap_or_default());
}

/// Appends an encoded record with another distance from the base timestamp.
pub(super) fn push_with_delta(
    record: &[u8],
    timestamp_delta: i64,
    to: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut input = Input::new(record);
    input.varint()?;
    let attributes = input.array::<1>()?;
    input.varlong()?;
    let rest = input.rest();
    push_length(index(1 + varlong_len(timestamp_delta) + rest.len()), to);
    to.extend_from_slice(&attributes);
    push_length(timestamp_delta, to);
    to.extend_from_slice(rest);
    Ok(())
}

/// Appends an encoded record with another place in its batch. The record is one that was encoded here.
pub(super) fn push_with_deltas(
    record: &[u8],
    timestamp_delta: i64,
    offset_delta: u32,
    to: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut input = Input::new(record);
    input.varint()?;
    let attributes = input.array::<1>()?;
    input.varlong()?;
    input.varint()?;
    let (rest, offset_delta) = (input.rest(), i64::from(offset_delta));
    push_length(index(1 + varlong_len(timestamp_delta) + varlong_len(offset_delta) + rest.len()), to);
    to.extend_from_slice(&attributes);
    push_length(timestamp_delta, to);
    push_length(offset_delta, to);
    to.extend_from_slice(rest);
    Ok(())
}
