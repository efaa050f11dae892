//! `tests/vectors/tables/varint.json`, read and written.

use super::{hex, table};
use crate::format::varint::{Input, MAX_VARLONG, push_uvarint, put_varlong, varlong_len};

fn put(value: i64) -> Vec<u8> {
    let mut bytes = [0; MAX_VARLONG];
    let used = put_varlong(value, &mut bytes);
    assert_eq!(used, varlong_len(value));
    bytes[..used].to_vec()
}

#[test]
fn signed_of_32_bits() {
    for row in table("varint")["varint32_zigzag"].as_array().unwrap() {
        let (value, bytes) = (row["value"].as_i64().unwrap(), hex(&row["zigzag_hex"]));
        let mut input = Input::new(&bytes);
        assert_eq!(input.varint().map(i64::from), Ok(value));
        assert!(input.is_empty());
        assert_eq!(put(value), bytes);
    }
}

#[test]
fn signed_of_64_bits() {
    for row in table("varint")["varlong64_zigzag"].as_array().unwrap() {
        let (value, bytes) = (row["value"].as_i64().unwrap(), hex(&row["zigzag_hex"]));
        let mut input = Input::new(&bytes);
        assert_eq!(input.varlong(), Ok(value));
        assert!(input.is_empty());
        assert_eq!(put(value), bytes);
    }
}

#[test]
fn unsigned_of_32_bits() {
    for row in table("varint")["unsigned_varint32"].as_array().unwrap() {
        let (value, bytes) = (u32::try_from(row["value"].as_u64().unwrap()).unwrap(), hex(&row["hex"]));
        let mut input = Input::new(&bytes);
        assert_eq!(input.uvarint(), Ok(value));
        assert!(input.is_empty());
        let mut written = Vec::new();
        push_uvarint(value, &mut written);
        assert_eq!(written, bytes);
    }
}

#[test]
fn too_long_or_cut_is_refused() {
    let table = table("varint");
    for row in table["must_reject_as_varint32"].as_array().unwrap() {
        assert!(Input::new(&hex(row)).varint().is_err(), "{row}");
        assert!(Input::new(&hex(row)).uvarint().is_err(), "{row}");
    }
    for row in table["must_reject_as_varlong64"].as_array().unwrap() {
        assert!(Input::new(&hex(row)).varlong().is_err(), "{row}");
    }
}
