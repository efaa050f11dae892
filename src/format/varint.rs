//! Variable-length integers: LEB128, zig-zag for signed ones. Encoders write the shortest form.

use super::Malformed;

/// Most bytes of a 32-bit and of a 64-bit number.
pub(crate) const MAX_VARINT: usize = 5;
pub(crate) const MAX_VARLONG: usize = 10;

/// A cursor over undecoded bytes. Every `take` and `read` checks what is left first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed("ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Unsigned, at most 32 bits.
    #[inline(always)]
    pub(crate) fn uvarint(&mut self) -> Result<u32, Malformed> {
        // One and two bytes are nearly all there is.
        match *self.rest {
            [first @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                return Ok(u32::from(first));
            }
            [first, second @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                return Ok(u32::from(first & 0x7f) | (u32::from(second) << 7));
            }
            _ => {}
        }
        let wide = self.leb128(MAX_VARINT)?;
        // Bits above the 32nd are dropped, as the JVM's reader does.
        #[expect(clippy::cast_possible_truncation, reason = "the format drops the bits above")]
        Ok(wide as u32)
    }

    /// Signed (zig-zag), 32 bits.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<i32, Malformed> {
        let z = self.uvarint()?;
        Ok((z >> 1).cast_signed() ^ -(z & 1).cast_signed())
    }

    /// Signed (zig-zag), 64 bits.
    #[inline(always)]
    pub(crate) fn varlong(&mut self) -> Result<i64, Malformed> {
        let z = match *self.rest {
            [first @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                u64::from(first)
            }
            [first, second @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                u64::from(first & 0x7f) | (u64::from(second) << 7)
            }
            _ => self.leb128(MAX_VARLONG)?,
        };
        Ok((z >> 1).cast_signed() ^ -(z & 1).cast_signed())
    }

    #[cold]
    fn leb128(&mut self, most: usize) -> Result<u64, Malformed> {
        let mut value = 0;
        for (i, &byte) in self.rest.iter().enumerate().take(most) {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = self.rest.get(i + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(Malformed(if self.rest.len() < most {
            "ends early"
        } else {
            "a variable-length number has too many bytes"
        }))
    }
}

/// Writes `value` at the start of `to` and returns the bytes used. `to` must hold [`MAX_VARLONG`] bytes, or as
/// many as the value needs.
#[inline(always)]
fn put_leb128(value: u64, to: &mut [u8]) -> usize {
    let low = |shift: u32| (value >> shift).to_le_bytes()[0];
    // One and two bytes are nearly all there is.
    match to {
        [first, ..] if value < 0x80 => {
            *first = low(0);
            1
        }
        [first, second, ..] if value < 0x4000 => {
            *first = low(0) | 0x80;
            *second = low(7);
            2
        }
        _ => put_long_leb128(value, to),
    }
}

fn put_long_leb128(mut value: u64, to: &mut [u8]) -> usize {
    for (i, slot) in to.iter_mut().enumerate() {
        if value < 0x80 {
            *slot = value.to_le_bytes()[0];
            return i + 1;
        }
        *slot = value.to_le_bytes()[0] | 0x80;
        value >>= 7;
    }
    0
}

#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Writes a zig-zag number. Numbers of 32 bits have the same form in both widths.
#[inline(always)]
pub(crate) fn put_varlong(value: i64, to: &mut [u8]) -> usize {
    put_leb128(zigzag(value), to)
}

/// Bytes that [`put_varlong`] will use.
#[inline(always)]
pub(crate) fn varlong_len(value: i64) -> usize {
    match zigzag(value) {
        // One and two bytes are nearly all there is.
        0..0x80 => 1,
        0x80..0x4000 => 2,
        // The bits divided by 7, rounded up, for every number of bits from 1 to 64.
        long => ((63 - long.leading_zeros() as usize) * 9 + 73) / 64,
    }
}

/// Appends an unsigned number.
pub(crate) fn push_uvarint(value: u32, to: &mut Vec<u8>) {
    let mut bytes = [0; MAX_VARINT];
    let used = put_leb128(u64::from(value), &mut bytes);
    to.extend_from_slice(bytes.get(..used).unwrap_or_default());
}
