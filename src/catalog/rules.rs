//! What a topic asks of a record, as producers read it for every one.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::clock::Timestamp;
use crate::config::{Compression, TimestampType, TopicSettings};
use crate::error::{Error, Result};
use crate::format::compression::Encoding;

/// The settings of a topic that concern single records. Each is one word, read without a lock: a record that is sent
/// while the settings change meets the old or the new ones, and never a rule made of both.
#[derive(Debug)]
pub(crate) struct RecordRules {
    compacts: AtomicBool,
    log_append_time: AtomicBool,
    /// How far before the clock a timestamp may be, and how far after it; no limits where records get the time of
    /// appending. A timestamp is on one side of the clock and meets one of the two.
    before_max_ms: AtomicI64,
    after_max_ms: AtomicI64,
    coding: AtomicU64,
}

/// The codec of a topic and its levels, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Coding {
    /// `None`: as the producer wants.
    codec: Option<Compression>,
    gzip_level: i32,
    zstd_level: i32,
}

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

impl RecordRules {
    pub(super) fn of(settings: &TopicSettings) -> Self {
        let log_append_time = settings.timestamp_type == TimestampType::LogAppendTime;
        let limit = |set: i64| if log_append_time { i64::MAX } else { set };
        let coding = Coding {
            codec: settings.compression,
            gzip_level: settings.gzip_level,
            zstd_level: settings.zstd_level,
        };
        Self {
            compacts: AtomicBool::new(settings.compacts),
            log_append_time: AtomicBool::new(log_append_time),
            before_max_ms: AtomicI64::new(limit(settings.timestamp_before_max_ms)),
            after_max_ms: AtomicI64::new(limit(settings.timestamp_after_max_ms)),
            coding: AtomicU64::new(coding.pack()),
        }
    }

    pub(super) fn set(&self, settings: &TopicSettings) {
        let Self { compacts, log_append_time, before_max_ms, after_max_ms, coding } = Self::of(settings);
        self.compacts.store(compacts.into_inner(), Ordering::Relaxed);
        self.log_append_time.store(log_append_time.into_inner(), Ordering::Relaxed);
        self.before_max_ms.store(before_max_ms.into_inner(), Ordering::Relaxed);
        self.after_max_ms.store(after_max_ms.into_inner(), Ordering::Relaxed);
        self.coding.store(coding.into_inner(), Ordering::Relaxed);
    }

    /// A word that is the same as long as what [`encoding`](Self::encoding) returns is.
    #[inline]
    pub(crate) fn encoding_word(&self) -> u64 {
        self.coding.load(Ordering::Relaxed)
    }

    /// How batches are to be compressed for a producer with this setting.
    #[inline]
    pub(crate) fn encoding(&self, producer: Compression) -> Result<Encoding> {
        let coding = Coding::unpack(self.coding.load(Ordering::Relaxed));
        Encoding::of(coding.codec.unwrap_or(producer), coding.gzip_level, coding.zstd_level)
    }

    /// Whether every record needs a key.
    #[inline]
    pub(crate) fn compacts(&self) -> bool {
        self.compacts.load(Ordering::Relaxed)
    }

    /// Whether records get the time of appending, whatever their producers say.
    #[inline]
    pub(crate) fn log_append_time(&self) -> bool {
        self.log_append_time.load(Ordering::Relaxed)
    }

    /// Whether a timestamp of the user's is near enough to `now`. That of a record which gets another is not checked.
    #[inline]
    pub(crate) fn takes_timestamp(&self, at: Timestamp, now: Timestamp) -> bool {
        let later = at.as_millis().saturating_sub(now.as_millis());
        if later > 0 {
            later <= self.after_max_ms.load(Ordering::Relaxed)
        } else {
            later.saturating_neg() <= self.before_max_ms.load(Ordering::Relaxed)
        }
    }

    /// Refuses a timestamp that is not near enough to `now`, saying why.
    #[cold]
    pub(crate) fn check_timestamp(&self, at: Timestamp, now: Timestamp, topic: &str) -> Result<()> {
        if self.takes_timestamp(at, now) {
            return Ok(());
        }
        let later = at.as_millis().saturating_sub(now.as_millis());
        let (side, setting, limit) = if later > 0 {
            ("after", "message.timestamp.after.max.ms", &self.after_max_ms)
        } else {
            ("before", "message.timestamp.before.max.ms", &self.before_max_ms)
        };
        let (at, limit) = (at.as_millis(), limit.load(Ordering::Relaxed));
        let off = later.unsigned_abs();
        let reason =
            format!("{at} is {off} ms {side} the clock, but {setting} of topic {topic:?} is {limit}");
        Err(Error::invalid("record timestamp", reason))
    }
}

