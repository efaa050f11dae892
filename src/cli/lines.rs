//! Lines of JSON, written by hand: as they are in the files of `kafka-adopt`, and faster than by way of a tree.

use std::io::Write as _;

/// Appends a JSON string in ASCII: what is beyond is written as UTF-16 code units.
pub(super) fn push_text(text: &str, to: &mut Vec<u8>) {
    to.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => to.extend([b'\\', character as u8]),
            ' '..='~' => to.push(character as u8),
            beyond => {
                for unit in beyond.encode_utf16(&mut [0; 2]) {
                    // Writing into memory cannot fail.
                    let _ = write!(to, "\\u{unit:04x}");
                }
            }
        }
    }
    to.push(b'"');
}

/// Appends bytes as a JSON string of hex digits, or `null`.
pub(super) fn push_hex(bytes: Option<&[u8]>, to: &mut Vec<u8>) {
    let Some(bytes) = bytes else { return to.extend(b"null") };
    to.push(b'"');
    push_digits(bytes, to);
    to.push(b'"');
}

/// Appends two hex digits for each byte.
pub(super) fn push_digits(bytes: &[u8], to: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    to.reserve(bytes.len() * 2);
    to.extend(bytes.iter().flat_map(|byte| {
        let digit = |four: u8| DIGITS.get(usize::from(four)).copied().unwrap_or(b'0');
        [digit(byte >> 4), digit(byte & 0xf)]
    }));
}

/// Appends a whole number.
pub(super) fn push_number(number: impl std::fmt::Display, to: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let _ = write!(to, "{number}");
}

/// The bytes that hex digits stand for; `None` if they are none.
pub(super) fn from_digits(text: &str, to: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|four| u8::try_from(four).ok());
    for [high, low] in pairs {
        to.push(digit(*high)? << 4 | digit(*low)?);
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_ascii_and_bytes_are_hex() {
        let mut line = Vec::new();
        push_text("a\"\\\n~é😀", &mut line);
        push_hex(Some(&[0, 0xaf]), &mut line);
        push_hex(None, &mut line);
        push_hex(Some(&[]), &mut line);
        assert_eq!(line, br#""a\"\\\u000a~\u00e9\ud83d\ude00""00af"null"""#);
        let mut bytes = Vec::new();
        assert_eq!(from_digits("00aF", &mut bytes), Some(()));
        assert_eq!(bytes, [0, 0xaf]);
        for wrong in ["0", "0g", "é"] {
            assert_eq!(from_digits(wrong, &mut bytes), None, "{wrong}");
        }
    }
}
