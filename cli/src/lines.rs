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

/// Appends a name that others gave: as a string, or as `{"hex":"…"}` where it is no text.
pub(super) fn push_name(name: &[u8], to: &mut Vec<u8>) {
    if let Ok(text) = std::str::from_utf8(name) {
        push_text(text, to);
    } else {
        to.extend(b"{\"hex\":");
        push_hex(Some(name), to);
        to.push(b'}');
    }
}

/// Appends two hex digits for each byte.
pub(super) fn push_digits(bytes: &[u8], to: &mut Vec<u8>) {
    const PAIRS: [[u8; 2]; 256] = pairs();
    let start = to.len();
    to.resize(start + bytes.len() * 2, 0);
    let (places, _) = to.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>();
    for (place, byte) in places.iter_mut().zip(bytes) {
        *place = PAIRS[usize::from(*byte)];
    }
}

const fn pairs() -> [[u8; 2]; 256] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 0xf]];
        byte += 1;
    }
    pairs
}

/// Appends a whole number.
pub(super) fn push_number(number: impl Into<i128>, to: &mut Vec<u8>) {
    let number = number.into();
    if number < 0 {
        to.push(b'-');
    }
    let Ok(mut rest) = u64::try_from(number.unsigned_abs()) else {
        // Writing into memory cannot fail.
        let _ = write!(to, "{}", number.unsigned_abs());
        return;
    };
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    to.extend(&digits[first..]);
}

/// The bytes that hex digits represent; `None` if they are none.
pub(super) fn from_digits(text: &str, to: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| {
        Some(match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        })
    };
    to.reserve(pairs.len());
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
        let mut numbers = Vec::new();
        for number in [0, 7, -1, i128::from(i64::MIN), i128::from(u64::MAX), i128::MAX] {
            push_number(number, &mut numbers);
            numbers.push(b' ');
        }
        let expected = format!("0 7 -1 {} {} {} ", i64::MIN, u64::MAX, i128::MAX);
        assert_eq!(String::from_utf8(numbers).unwrap(), expected);
        let mut bytes = Vec::new();
        assert_eq!(from_digits("00aF", &mut bytes), Some(()));
        assert_eq!(bytes, [0, 0xaf]);
        for wrong in ["0", "0g", "é"] {
            assert_eq!(from_digits(wrong, &mut bytes), None, "{wrong}");
        }
    }
}
