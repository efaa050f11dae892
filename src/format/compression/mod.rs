//! The codecs of Kafka's batches, in the framing that its JVM client writes: one file per codec, each after a cargo
//! feature of its name.
//!
//! What is decompressed may come from a hostile file. No size that it declares is believed: output grows with what was
//! really produced, up to a limit, and what would exceed the limit is refused.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use super::Malformed;
use super::header::Codec;
use crate::config::Compression;
use crate::error::{Error, Result};

/// What the records of one batch may take when they are decompressed, unless the options of the open say otherwise: a small
/// file must not fill the memory.
pub(crate) const DEFAULT_DECOMPRESSED_BYTES: u32 = 64 << 20;
/// The most that can be said: with its header a batch is as long as a batch can be.
pub(crate) const MAX_DECOMPRESSED_BYTES: u32 = i32::MAX.unsigned_abs() - 61;
const _: () =
    assert!(MAX_DECOMPRESSED_BYTES as usize + super::header::HEADER_BYTES <= super::batch::MAX_BATCH_BYTES);

/// Why records could not be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error(
        "the records are compressed with {0}, which this build does not read: enable the cargo feature `{0}`"
    )]
    NotBuiltIn(Codec),
    #[cfg_attr(
        not(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")),
        allow(dead_code, reason = "without codecs nothing is decompressed")
    )]
    #[error(
        "the records decompress to more than {limit} bytes, the most that is read of one batch \
         (max_decompressed_batch_bytes)"
    )]
    TooLarge { limit: usize },
    #[cfg_attr(not(feature = "zstd"), allow(dead_code, reason = "only zstd has windows"))]
    #[error("the zstd frame has a window of more than {limit} bytes, the largest that is read")]
    Window { limit: u64 },
}

/// How the records of a batch are to be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) codec: Codec,
    /// In the codec's own scale. Snappy has none, and lz4 is always the fast compressor.
    pub(crate) level: i32,
}

impl Encoding {
    /// This codec at the level that the topic has for it, if this build can do it.
    #[inline]
    pub(crate) fn of(setting: Compression, gzip_level: i32, zstd_level: i32) -> Result<Self> {
        check_built_in(setting)?;
        let codec = Codec::from(setting);
        let level = match codec {
            Codec::Gzip => gzip_level,
            Codec::Zstd => zstd_level,
            Codec::None | Codec::Snappy | Codec::Lz4 => 0,
        };
        Ok(Self { codec, level })
    }

    /// This codec at the level that Kafka uses by default.
    pub(crate) fn at_default_level(codec: Codec) -> Self {
        let level = match codec {
            Codec::Gzip => -1,
            Codec::Zstd => 3,
            Codec::None | Codec::Snappy | Codec::Lz4 => 0,
        };
        Self { codec, level }
    }

    /// Bytes above which a batch need not be tried: as it is it has no place in the log, and compressed it would not be
    /// read again.
    #[inline]
    pub(crate) fn largest_batch(self, limits: BatchLimits) -> usize {
        match self.codec {
            Codec::None => limits.written,
            _ => limits.written.max(limits.decompressed),
        }
    }

    /// Bytes to which a batch may grow by more records: it has its place in the log whether it compresses or not, and is
    /// small enough to be compressed.
    #[inline]
    pub(crate) fn fullest_batch(self, limits: BatchLimits) -> usize {
        match self.codec {
            Codec::None => limits.written,
            _ => limits.written.min(limits.decompressed),
        }
    }
}

/// How large a batch may be, header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchLimits {
    /// As it is written.
    pub(crate) written: usize,
    /// Before it is compressed. A larger one is written as it is: it would not be read again.
    pub(crate) decompressed: usize,
}

#[cfg(any(test, fuzzing))]
impl BatchLimits {
    pub(crate) const NONE: Self = Self { written: usize::MAX, decompressed: usize::MAX };
}

