//! What the tests of this room share: the files under `tests/vectors`, most of them written by Kafka itself.

mod metadata;
mod varint;

use std::path::{Path, PathBuf};
use std::{fs, str};

use serde_json::Value;

use super::varint::Input;

/// One of `tests/vectors/tables`.
pub(super) fn table(name: &str) -> Value {
    serde_json::from_slice(&vector(&format!("tables/{name}.json"))).unwrap()
}

/// A file under `tests/vectors`.
pub(super) fn vector(path: &str) -> Vec<u8> {
    fs::read(vectors().join(path)).unwrap()
}

/// All files under `tests/vectors` with one of these names, wherever they are.
pub(super) fn vectors_named(names: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![vectors()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if names.iter().any(|name| path.ends_with(name)) {
                let bytes = fs::read(&path).unwrap();
                found.push((path, bytes));
            }
        }
    }
    assert!(!found.is_empty(), "no {names:?}");
    found
}

/// The bytes that a JSON string of hex digits stands for.
pub(super) fn hex(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().unwrap().as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// A record as it lies in a batch.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) control: bool,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

/// The records of whole batches without compression, up to the end or to the zeros a killed broker leaves there.
/// A second reader of batches on purpose: what the tests here expect does not depend on the first one.
pub(super) fn records(mut file: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((header, rest)) = file.split_first_chunk::<61>() {
        let number = |at: usize| i32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let Ok(length) = usize::try_from(number(8)) else { break };
        if length == 0 {
            break;
        }
        assert_eq!(header[22] & 7, 0, "compressed");
        let base = i64::from_be_bytes(header[..8].try_into().unwrap());
        let (body, behind) = rest.split_at(length - 49);
        let mut input = Input::new(body);
        for _ in 0..number(57) {
            records.push(record(&mut input, header[22] & 0x20 != 0, base));
        }
        assert!(input.is_empty());
        file = behind;
    }
    records
}

fn record(input: &mut Input<'_>, control: bool, base: i64) -> Record {
    let length = usize::try_from(input.varint().unwrap()).unwrap();
    let mut fields = Input::new(input.take(length).unwrap());
    let _attributes = fields.take(1).unwrap();
    let _timestamp_delta = fields.varlong().unwrap();
    let offset = base + i64::from(fields.varint().unwrap());
    let mut bytes = || {
        let length = usize::try_from(fields.varint().unwrap()).ok()?;
        Some(fields.take(length).unwrap().to_vec())
    };
    Record { control, offset, key: bytes(), value: bytes() }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}
