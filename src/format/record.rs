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
fn length(field: Option<&[u8]>) -> i64 {
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

/// A record as stored in a batch: deltas not yet added to anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: RawHeaders<'a>,
}

/// Headers still encoded: their count and their bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawHeaders<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// Takes the next record off `input` and checks all of its framing but the headers'.
    #[inline(always)]
    pub(crate) fn take(input: &mut Input<'a>) -> Result<Self, Malformed> {
        #[cfg(test)]
        super::work::count(1);
        match Self::take_short(input.rest()) {
            Some((record, bytes)) => {
                input.take(bytes)?;
                Ok(record)
            }
            None => Self::take_any(input),
        }
    }

    /// Checks the framing of the next record and all of its headers, and returns its offset delta. Nothing else of it is
    /// put together, which would cost more than the check.
    #[inline(always)]
    pub(super) fn check_next(input: &mut Input<'a>) -> Result<i32, Malformed> {
        match Self::take_short(input.rest()) {
            Some((record, bytes)) => {
                input.take(bytes)?;
                Ok(record.offset_delta)
            }
            None => Self::check_any(input),
        }
    }

    #[inline(never)]
    fn check_any(input: &mut Input<'a>) -> Result<i32, Malformed> {
        let record = Self::take_any(input)?;
        record.headers.check()?;
        Ok(record.offset_delta)
    }

    /// What nearly all records are: no headers, numbers of one or two bytes. Decodes the front of the
    /// record from one word. `None` says nothing about the record but that it is not of this kind.
    #[inline(always)]
    fn take_short(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut front = ShortNumbers::new(bytes)?;
        let length = usize::try_from(front.next()?).ok()?;
        let end = front.used + length;
        front.skip_byte();
        let (timestamp_delta, offset_delta, key_length) = (front.next()?, front.next()?, front.next()?);
        if front.used > ShortNumbers::WORD {
            return None;
        }
        let record = bytes.get(..end)?;
        let mut at = front.used;
        let key = short_field(record, &mut at, key_length)?;
        let value_length = short_number(record, &mut at)?;
        let value = short_field(record, &mut at, value_length)?;
        // What is left must be the header count, 0.
        if record.get(at..)? != [0] {
            return None;
        }
        let headers = RawHeaders::default();
        Some((Self { timestamp_delta: i64::from(timestamp_delta), offset_delta, key, value, headers }, end))
    }

    /// Any record, and the reason for one that is malformed.
    fn take_any(input: &mut Input<'a>) -> Result<Self, Malformed> {
        let length =
            usize::try_from(input.varint()?).map_err(|_| Malformed("a record's length is negative"))?;
        let mut body =
            Input::new(input.take(length).map_err(|_| Malformed("a record is longer than its batch"))?);
        body.array::<1>()?; // attributes, unused
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key = take_field(&mut body)?;
        let value = take_field(&mut body)?;
        let count =
            u32::try_from(body.varint()?).map_err(|_| Malformed("a record's header count is negative"))?;
        let bytes = body.take(body.remaining())?;
        // A header is at least two bytes long.
        if count as usize > bytes.len() / 2 {
            return Err(Malformed("a record's header count exceeds its bytes"));
        }
        if count == 0 && !bytes.is_empty() {
            return Err(Malformed("bytes are left after the last field of a record"));
        }
        Ok(Self { timestamp_delta, offset_delta, key, value, headers: RawHeaders { count, bytes } })
    }
}

/// Zig-zag numbers of one or two bytes, taken off a word of eight.
struct ShortNumbers {
    word: u64,
    used: usize,
}

impl ShortNumbers {
    const WORD: usize = 8;

    #[inline(always)]
    fn new(bytes: &[u8]) -> Option<Self> {
        Some(Self { word: u64::from_le_bytes(*bytes.first_chunk()?), used: 0 })
    }

    /// The next number. Past the end of the word it is 0, and `used` shows it.
    #[inline(always)]
    fn next(&mut self) -> Option<i32> {
        #[expect(clippy::cast_possible_truncation, reason = "takes the lowest two bytes")]
        let two = self.word as u32 & 0xffff;
        let z = if two & 0x80 == 0 {
            self.skip_byte();
            two & 0x7f
        } else if two & 0x8000 == 0 {
            self.word >>= 16;
            self.used += 2;
            (two & 0x7f) | (two >> 1 & 0x3f80)
        } else {
            return None;
        };
        Some(unzigzag(z))
    }

    #[inline(always)]
    fn skip_byte(&mut self) {
        self.word >>= 8;
        self.used += 1;
    }
}

#[inline(always)]
fn unzigzag(z: u32) -> i32 {
    (z >> 1).cast_signed() ^ -(z & 1).cast_signed()
}

#[inline(always)]
fn short_number(bytes: &[u8], at: &mut usize) -> Option<i32> {
    let first = u32::from(*bytes.get(*at)?);
    if first < 0x80 {
        *at += 1;
        return Some(unzigzag(first));
    }
    let second = u32::from(*bytes.get(*at + 1)?);
    *at += 2;
    (second < 0x80).then(|| unzigzag((first & 0x7f) | second << 7))
}

/// The bytes of a field of this length, after `at`.
#[inline(always)]
#[expect(clippy::option_option, reason = "the field may be null, and it may not be there")]
fn short_field<'a>(record: &'a [u8], at: &mut usize, length: i32) -> Option<Option<&'a [u8]>> {
    if length == -1 {
        return Some(None);
    }
    let start = *at;
    *at += usize::try_from(length).ok()?;
    Some(Some(record.get(start..*at)?))
}

#[inline(always)]
fn take_field<'a>(body: &mut Input<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match body.varint()? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| Malformed("a field's length is negative"))?;
            body.take(length).map(Some).map_err(|_| Malformed("a field is longer than its record"))
        }
    }
}

impl<'a> RawHeaders<'a> {
    /// Headers as [`encoded`](Self::encoded) and [`count`](Self::count) gave them.
    pub(crate) fn of(count: u32, bytes: &'a [u8]) -> Self {
        Self { count, bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn encoded(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the bytes are exactly the headers that the count promises.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        if self.count == 0 {
            return Ok(());
        }
        let mut input = Input::new(self.bytes);
        for _ in 0..self.count {
            take_field(&mut input)?.ok_or(Malformed("a header's name is null"))?;
            take_field(&mut input)?;
        }
        if input.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes are left after the last field of a record"))
        }
    }

    /// Takes the next header off. `None` at the end, and for what [`check`](Self::check) refuses.
    pub(crate) fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        let mut input = Input::new(self.bytes);
        let name = take_field(&mut input).ok()??;
        let value = take_field(&mut input).ok()?;
        self.bytes = input.take(input.remaining()).ok()?;
        Some(Header { name, value })
    }
}
