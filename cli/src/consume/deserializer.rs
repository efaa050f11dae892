//! `--key-deserializer` and `--value-deserializer`: how bytes are printed.

use std::io::{self, Write};
use std::str::FromStr;

use crate::output::counted;

/// Those of Kafka's deserializers whose output can be printed. Text is printed as the bytes that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Deserializer {
    #[default]
    Bytes,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
}

impl FromStr for Deserializer {
    type Err = String;

    /// The name of a class, with or without its package.
    fn from_str(text: &str) -> Result<Self, String> {
        let class = text.rsplit('.').next().unwrap_or(text);
        match class.strip_suffix("Deserializer").unwrap_or(class) {
            "String" | "ByteArray" | "Bytes" | "ByteBuffer" | "UUID" => Ok(Self::Bytes),
            "Boolean" => Ok(Self::Boolean),
            "Short" => Ok(Self::Short),
            "Integer" => Ok(Self::Integer),
            "Long" => Ok(Self::Long),
            "Float" => Ok(Self::Float),
            "Double" => Ok(Self::Double),
            _ => Err(format!(
                "{text:?} cannot be loaded: there is no Java here; known are Kafka's StringDeserializer, \
                 ByteArrayDeserializer, BytesDeserializer, UUIDDeserializer, BooleanDeserializer, ShortDeserializer, \
                 IntegerDeserializer, LongDeserializer, FloatDeserializer and DoubleDeserializer"
            )),
        }
    }
}

impl Deserializer {
    #[inline]
    pub(super) fn write(self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        if self == Self::Bytes { out.write_all(bytes) } else { self.write_number(bytes, out) }
    }

    fn write_number(self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        fn fixed<const N: usize>(bytes: &[u8]) -> io::Result<[u8; N]> {
            bytes.try_into().map_err(|_| {
                let is = if bytes.len() == 1 { "is" } else { "are" };
                let there = counted(bytes.len() as u64, "byte", "bytes");
                let reason = format!("a number of {N} bytes was expected, but there {is} {there}");
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })
        }
        match self {
            Self::Bytes => out.write_all(bytes),
            Self::Short => write!(out, "{}", i16::from_be_bytes(fixed(bytes)?)),
            Self::Integer => write!(out, "{}", i32::from_be_bytes(fixed(bytes)?)),
            Self::Long => write!(out, "{}", i64::from_be_bytes(fixed(bytes)?)),
            Self::Float => write!(out, "{:?}", f32::from_be_bytes(fixed(bytes)?)),
            Self::Double => write!(out, "{:?}", f64::from_be_bytes(fixed(bytes)?)),
            Self::Boolean => match bytes {
                [0] => out.write_all(b"false"),
                [1] => out.write_all(b"true"),
                _ => {
                    Err(io::Error::new(io::ErrorKind::InvalidData, "a boolean was expected, one byte 0 or 1"))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_known_with_and_without_their_package() {
        let long = "org.apache.kafka.common.serialization.LongDeserializer";
        for (text, expected) in [
            (long, Deserializer::Long),
            ("IntegerDeserializer", Deserializer::Integer),
            ("org.apache.kafka.common.serialization.StringDeserializer", Deserializer::Bytes),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        assert!("com.example.Avro".parse::<Deserializer>().unwrap_err().contains("LongDeserializer"));
    }

    #[test]
    fn numbers_are_printed_as_java_prints_them() {
        let shown = |deserializer: Deserializer, bytes: &[u8]| {
            let mut out = Vec::new();
            deserializer.write(bytes, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(shown(Deserializer::Long, &(-7_i64).to_be_bytes()).unwrap(), "-7");
        assert_eq!(shown(Deserializer::Short, &300_i16.to_be_bytes()).unwrap(), "300");
        assert_eq!(shown(Deserializer::Double, &1.0_f64.to_be_bytes()).unwrap(), "1.0");
        assert_eq!(shown(Deserializer::Boolean, &[1]).unwrap(), "true");
        assert!(shown(Deserializer::Boolean, &[2]).is_err());
        let wrong = shown(Deserializer::Integer, b"abc").unwrap_err().to_string();
        assert_eq!(wrong, "a number of 4 bytes was expected, but there are 3 bytes");
    }
}