impl Coding {
    /// From the top: the codec's place in [`CODECS`], or after it; the level of gzip, which a topic's check keeps to -1
    /// to 9, in 16 bits; that of zstd in 32.
    fn pack(self) -> u64 {
        let place = CODECS.iter().position(|known| Some(*known) == self.codec).unwrap_or(CODECS.len());
        let gzip_level = i16::try_from(self.gzip_level).unwrap_or(-1);
        (place as u64) << 48
            | u64::from(gzip_level.cast_unsigned()) << 32
            | u64::from(self.zstd_level.cast_unsigned())
    }

    fn unpack(word: u64) -> Self {
        let place = usize::try_from(word >> 48).unwrap_or(CODECS.len());
        #[expect(clippy::cast_possible_truncation, reason = "each part has its bits")]
        let (gzip_level, zstd_level) = ((word >> 32) as u16, word as u32);
        Self {
            codec: CODECS.get(place).copied(),
            gzip_level: gzip_level.cast_signed().into(),
            zstd_level: zstd_level.cast_signed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TopicConfig;

    #[test]
    fn limits_are_part_of_what_is_allowed() {
        let config = TopicConfig::new()
            .set("message.timestamp.before.max.ms", "10")
            .set("message.timestamp.after.max.ms", "5");
        let rules = RecordRules::of(&config.settings());
        let now = Timestamp::from_millis(1000);
        for (at, taken) in
            [(990, true), (989, false), (1005, true), (1006, false), (i64::MAX, false), (0, false)]
        {
            let at = Timestamp::from_millis(at);
            assert_eq!(rules.takes_timestamp(at, now), taken, "{at:?}");
            assert_eq!(rules.check_timestamp(at, now, "t").is_ok(), taken);
        }
        rules.set(&config.timestamp_type(TimestampType::LogAppendTime).settings());
        assert!(rules.takes_timestamp(Timestamp::from_millis(i64::MAX), now));
    }

    /// A producer may read one word from before a change and the other from after it.
    #[test]
    fn no_timestamp_meets_the_limits_of_a_topic_half_changed() {
        let of = |kind, before: &str, after: &str| {
            let config = TopicConfig::new()
                .timestamp_type(kind)
                .set("message.timestamp.before.max.ms", before)
                .set("message.timestamp.after.max.ms", after);
            RecordRules::of(&config.settings())
        };
        // Both take a time far before the clock and one a little after it.
        let old = of(TimestampType::LogAppendTime, "0", "0");
        let new = of(TimestampType::CreateTime, "1000", "1000");
        let now = Timestamp::from_millis(2000);
        for step in 0..=3 {
            let read = |word: usize, old: &AtomicI64, new: &AtomicI64| {
                AtomicI64::new(if word < step { new } else { old }.load(Ordering::Relaxed))
            };
            let half = RecordRules {
                log_append_time: AtomicBool::new(if step > 0 {
                    new.log_append_time()
                } else {
                    old.log_append_time()
                }),
                before_max_ms: read(1, &old.before_max_ms, &new.before_max_ms),
                after_max_ms: read(2, &old.after_max_ms, &new.after_max_ms),
                ..of(TimestampType::CreateTime, "0", "0")
            };
            for at in [1000, 2000, 3000] {
                assert!(half.takes_timestamp(Timestamp::from_millis(at), now), "{step} {at}");
            }
        }
    }

    #[test]
    fn codec_and_levels_are_one_word() {
        for codec in CODECS.into_iter().map(Some).chain([None]) {
            for (gzip_level, zstd_level) in [(-1, -131_072), (9, 22), (1, -1), (0, 0)] {
                let coding = Coding { codec, gzip_level, zstd_level };
                assert_eq!(Coding::unpack(coding.pack()), coding);
            }
        }
    }

    #[test]
    fn a_refusal_names_timestamp_limit_and_setting() {
        let rules = RecordRules::of(&TopicConfig::new().settings());
        let text = |at| {
            let refused = rules.check_timestamp(Timestamp::from_millis(at), Timestamp::from_millis(0), "t");
            refused.unwrap_err().to_string()
        };
        assert_eq!(
            text(3_600_001),
            "record timestamp: 3600001 is 3600001 ms after the clock, but message.timestamp.after.max.ms of topic \
             \"t\" is 3600000"
        );
    }
}
