//! What the tests of this room share: the files under `tests/vectors`, most of them written by Kafka itself.

mod batches;
mod codecs;
mod corrupt;
mod flips;
mod indexes;
mod legacy;
mod metadata;
mod roundtrip;
mod rows;
mod rules;
mod usual;
mod varint;
mod walks;

use std::path::{Path, PathBuf};
use std::{fs, str};

use serde_json::Value;

use super::crc::crc32c;
use super::header::{BatchHeader, CHECKSUMMED, HEADER_BYTES, LENGTH_OVERHEAD};
use super::varint::Input;

/// One of `tests/vectors/tables`.
pub(super) fn table(name: &str) -> Value {
    serde_json::from_slice(&vector(&format!("tables/{name}.json"))).unwrap()
}

/// One of the lists of `manifest.json`.
pub(super) fn manifest(list: &str) -> Vec<Value> {
    let manifest: Value = serde_json::from_slice(&vector("manifest.json")).unwrap();
    manifest[list].as_array().unwrap().clone()
}

/// A file under `tests/vectors`.
pub(super) fn vector(path: &str) -> Vec<u8> {
    fs::read(vectors().join(path)).unwrap()
}

/// All files under `tests/vectors` with one of these names, wherever they are.
pub(super) fn vectors_named(names: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let found = vectors_where("", |path| names.iter().any(|name| path.ends_with(name)));
    assert!(!found.is_empty(), "no {names:?}");
    found
}

/// All files in a folder of `tests/vectors`, and in the folders in it, whose names end so.
pub(super) fn vectors_with_suffix(folder: &str, suffix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let found = vectors_where(folder, |path| path.to_str().unwrap().ends_with(suffix));
    assert!(!found.is_empty(), "no {suffix} in {folder}");
    found
}

fn vectors_where(folder: &str, wanted: impl Fn(&Path) -> bool) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![vectors().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if wanted(&path) {
                let bytes = fs::read(&path).unwrap();
                found.push((path, bytes));
            }
        }
    }
    found
}

/// The bytes that a JSON string of hex digits means.
pub(super) fn hex(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().unwrap().as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Length, magic and checksum made right, so that what is wrong in the rest is reached.
pub(super) fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let front = *bytes.first_chunk::<HEADER_BYTES>().unwrap();
    let batch_length = i32::try_from(bytes.len() - LENGTH_OVERHEAD).unwrap();
    let crc = crc32c(&bytes[CHECKSUMMED..]);
    let header = BatchHeader { batch_length, magic: 2, crc, ..BatchHeader::read(&front) };
    header.write(bytes.first_chunk_mut().unwrap());
    bytes
}

/// A record as it lies in a batch.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) control: bool,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

/// The records of complete batches without compression, up to the end or to the zeros a killed broker leaves there.
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
        let (body, after) = rest.split_at(length - 49);
        let mut input = Input::new(body);
        for _ in 0..number(57) {
            records.push(record(&mut input, header[22] & 0x20 != 0, base));
        }
        assert!(input.is_empty());
        file = after;
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
