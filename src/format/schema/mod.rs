//! Records of Kafka's own topics, put into words: any record whose fields are listed here becomes JSON, with the names and
//! in the form that Kafka's own tools print.
//!
//! A record is a list of fields. Which of them there are depends on its version, and so does how lengths are written: in
//! flexible versions as small numbers, with tagged fields at the end of every struct.

mod coordinator;
mod metadata;

pub(crate) use coordinator::Coordinator;
pub(crate) use metadata::{control_words, record_words};

use std::fmt::Write as _;

use super::Malformed;
use super::varint::Input;

/// A field of a record or of a struct in it.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    kind: Kind,
    /// The versions that have it.
    from: i16,
    upto: i16,
    /// In the tagged fields, under this number.
    tag: Option<u32>,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Bool,
    I8,
    I16,
    U16,
    I32,
    I64,
    F64,
    Id,
    Text,
    /// A text or null.
    MaybeText,
    Bytes,
    /// Bytes or null.
    MaybeBytes,
    List(&'static Kind),
    /// A list or null.
    MaybeList(&'static Kind),
    Struct(&'static [Field]),
    /// A struct or null.
    MaybeStruct(&'static [Field]),
    /// Bytes that hold a record by themselves: its version, then its fields, never in flexible form.
    Nested(&'static [Field]),
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, from: 0, upto: i16::MAX, tag: None }
}

impl Field {
    const fn from(self, from: i16) -> Self {
        Self { from, ..self }
    }

    const fn upto(self, upto: i16) -> Self {
        Self { upto, ..self }
    }

    const fn tag(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }
}

/// The form in which a record is written.
#[derive(Debug, Clone, Copy)]
struct Form {
    version: i16,
    flexible: bool,
}

/// Structs in structs beyond this are no record of Kafka's.
const DEEPEST: u32 = 16;

impl Form {
    /// Appends the fields as one JSON object.
    fn put(
        self,
        fields: &'static [Field],
        input: &mut Input<'_>,
        depth: u32,
        to: &mut String,
    ) -> Result<(), Malformed> {
        if depth > DEEPEST {
            return Err(Malformed("a record is nested too deeply"));
        }
        let mut words: Vec<Option<String>> = vec![None; fields.len()];
        let present = |field: &Field| (field.from..=field.upto).contains(&self.version);
        for (field, words) in fields.iter().zip(&mut words) {
            if present(field) && field.tag.is_none() {
                let mut value = String::new();
                self.put_value(field.kind, input, depth, &mut value)?;
                *words = Some(value);
            }
        }
        if self.flexible {
            for _ in 0..input.uvarint()? {
                let (tag, size) = (input.uvarint()?, input.uvarint()?);
                let size = usize::try_from(size).map_err(|_| Malformed("ends early"))?;
                let mut tagged = Input::new(input.take(size)?);
                let known = |(_, field): &(usize, &Field)| field.tag == Some(tag) && present(field);
                if let Some((at, field)) = fields.iter().enumerate().find(known)
                    && let Some(words) = words.get_mut(at)
                {
                    let mut value = String::new();
                    self.put_tagged(field.kind, &mut tagged, depth, &mut value)?;
                    *words = Some(value);
                }
            }
        }
        to.push('{');
        let mut first = true;
        for (field, words) in fields.iter().zip(&words) {
            let Some(words) = words else { continue };
            if !std::mem::take(&mut first) {
                to.push(',');
            }
            let _ = write!(to, "\"{}\":{words}", field.name);
        }
        to.push('}');
        Ok(())
    }

    /// Whether a struct is null is reported in another way here.
    fn put_tagged(
        self,
        kind: Kind,
        input: &mut Input<'_>,
        depth: u32,
        to: &mut String,
    ) -> Result<(), Malformed> {
        match kind {
            Kind::MaybeStruct(_) if input.uvarint()? == 0 => {
                to.push_str("null");
                Ok(())
            }
            Kind::MaybeStruct(fields) => self.put(fields, input, depth + 1, to),
            kind => self.put_value(kind, input, depth, to),
        }
    }

    fn put_value(
        self,
        kind: Kind,
        input: &mut Input<'_>,
        depth: u32,
        to: &mut String,
    ) -> Result<(), Malformed> {
        let written = match kind {
            Kind::Bool => write!(to, "{}", input.i8()? != 0),
            Kind::I8 => write!(to, "{}", input.i8()?),
            Kind::I16 => write!(to, "{}", input.i16()?),
            Kind::U16 => write!(to, "{}", input.i16()?.cast_unsigned()),
            Kind::I32 => write!(to, "{}", input.i32()?),
            Kind::I64 => write!(to, "{}", input.i64()?),
            Kind::F64 => match f64::from_be_bytes(input.array()?) {
                finite if finite.is_finite() => write!(to, "{finite:?}"),
                other => write!(to, "\"{other}\""),
            },
            Kind::Id => write!(to, "\"{}\"", input.uuid()?),
            Kind::Text => {
                let text = self.text(input)?.ok_or(Malformed("a string that must be there is null"))?;
                push_json(text, to);
                Ok(())
            }
            Kind::MaybeText => {
                match self.text(input)? {
                    Some(text) => push_json(text, to),
                    None => to.push_str("null"),
                }
                Ok(())
            }
            Kind::Bytes => {
                let bytes = self.bytes(input)?.ok_or(Malformed("bytes that must be there are null"))?;
                push_base64(bytes, to);
                Ok(())
            }
            Kind::MaybeBytes => {
                match self.bytes(input)? {
                    Some(bytes) => push_base64(bytes, to),
                    None => to.push_str("null"),
                }
                Ok(())
            }
            Kind::List(element) | Kind::MaybeList(element) => {
                return self.put_list(*element, matches!(kind, Kind::MaybeList(_)), input, depth, to);
            }
            Kind::Struct(fields) => return self.put(fields, input, depth + 1, to),
            Kind::MaybeStruct(fields) => {
                if input.i8()? < 0 {
                    to.push_str("null");
                    return Ok(());
                }
                return self.put(fields, input, depth + 1, to);
            }
            Kind::Nested(fields) => {
                let bytes = self.bytes(input)?.unwrap_or_default();
                put_nested(fields, bytes, depth, to);
                Ok(())
            }
        };
        // Writing into a string cannot fail.
        written.map_err(|_| Malformed("ends early"))
    }

    fn put_list(
        self,
        element: Kind,
        nullable: bool,
        input: &mut Input<'_>,
        depth: u32,
        to: &mut String,
    ) -> Result<(), Malformed> {
        let count =
            if self.flexible { input.uvarint()?.checked_sub(1) } else { u32::try_from(input.i32()?).ok() };
        let Some(count) = count else {
            to.push_str("null");
            return if nullable { Ok(()) } else { Err(Malformed("an array that must be there is null")) };
        };
        to.push('[');
        for at in 0..count {
            if at > 0 {
                to.push(',');
            }
            // Every element takes a byte at least, so that a lie in the count ends with the bytes.
            if input.is_empty() {
                return Err(Malformed("an array has more elements than bytes are left"));
            }
            self.put_value(element, input, depth + 1, to)?;
        }
        to.push(']');
        Ok(())
    }

    fn text<'a>(self, input: &mut Input<'a>) -> Result<Option<&'a str>, Malformed> {
        if self.flexible {
            return input.nullable_compact_str();
        }
        let Ok(length) = usize::try_from(input.i16()?) else { return Ok(None) };
        str::from_utf8(input.take(length)?).map(Some).map_err(|_| Malformed("a string is not UTF-8"))
    }

    fn bytes<'a>(self, input: &mut Input<'a>) -> Result<Option<&'a [u8]>, Malformed> {
        let length =
            if self.flexible { input.uvarint()?.checked_sub(1) } else { u32::try_from(input.i32()?).ok() };
        let Some(length) = length else { return Ok(None) };
        input.take(usize::try_from(length).map_err(|_| Malformed("ends early"))?).map(Some)
    }
}

