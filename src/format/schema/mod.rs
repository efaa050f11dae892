//! Records of Kafka's own topics, by the lists of their fields: [`Values`] for the codecs, which read from them, and JSON, with
//! the names and in the form that Kafka's own tools print. The encoders, each of one version, are compared with the lists by
//! what their tests read back. Committed offsets, states of transactions and the keys of both are the exception, for their
//! number: they have decoders of their own, which tests compare with the lists.
//!
//! A record is a list of fields. Which of them there are depends on its version, and so does how lengths are written: in
//! flexible versions as small numbers, with tagged fields at the end of every struct.

mod coordinator;
mod metadata;
mod value;

pub(crate) use coordinator::Coordinator;
#[cfg(test)]
pub(super) use coordinator::transaction_state;
pub(super) use coordinator::{group_metadata, subscription};
pub(crate) use metadata::{control_words, record_words};
pub(super) use metadata::{fields_of, kraft_voters, passed_fields_of};
pub(super) use value::{List, Value, Values};

use std::fmt::Write as _;

use super::Malformed;
use super::varint::Input;

/// A field of a record or of a struct in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    kind: Kind,
    /// The versions that have it.
    from: i16,
    through: i16,
    /// In the tagged fields, under this number.
    tag: Option<u32>,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
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
    Field { name, kind, from: 0, through: i16::MAX, tag: None }
}

impl Field {
    const fn from(self, from: i16) -> Self {
        Self { from, ..self }
    }

    const fn through(self, through: i16) -> Self {
        Self { through, ..self }
    }

    const fn tag(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }
}

/// The form in which a record is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    version: i16,
    flexible: bool,
}

/// Appends the fields as one JSON object.
fn push_values(values: &Values<'_>, to: &mut String) -> Result<(), Malformed> {
    to.push('{');
    let mut first = true;
    for (field, value) in values.iter() {
        let Some(value) = value? else { continue };
        if !std::mem::take(&mut first) {
            to.push(',');
        }
        let _ = write!(to, "\"{}\":", field.name);
        push_value(value, to)?;
    }
    to.push('}');
    Ok(())
}

fn push_value(value: Value<'_>, to: &mut String) -> Result<(), Malformed> {
    // Writing into a string cannot fail.
    let _ = match value {
        Value::Bool(is_true) => write!(to, "{is_true}"),
        Value::Int(number) => write!(to, "{number}"),
        Value::Float(finite) if finite.is_finite() => write!(to, "{finite:?}"),
        Value::Float(other) => write!(to, "\"{other}\""),
        Value::Id(id) => write!(to, "\"{id}\""),
        Value::Text(None) | Value::Bytes(None) | Value::List(None) | Value::Struct(None) => {
            write!(to, "null")
        }
        Value::Text(Some(text)) => {
            push_json(text, to);
            Ok(())
        }
        Value::Bytes(Some(bytes)) => {
            push_base64(bytes, to);
            Ok(())
        }
        Value::Nested(fields, bytes) => {
            push_nested(fields, bytes, to);
            Ok(())
        }
        Value::Struct(Some(values)) => return push_values(&values, to),
        Value::List(Some(list)) => return push_list(list, to),
    };
    Ok(())
}

fn push_list(list: List<'_>, to: &mut String) -> Result<(), Malformed> {
    to.push('[');
    for (at, value) in list.iter().enumerate() {
        if at > 0 {
            to.push(',');
        }
        push_value(value?, to)?;
    }
    to.push(']');
    Ok(())
}

