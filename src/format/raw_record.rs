//! One record as it lies in a batch, read.
//!
//! Two ways, and the second is for what the first one leaves. The first is made into the loops that walk over records: lengths
//! of one or two bytes, and the numbers before the key decoded from one word. The second takes any record, and knows the
//! reason for one that is malformed. What the first accepts, the second accepts, and decodes to the same.

use super::Malformed;
use super::record::Header;
use super::varint::Input;

/// A record as stored in a batch: deltas not yet added to anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: RawHeaders<'a>,
}

impl<'a> RawRecord<'a> {
    /// Takes the next record off `input` and checks all of its framing but the headers'.
    #[inline]
    pub(crate) fn take(input: &mut Input<'a>) -> Result<Self, Malformed> {
        #[cfg(test)]
        super::work::count(1);
        if check_short(input.rest()).is_some()
            && let Some((record, rest)) = Self::split_short(input.rest())
        {
            *input = Input::new(rest);
            return Ok(record);
        }
        Self::take_any(input)
    }

    /// The first record of bytes that a check has passed, and what follows it. Of other bytes it makes anything.
    #[inline(always)]
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        #[cfg(test)]
        super::work::count(1);
        match Self::split_short(bytes) {
            None => Self::split_other(bytes),
            found => found,
        }
    }

    #[inline(never)]
    fn split_other(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut input = Input::new(bytes);
        let record = Self::take_any(&mut input).ok()?;
        Some((record, input.rest()))
    }

    /// Checks the framing of the first record of `bytes` and all of its headers, and returns its offset delta and what
    /// follows it. Nothing else of it is put together, which would cost more than the check.
    #[inline(always)]
    pub(super) fn check_first(bytes: &'a [u8]) -> Result<(i32, &'a [u8]), Malformed> {
        match check_short(bytes) {
            Some(found) => Ok(found),
            None => Self::check_other(bytes),
        }
    }

    #[inline(never)]
    fn check_other(bytes: &'a [u8]) -> Result<(i32, &'a [u8]), Malformed> {
        let mut input = Input::new(bytes);
        let record = Self::take_any(&mut input)?;
        record.headers.check()?;
        Ok((record.offset_delta, input.rest()))
    }

    /// A record whose numbers are short, of bytes that were checked.
    #[inline(always)]
    fn split_short(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let prefix = Prefix::of(bytes)?;
        let mut at = prefix.used;
        let key = field(bytes, &mut at, prefix.key)?;
        let value_length = number(bytes, &mut at)?;
        let value = field(bytes, &mut at, value_length)?;
        let end = prefix.end();
        let record = Self {
            timestamp_delta: unzigzag(prefix.timestamp),
            offset_delta: (prefix.offset >> 1).cast_signed(),
            key,
            value,
            headers: RawHeaders { bytes: bytes.get(at..end)? },
        };
        Some((record, bytes.get(end..)?))
    }

    /// Any record, and the reason for one that is malformed.
    #[inline(never)]
    pub(super) fn take_any(input: &mut Input<'a>) -> Result<Self, Malformed> {
        let length =
            usize::try_from(input.varint()?).map_err(|_| Malformed("a record's length is negative"))?;
        let mut body =
            Input::new(input.take(length).map_err(|_| Malformed("a record is longer than its batch"))?);
        body.array::<1>()?; // attributes, unused
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key = take_field(&mut body)?;
        let value = take_field(&mut body)?;
        let headers = RawHeaders { bytes: body.rest() };
        let count =
            u32::try_from(body.varint()?).map_err(|_| Malformed("a record's header count is negative"))?;
        // A header is at least two bytes long.
        if count as usize > body.remaining() / 2 {
            return Err(Malformed("a record's header count exceeds its bytes"));
        }
        if count == 0 && !body.is_empty() {
            return Err(Malformed("bytes are left after the last field of a record"));
        }
        Ok(Self { timestamp_delta, offset_delta, key, value, headers })
    }
}

