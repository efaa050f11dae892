//! The 16-byte ids of topics and directories, and their text: base64url without padding, always 22 characters.

use std::fmt;
use std::str::FromStr;

use super::Malformed;
use crate::error::{Error, Result};

/// Characters of the text form: 21 carry 6 bits each, the last one the 2 bits that are left.
const TEXT_LEN: usize = 22;

/// The id of a topic. A topic that is deleted and created again keeps its name, but gets another id.
///
/// The text form is the one Kafka's tools print.
///
/// ```
/// use stratalog::TopicId;
///
/// let id: TopicId = "ayn8QMpHEGezHQDdAQZi2g".parse()?;
/// assert_eq!(id.as_bytes()[..2], [0x6b, 0x29]);
/// assert_eq!(id.to_string(), "ayn8QMpHEGezHQDdAQZi2g");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// All bits zero: no id.
    ///
    /// ```
    /// assert_eq!(stratalog::TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    /// ```
    pub const ZERO: Self = Self(0_u128.to_be_bytes());

    /// The id of the topic `__cluster_metadata`. As the id of a directory it means "not assigned yet".
    ///
    /// ```
    /// assert_eq!(stratalog::TopicId::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
    /// ```
    pub const METADATA_TOPIC: Self = Self(1_u128.to_be_bytes());

    /// The id with these bytes, most significant first.
    ///
    /// ```
    /// use stratalog::TopicId;
    /// assert_eq!(TopicId::from_bytes([0; 16]), TopicId::ZERO);
    /// ```
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, most significant first.
    ///
    /// ```
    /// assert_eq!(stratalog::TopicId::METADATA_TOPIC.as_bytes()[15], 1);
    /// ```
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether this is one of the hundred lowest ids. Kafka gives them a meaning of their own, so that no topic
    /// and no directory may be given one.
    ///
    /// ```
    /// assert!(stratalog::TopicId::METADATA_TOPIC.is_reserved());
    /// ```
    pub const fn is_reserved(&self) -> bool {
        u128::from_be_bytes(self.0) < 100
    }

    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, Malformed> {
        if text.len() != TEXT_LEN {
            return Err(Malformed("an id does not have 22 characters"));
        }
        let mut bits: u128 = 0;
        for (i, &digit) in text.as_bytes().iter().enumerate() {
            let six = from_digit(digit)
                .ok_or(Malformed("an id has a character other than A-Z, a-z, 0-9, - and _"))?;
            if i + 1 < TEXT_LEN {
                bits = bits << 6 | u128::from(six);
            } else if six.is_multiple_of(16) {
                bits = bits << 2 | u128::from(six >> 4);
            } else {
                return Err(Malformed("an id ends in bits that no id has"));
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

impl FromStr for Uuid {
    type Err = Error;

    /// Takes exactly the text that `Display` gives: 22 characters, no padding.
    ///
    /// ```
    /// use stratalog::TopicId;
    /// assert!("ayn8QMpHEGezHQDdAQZi2g==".parse::<TopicId>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text).map_err(|Malformed(reason)| Error::invalid("topic id", reason))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = String::with_capacity(TEXT_LEN);
        text.extend((0..TEXT_LEN - 1).map(|i| to_digit(bits >> (122 - 6 * i))));
        text.push(to_digit(bits << 4));
        f.pad(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digit for the lowest 6 bits.
fn to_digit(bits: u128) -> char {
    let six = bits.to_le_bytes()[0] & 0x3f;
    char::from(match six {
        0..26 => b'A' + six,
        26..52 => b'a' + (six - 26),
        52..62 => b'0' + (six - 52),
        62 => b'-',
        _ => b'_',
    })
}

fn from_digit(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::{hex, table};

    #[test]
    fn table_both_ways() {
        for row in table("uuid")["rows"].as_array().unwrap() {
            let bytes = <[u8; 16]>::try_from(hex(&row["bytes_hex"])).unwrap();
            let text = row["text"].as_str().unwrap();
            assert_eq!(Uuid::from_bytes(bytes).to_string(), text);
            assert_eq!(text.parse::<Uuid>().unwrap().as_bytes(), &bytes);
        }
    }

    #[test]
    fn reserved_are_the_hundred_lowest() {
        assert!(Uuid::ZERO.is_reserved() && Uuid::METADATA_TOPIC.is_reserved());
        assert!(Uuid::from_bytes(99_u128.to_be_bytes()).is_reserved());
        assert!(!Uuid::from_bytes(100_u128.to_be_bytes()).is_reserved());
        assert!(!Uuid::from_bytes((1_u128 << 64).to_be_bytes()).is_reserved());
    }

    #[test]
    fn text_is_strict() {
        let bad = [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAA+A",
            "AAAAAAAAAAAAAAAAAAAAé",
        ];
        for text in bad {
            assert!(Uuid::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn as_another_encoder_writes_it(bytes: [u8; 16]) {
            let text = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(Uuid::from_bytes(bytes).to_string(), text.clone());
            prop_assert_eq!(Uuid::parse(&text), Ok(Uuid::from_bytes(bytes)));
        }

        #[test]
        #[cfg_attr(miri, ignore = "compiles a regular expression for its strings, which takes Miri minutes")]
        fn what_parses_prints_the_same(text in "[A-Za-z0-9_=+/é-]{20,24}") {
            if let Ok(id) = Uuid::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