/// What consumers write to each other through a group. What does not decode stays as it is: it may be another protocol's.
fn push_nested(fields: &'static [Field], bytes: &[u8], to: &mut String) {
    let mut words = String::new();
    let mut input = Input::new(bytes);
    let decoded = input
        .i16()
        .and_then(|version| Form { version, flexible: false }.values(fields, &mut input))
        .and_then(|values| push_values(&values, &mut words));
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

    /// Whether a codec and the words take bytes for a record.
    type Taken = fn(&[u8]) -> [bool; 2];

    /// Records that are written here, and whether the codec and the words take bytes for one.
    fn written() -> Vec<(Vec<u8>, Taken)> {
        use crate::format::coordinator_record::CoordinatorKey;
        use crate::format::group_metadata::{GroupMember, GroupMetadata};
        use crate::format::metadata_record::MetadataRecord;
        use crate::format::offset_commit::OffsetCommit;
        use crate::format::transaction_state::{TransactionState, transactional_id};

        const COMMIT_KEY: [u8; 12] = [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 0];
        const GROUP_KEY: [u8; 5] = [0, 2, 0, 1, b'g'];
        const ID_KEY: [u8; 5] = [0, 0, 0, 1, b'i'];
        let (mut commit, mut group) = (Vec::new(), Vec::new());
        let topic_id = crate::format::uuid::Uuid::ZERO;
        OffsetCommit {
            offset: 7,
            leader_epoch: None,
            metadata: "m",
            committed_at: 1,
            expires_at: None,
            topic_id,
        }
        .encode(&mut commit)
        .unwrap();
        GroupMetadata { members: vec![GroupMember::default()], ..GroupMetadata::default() }
            .encode(&mut group)
            .unwrap();
        // The fourth version, in flexible form, with the id of a topic.
        let mut newest = [&[0, 4][..], &[0; 7], &[7, 0, 0, 0, 1, 2, b'm'], &[0; 8], &[1, 0, 16]].concat();
        newest.extend([9; 16]);
        let state = |version: &[u8], partitions: &[u8], tags: &[u8]| {
            [version, &[0; 14], &[1], partitions, &[0; 16], tags].concat()
        };
        vec![
            (COMMIT_KEY.to_vec(), |key| {
                [
                    CoordinatorKey::decode(key).is_ok(),
                    matches!(Coordinator::Groups.key_words(key), Ok(Some(_))),
                ]
            }),
            (GROUP_KEY.to_vec(), |key| {
                [
                    CoordinatorKey::decode(key).is_ok(),
                    matches!(Coordinator::Groups.key_words(key), Ok(Some(_))),
                ]
            }),
            (newest, |value| {
                let words = Coordinator::Groups.value_words(&COMMIT_KEY, value);
                [OffsetCommit::decode(value).is_ok(), words.is_ok()]
            }),
            (commit, |value| {
                let words = Coordinator::Groups.value_words(&COMMIT_KEY, value);
                [OffsetCommit::decode(value).is_ok(), words.is_ok()]
            }),
            (group, |value| {
                let words = Coordinator::Groups.value_words(&GROUP_KEY, value);
                [GroupMetadata::decode(value).is_ok(), words.is_ok()]
            }),
            (ID_KEY.to_vec(), |key| {
                [
                    matches!(transactional_id(key), Ok(Some(_))),
                    matches!(Coordinator::Transactions.key_words(key), Ok(Some(_))),
                ]
            }),
            (state(&[0, 0], &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7], &[]), |value| {
                let words = Coordinator::Transactions.value_words(&ID_KEY, value);
                [TransactionState::decode(value).is_ok(), words.is_ok()]
            }),
            // The first in flexible form, with the version of a client.
            (state(&[0, 1], &[2, 2, b't', 2, 0, 0, 0, 7, 0], &[1, 2, 2, 0, 2]), |value| {
                let words = Coordinator::Transactions.value_words(&ID_KEY, value);
                [TransactionState::decode(value).is_ok(), words.is_ok()]
            }),
            (MetadataRecord::FeatureLevel { name: "f".into(), level: 1 }.encode(), |value| {
                [MetadataRecord::decode(value).is_ok(), record_words(value).is_ok()]
            }),
        ]
    }

    #[test]
    fn the_words_take_and_refuse_what_the_codecs_do() {
        for (record, taken) in written() {
            assert_eq!(taken(&record), [true; 2]);
            for cut in 0..record.len() {
                assert_eq!(taken(&record[..cut]), [false; 2], "{cut} bytes of {record:?}");
            }
            assert_eq!(taken(&[&record[..], &[0]].concat()), [false; 2], "a byte after {record:?}");
        }
    }

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