/// What consumers tell each other through a group. What does not decode stays as it is: it may be another protocol's.
fn put_nested(fields: &'static [Field], bytes: &[u8], depth: u32, to: &mut String) {
    let mut input = Input::new(bytes);
    let mut words = String::new();
    let decoded = input
        .i16()
        .and_then(|version| Form { version, flexible: false }.put(fields, &mut input, depth + 1, &mut words));
    match decoded {
        Ok(()) => to.push_str(&words),
        Err(_) => push_base64(bytes, to),
    }
}

/// Appends a JSON string.
pub(crate) fn push_json(text: &str, to: &mut String) {
    to.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => to.extend(['\\', character]),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{8}' => to.push_str("\\b"),
            '\u{c}' => to.push_str("\\f"),
            control if control < ' ' => {
                let _ = write!(to, "\\u{:04X}", u32::from(control));
            }
            plain => to.push(plain),
        }
    }
    to.push('"');
}

/// Appends bytes as JSON has them: base64 with padding.
fn push_base64(bytes: &[u8], to: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    to.push('"');
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (digit, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let six = (word >> shift) & 0x3f;
            let letter = DIGITS.get(six as usize).copied().unwrap_or(b'=');
            to.push(if digit > group.len() { '=' } else { char::from(letter) });
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn base64_as_another_encoder_writes_it(bytes: Vec<u8>) {
            let mut text = String::new();
            push_base64(&bytes, &mut text);
            prop_assert_eq!(text, format!("\"{}\"", STANDARD.encode(&bytes)));
        }

        #[test]
        fn strings_come_back(text: String) {
            let mut json = String::new();
            push_json(&text, &mut json);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn garbage_is_refused_or_read(key: Vec<u8>, value: Option<Vec<u8>>, kind in 0..24_u8, version in 0..5_u8) {
            let mut known = vec![0, kind];
            known.extend(&key);
            let mut body = vec![0, version];
            body.extend(value.iter().flatten());
            for of in [Coordinator::Groups, Coordinator::Transactions] {
                let _ = of.key_words(&key);
                let _ = of.key_words(&known);
                if let Ok(Some(words)) = of.value_words(&known, &body) {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&words).is_ok());
                }
            }
            let mut record = vec![1, kind, version];
            record.extend(value.iter().flatten());
            if let Ok(words) = record_words(&record) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&words).is_ok());
            }
            let _ = control_words(i16::from(kind), &body);
        }
    }
}
