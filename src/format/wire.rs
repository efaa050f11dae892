//! The values that Kafka's records are made of. In the flexible ("compact") encoding: integers of fixed width,
//! lengths and counts as variable-length integers plus one with 0 for null, and at the end of every struct a
//! section of tagged fields, by which newer versions add what older readers may skip. The encoding before that has
//! lengths of fixed width, -1 for null, and no tagged fields.

use super::Malformed;
use super::uuid::Uuid;
use super::varint::{Input, push_uvarint};

impl<'a> Input<'a> {
    pub(crate) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, Malformed> {
        self.array().map(Uuid::from_bytes)
    }

    pub(crate) fn compact_str(&mut self) -> Result<&'a str, Malformed> {
        self.nullable_compact_str()?.ok_or(Malformed("a string that must be there is null"))
    }

    pub(crate) fn nullable_compact_str(&mut self) -> Result<Option<&'a str>, Malformed> {
        let Some(length) = self.uvarint()?.checked_sub(1) else { return Ok(None) };
        let bytes = self.take(as_len(length)?)?;
        str::from_utf8(bytes).map(Some).map_err(|_| Malformed("a string is not UTF-8"))
    }

    /// The count of an array, checked against the bytes that are left: each element takes one at least. `None`: there is no
    /// array.
    pub(crate) fn nullable_compact_count(&mut self) -> Result<Option<u32>, Malformed> {
        let Some(count) = self.uvarint()?.checked_sub(1) else { return Ok(None) };
        self.check_count(count).map(Some)
    }

    fn check_count(&self, count: u32) -> Result<u32, Malformed> {
        if as_len(count)? > self.remaining() {
            return Err(Malformed("an array has more elements than bytes are left"));
        }
        Ok(count)
    }

    pub(crate) fn compact_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.nullable_compact_bytes()?.ok_or(Malformed("bytes that must be there are null"))
    }

    pub(crate) fn nullable_compact_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(length) = self.uvarint()?.checked_sub(1) else { return Ok(None) };
        self.take(as_len(length)?).map(Some)
    }

    /// A string of the encoding that is not compact: its length is an i16.
    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        self.nullable_str()?.ok_or(Malformed("a string that must be there is null"))
    }

    pub(crate) fn nullable_str(&mut self) -> Result<Option<&'a str>, Malformed> {
        let length = match self.i16()? {
            -1 => return Ok(None),
            length => usize::try_from(length).map_err(|_| Malformed("a string's length is negative"))?,
        };
        str::from_utf8(self.take(length)?).map(Some).map_err(|_| Malformed("a string is not UTF-8"))
    }

    /// Bytes of the encoding that is not compact: their length is an i32.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.nullable_bytes()?.ok_or(Malformed("bytes that must be there are null"))
    }

    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let length = match self.i32()? {
            -1 => return Ok(None),
            length => usize::try_from(length).map_err(|_| Malformed("a length is negative"))?,
        };
        self.take(length).map(Some)
    }

    /// As [`nullable_compact_count`](Self::nullable_compact_count), of the encoding that is not compact.
    pub(crate) fn nullable_count(&mut self) -> Result<Option<u32>, Malformed> {
        let Ok(count) = u32::try_from(self.i32()?) else { return Ok(None) };
        self.check_count(count).map(Some)
    }

    /// Refuses bytes after the last field.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("bytes are left after the last field")) }
    }

    /// Everything that is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        self.take(self.remaining()).unwrap_or_default()
    }
}