/// Refuses a codec that this build lacks.
#[inline]
pub(crate) fn check_built_in(setting: Compression) -> Result<()> {
    let codec = Codec::from(setting);
    if codec.is_built_in() {
        return Ok(());
    }
    let reason = format!("{codec} is not built in: enable the cargo feature `{codec}` of stratalog");
    Err(Error::invalid("compression.type", reason))
}

impl From<Compression> for Codec {
    #[inline]
    fn from(setting: Compression) -> Self {
        match setting {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip,
            Compression::Snappy => Self::Snappy,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

impl Codec {
    /// Whether this build reads and writes the codec.
    #[inline]
    pub(crate) const fn is_built_in(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

/// Whether compressed records are an lz4 frame whose blocks need those before them. Kafka's own readers refuse such frames,
/// which are read here.
pub(crate) fn has_linked_blocks(codec: Codec, from: &[u8]) -> bool {
    const FLAGS: usize = 4;
    const INDEPENDENT: u8 = 0x20;
    codec == Codec::Lz4 && from.get(FLAGS).is_some_and(|flags| flags & INDEPENDENT == 0)
}

/// Where a legacy lz4 frame differs from what the frame's own specification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lz4Header {
    Checked,
    /// Messages of format 0 carry a header checksum over the wrong bytes.
    Unchecked,
}

/// Appends what `from` decompresses to, at most `limit` bytes; without a codec there is no limit, as nothing grows. On an
/// error `to` holds some of it.
#[cfg_attr(not(feature = "lz4"), allow(unused_variables, reason = "only some codecs use these"))]
pub(crate) fn decompress(
    codec: Codec,
    lz4_header: Lz4Header,
    from: &[u8],
    limit: usize,
    to: &mut Vec<u8>,
) -> std::result::Result<(), Unreadable> {
    match codec {
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::decompress(from, limit, to),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::decompress(from, limit, to),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::decompress(from, lz4_header, limit, to),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decompress(from, limit, to),
        Codec::None => {
            to.extend_from_slice(from);
            Ok(())
        }
        #[allow(unreachable_patterns, reason = "reached when a codec is compiled out")]
        codec => Err(Unreadable::NotBuiltIn(codec)),
    }
}

/// Appends `from`, compressed. `None`: the codec is not built in, or it refused.
pub(crate) fn compress(encoding: Encoding, from: &[u8], to: &mut Vec<u8>) -> Option<()> {
    match encoding.codec {
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::compress(from, encoding.level, to),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::compress(from, to),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::compress(from, to),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::compress(from, encoding.level, to),
        Codec::None => {
            to.extend_from_slice(from);
            Some(())
        }
        #[allow(unreachable_patterns, reason = "reached when a codec is compiled out")]
        _ => None,
    }
}

/// Output of a decompressor that grows as it is filled, never by what the input declares.
#[cfg(any(feature = "gzip", feature = "zstd"))]
struct Growing<'a> {
    to: &'a mut Vec<u8>,
    start: usize,
    limit: usize,
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
impl<'a> Growing<'a> {
    /// Most bytes that are made room for at once.
    const STEP: usize = 1 << 20;

    fn new(to: &'a mut Vec<u8>, limit: usize) -> Self {
        Self { start: to.len(), to, limit }
    }

    /// Makes room for the next piece. One byte more than the limit may come, so that output that ends exactly there is
    /// distinguished from output that continues.
    fn with_room(&mut self, compressed: usize) -> std::result::Result<&mut Vec<u8>, Unreadable> {
        let produced = self.to.len() - self.start;
        if produced > self.limit {
            return Err(Unreadable::TooLarge { limit: self.limit });
        }
        if self.to.capacity() == self.to.len() {
            // Text compresses to a quarter or so; from then on the output doubles.
            let guess = compressed.saturating_mul(4).max(produced).clamp(4096, Self::STEP);
            self.to.reserve(guess.min((self.limit - produced).saturating_add(1)));
        }
        Ok(self.to)
    }

    fn finish(self) -> std::result::Result<(), Unreadable> {
        if self.to.len() - self.start > self.limit {
            return Err(Unreadable::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}