/// The offset delta of a record whose numbers are short, headers checked, and what follows the record. `None` says nothing
/// about the record but that it is not of this kind.
#[inline(always)]
fn check_short(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let prefix = Prefix::of(bytes)?;
    let mut at = prefix.used + (prefix.key >> 1) as usize;
    let value = number(bytes, &mut at)?;
    at += (value >> 1) as usize;
    // An odd number is a negative one, and of these, a field may have −1.
    if (prefix.length | prefix.offset | prefix.key | value) & 1 != 0
        && ((prefix.length | prefix.offset) & 1 != 0
            || (prefix.key & 1 != 0 && prefix.key != NULL)
            || (value & 1 != 0 && value != NULL))
    {
        return None;
    }
    let end = prefix.end();
    let rest = bytes.get(end..)?;
    // Nearly all records have no headers: a count of 0.
    if at + 1 != end || *bytes.get(at)? != 0 {
        RawHeaders { bytes: bytes.get(at..end)? }.check_short()?;
    }
    Some(((prefix.offset >> 1).cast_signed(), rest))
}

/// A length of −1 as it is encoded.
const NULL: u32 = 1;

/// The numbers before a record's key, as they are encoded.
struct Prefix {
    length: u32,
    timestamp: u64,
    offset: u32,
    /// The key's length.
    key: u32,
    /// Bytes up to the end of the length, and up to the key.
    start: usize,
    used: usize,
}

impl Prefix {
    /// `None` if one of the lengths takes more than two bytes, or another number more than five.
    #[inline(always)]
    fn of(bytes: &[u8]) -> Option<Self> {
        let word = u64::from_le_bytes(*bytes.first_chunk()?);
        // After the length come the attributes, unused.
        let (length, start, word) = if word & 0x80 == 0 {
            (one_byte(word), 1, word >> 16)
        } else if word & 0x8000 == 0 {
            (two_bytes(word), 2, word >> 24)
        } else {
            return None;
        };
        let used = start + 1;
        // What nearly all records have: milliseconds that take one byte, and an offset that does up to the 64th record.
        if word & 0x8080_8080 == 0x8000 {
            let (timestamp, offset, key) = (one_byte(word), two_bytes(word >> 8), one_byte(word >> 24));
            return Some(Self { length, timestamp: timestamp.into(), offset, key, start, used: used + 4 });
        }
        if word & 0x80_8080 == 0 {
            let (timestamp, offset, key) = (one_byte(word), one_byte(word >> 8), one_byte(word >> 16));
            return Some(Self { length, timestamp: timestamp.into(), offset, key, start, used: used + 3 });
        }
        Self::long(bytes, length, start)
    }

    #[inline(never)]
    fn long(bytes: &[u8], length: u32, start: usize) -> Option<Self> {
        let mut used = start + 1;
        let timestamp = long_number(bytes, &mut used)?;
        #[expect(clippy::cast_possible_truncation, reason = "the format drops the bits above")]
        let offset = long_number(bytes, &mut used)? as u32;
        let key = number(bytes, &mut used)?;
        Some(Self { length, timestamp, offset, key, start, used })
    }

    /// Where the record ends.
    #[inline(always)]
    fn end(&self) -> usize {
        self.start + (self.length >> 1) as usize
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "takes the lowest bits")]
fn one_byte(word: u64) -> u32 {
    word as u32 & 0x7f
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "takes the lowest bits")]
fn two_bytes(word: u64) -> u32 {
    word as u32 & 0x7f | word as u32 >> 1 & 0x3f80
}

#[inline(always)]
fn unzigzag(z: u64) -> i64 {
    (z >> 1).cast_signed() ^ -(z & 1).cast_signed()
}

/// A number of one or two bytes, with a byte after it.
#[inline(always)]
fn number(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let two = u64::from(u16::from_le_bytes(*bytes.get(*at..*at + 2)?.first_chunk()?));
    if two & 0x80 == 0 {
        *at += 1;
        return Some(one_byte(two));
    }
    *at += 2;
    (two & 0x8000 == 0).then_some(two_bytes(two))
}