pub(crate) fn push_i8(value: i8, to: &mut Vec<u8>) {
    to.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn push_i16(value: i16, to: &mut Vec<u8>) {
    to.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn push_i32(value: i32, to: &mut Vec<u8>) {
    to.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn push_i64(value: i64, to: &mut Vec<u8>) {
    to.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn push_uuid(value: Uuid, to: &mut Vec<u8>) {
    to.extend_from_slice(value.as_bytes());
}

pub(crate) fn push_compact_str(value: &str, to: &mut Vec<u8>) {
    push_compact_count(value.len(), to);
    to.extend_from_slice(value.as_bytes());
}

pub(crate) fn push_nullable_compact_str(value: Option<&str>, to: &mut Vec<u8>) {
    match value {
        Some(value) => push_compact_str(value, to),
        None => push_uvarint(0, to),
    }
}

/// The count before the elements of an array, or before the bytes of a string.
pub(crate) fn push_compact_count(count: usize, to: &mut Vec<u8>) {
    // What is written here goes into a batch, and the limit of a batch (an i32) is far below the cap.
    push_uvarint(u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1), to);
}

/// A string of the encoding that is not compact. On an error nothing is written.
pub(crate) fn push_str(value: &str, to: &mut Vec<u8>) -> Result<(), Malformed> {
    let length = i16::try_from(value.len())
        .map_err(|_| Malformed("it is too long: Kafka takes at most 32,767 bytes"))?;
    push_i16(length, to);
    to.extend_from_slice(value.as_bytes());
    Ok(())
}

pub(crate) fn push_nullable_str(value: Option<&str>, to: &mut Vec<u8>) -> Result<(), Malformed> {
    if let Some(value) = value {
        return push_str(value, to);
    }
    push_i16(-1, to);
    Ok(())
}

/// Bytes of the encoding that is not compact.
pub(crate) fn push_bytes(value: &[u8], to: &mut Vec<u8>) {
    push_count(value.len(), to);
    to.extend_from_slice(value);
}

/// The count before the elements of an array of the encoding that is not compact, or before bytes.
pub(crate) fn push_count(count: usize, to: &mut Vec<u8>) {
    // What is written here goes into a batch, and the limit of a batch is below the cap.
    push_i32(i32::try_from(count).unwrap_or(i32::MAX), to);
}

/// The end of a struct without tagged fields.
pub(crate) fn push_no_tags(to: &mut Vec<u8>) {
    push_uvarint(0, to);
}

fn as_len(length: u32) -> Result<usize, Malformed> {
    usize::try_from(length).map_err(|_| Malformed("ends early"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_one_more_and_zero_is_null() {
        let mut bytes = Vec::new();
        push_compact_str("", &mut bytes);
        push_nullable_compact_str(Some("é"), &mut bytes);
        push_nullable_compact_str(None, &mut bytes);
        push_compact_count(2, &mut bytes);
        push_no_tags(&mut bytes);
        assert_eq!(bytes, [1, 3, 0xc3, 0xa9, 0, 3, 0]);

        assert_eq!(Input::new(&[0]).compact_str(), Err(Malformed("a string that must be there is null")));
        assert_eq!(Input::new(&[0]).nullable_compact_count(), Ok(None));
        assert_eq!(Input::new(&[2, 0xff]).compact_str(), Err(Malformed("a string is not UTF-8")));
        assert_eq!(Input::new(&[4, b'a', b'b']).compact_str(), Err(Malformed("ends early")));
    }

    #[test]
    fn counts_are_checked_before_use() {
        let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3];
        let reason = Malformed("an array has more elements than bytes are left");
        assert_eq!(Input::new(&lie).nullable_compact_count(), Err(reason));
        assert_eq!(Input::new(&[3, 1, 2]).nullable_compact_count(), Ok(Some(2)));
        assert_eq!(Input::new(&[4, 1, 2]).nullable_compact_count(), Err(reason));
    }

    #[test]
    fn lengths_of_fixed_width_are_their_own() {
        let mut bytes = Vec::new();
        push_str("", &mut bytes).unwrap();
        push_nullable_str(Some("é"), &mut bytes).unwrap();
        push_nullable_str(None, &mut bytes).unwrap();
        push_bytes(&[7], &mut bytes);
        push_i32(-1, &mut bytes);
        assert_eq!(bytes, [0, 0, 0, 2, 0xc3, 0xa9, 255, 255, 0, 0, 0, 1, 7, 255, 255, 255, 255]);
        let mut input = Input::new(&bytes);
        assert_eq!((input.str(), input.nullable_str()), (Ok(""), Ok(Some("é"))));
        assert_eq!((input.nullable_str(), input.bytes()), (Ok(None), Ok(&[7][..])));
        assert_eq!(input.nullable_bytes(), Ok(None));
        assert_eq!(input.end(), Ok(()));

        let before = bytes.clone();
        assert!(push_str(&"a".repeat(32_768), &mut bytes).is_err());
        assert_eq!(bytes, before);
        assert_eq!(push_str(&"a".repeat(32_767), &mut bytes), Ok(()));
    }

    #[test]
    fn lengths_of_fixed_width_are_checked() {
        let reason = |result: Result<&str, Malformed>| result.unwrap_err().0;
        assert_eq!(reason(Input::new(&[255, 255]).str()), "a string that must be there is null");
        assert_eq!(reason(Input::new(&[128, 0]).str()), "a string's length is negative");
        assert_eq!(reason(Input::new(&[0, 2, b'a']).str()), "ends early");
        assert_eq!(reason(Input::new(&[0, 1, 255]).str()), "a string is not UTF-8");
        let null = [255; 4];
        assert_eq!(Input::new(&null).bytes(), Err(Malformed("bytes that must be there are null")));
        assert_eq!(Input::new(&null).nullable_count(), Ok(None));
        assert_eq!(Input::new(&[0]).compact_bytes(), Err(Malformed("bytes that must be there are null")));
        assert_eq!(Input::new(&[128, 0, 0, 0]).bytes(), Err(Malformed("a length is negative")));
        assert_eq!(Input::new(&[0, 0, 0, 2, 1]).bytes(), Err(Malformed("ends early")));
        let reason = Malformed("an array has more elements than bytes are left");
        assert_eq!(Input::new(&[127, 255, 255, 255, 1, 2]).nullable_count(), Err(reason));
        assert_eq!(Input::new(&[0, 0, 0, 2, 1, 2]).nullable_count(), Ok(Some(2)));
        assert!(Input::new(&[1]).end().is_err());
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn values_come_back(
            numbers: (i8, i16, i32, i64),
            id: [u8; 16],
            text: String,
            option: Option<String>,
        ) {
            let mut bytes = Vec::new();
            push_i8(numbers.0, &mut bytes);
            push_i16(numbers.1, &mut bytes);
            push_i32(numbers.2, &mut bytes);
            push_i64(numbers.3, &mut bytes);
            push_uuid(Uuid::from_bytes(id), &mut bytes);
            push_compact_str(&text, &mut bytes);
            push_nullable_compact_str(option.as_deref(), &mut bytes);
            push_no_tags(&mut bytes);

            let mut input = Input::new(&bytes);
            prop_assert_eq!(input.i8(), Ok(numbers.0));
            prop_assert_eq!(input.i16(), Ok(numbers.1));
            prop_assert_eq!(input.i32(), Ok(numbers.2));
            prop_assert_eq!(input.i64(), Ok(numbers.3));
            prop_assert_eq!(input.uuid(), Ok(Uuid::from_bytes(id)));
            prop_assert_eq!(input.compact_str(), Ok(text.as_str()));
            prop_assert_eq!(input.nullable_compact_str(), Ok(option.as_deref()));
            prop_assert_eq!(input.uvarint(), Ok(0));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn garbage_is_refused_or_read(bytes: Vec<u8>) {
            let _ = Input::new(&bytes).nullable_compact_str();
            if let Ok(Some(count)) = Input::new(&bytes).nullable_compact_count() {
                prop_assert!((count as usize) < bytes.len());
            }
        }
    }
}