/// A number of up to five bytes, with bytes after it.
#[inline(always)]
fn long_number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let word = u64::from_le_bytes(*bytes.get(*at..*at + 8)?.first_chunk()?);
    let ends = !word & 0x80_8080_8080;
    if ends == 0 {
        return None;
    }
    // The bits up to the end of the last byte.
    let word = word & (ends ^ (ends - 1));
    *at += (ends.trailing_zeros() as usize + 1) / 8;
    let group = |n: u32| word >> n & (0x7f << (7 * n));
    Some(group(0) | group(1) | group(2) | group(3) | group(4))
}

/// The bytes of a field whose length is encoded as `length`, from `at` on. A length of −1 takes none, as 0 does.
#[inline(always)]
#[expect(clippy::option_option, reason = "the field may be null, and it may not be there")]
fn field<'a>(bytes: &'a [u8], at: &mut usize, length: u32) -> Option<Option<&'a [u8]>> {
    let start = *at;
    *at += (length >> 1) as usize;
    let field = bytes.get(start..*at)?;
    Some((length != NULL).then_some(field))
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

/// The headers of a record as they are encoded: their count, and each of them. Nothing at all means none, too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawHeaders<'a> {
    bytes: &'a [u8],
}

/// Headers that are not yet taken off.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadersLeft<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> RawHeaders<'a> {
    /// Headers as [`encoded`](Self::encoded) gave them.
    #[inline]
    pub(crate) fn of(encoded: &'a [u8]) -> Self {
        Self { bytes: encoded }
    }

    /// Without bytes if there are none.
    pub(crate) fn encoded(&self) -> &'a [u8] {
        if self.bytes == [0] { &[] } else { self.bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().len()
    }

    #[inline]
    pub(crate) fn iter(&self) -> HeadersLeft<'a> {
        if matches!(self.bytes, [] | [0]) {
            return HeadersLeft::default();
        }
        let mut input = Input::new(self.bytes);
        let count = input.varint().ok().and_then(|count| u32::try_from(count).ok());
        count.map_or(HeadersLeft::default(), |count| HeadersLeft { count, bytes: input.rest() })
    }

    /// Whether the bytes are exactly the headers that the count promises. The count is one that may be.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        self.check_short().map_or_else(|| self.check_any(), Ok)
    }

    /// As [`check`](Self::check), of headers whose numbers are short. `None` says nothing about others.
    #[inline(never)]
    fn check_short(&self) -> Option<()> {
        let (&count, mut bytes) = self.bytes.split_first()?;
        if count & 0x81 != 0 {
            return None;
        }
        for _ in 0..count >> 1 {
            let (name, rest) = split_field(bytes)?;
            name?;
            (_, bytes) = split_field(rest)?;
        }
        bytes.is_empty().then_some(())
    }

    /// Any headers, and the reason for those that are malformed.
    pub(super) fn check_any(&self) -> Result<(), Malformed> {
        let HeadersLeft { count, bytes } = self.iter();
        let mut input = Input::new(bytes);
        for _ in 0..count {
            take_field(&mut input)?.ok_or(Malformed("a header's name is null"))?;
            take_field(&mut input)?;
        }
        if input.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes are left after the last field of a record"))
        }
    }
}

impl HeadersLeft<'_> {
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }
}

/// Ends for what [`check`](RawHeaders::check) refuses, too.
impl<'a> Iterator for HeadersLeft<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        let (name, rest) = split_field(self.bytes).or_else(|| split_any_field(self.bytes))?;
        let (value, rest) = split_field(rest).or_else(|| split_any_field(rest))?;
        self.bytes = rest;
        Some(Header::of(name?, value))
    }
}

/// A field whose length takes one byte, and what follows it.
#[inline(always)]
fn split_field(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (&length, rest) = bytes.split_first().filter(|(length, _)| **length < 0x80)?;
    match u32::from(length) {
        NULL => Some((None, rest)),
        length if length & 1 == 0 => {
            let (field, rest) = rest.split_at_checked((length >> 1) as usize)?;
            Some((Some(field), rest))
        }
        _ => None,
    }
}

#[inline(never)]
fn split_any_field(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let mut input = Input::new(bytes);
    let field = take_field(&mut input).ok()?;
    Some((field, input.rest()))
}
