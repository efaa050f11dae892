//! What a topic asks of a record, as producers read it for every one.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};

use crate::clock::Timestamp;
use crate::config::{Compression, TimestampType, TopicSettings};
use crate::error::{Error, Result};
use crate::format::compression::Encoding;

/// The settings of a topic that concern single records. Each is read on its own, without a lock: a record that is sent
/// while the settings change meets the old or the new ones.
#[derive(Debug)]
pub(crate) struct RecordRules {
    compacts: AtomicBool,
    log_append_time: AtomicBool,
    before_max_ms: AtomicI64,
    after_max_ms: AtomicI64,
    /// The place of the topic's own codec in [`CODECS`], or behind it: as the producer wants.
    codec: AtomicUsize,
    gzip_level: AtomicI32,
    zstd_level: AtomicI32,
}

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

impl RecordRules {
    pub(super) fn of(settings: &TopicSettings) -> Self {
        Self {
            compacts: AtomicBool::new(settings.compacts),
            log_append_time: AtomicBool::new(settings.timestamp_type == TimestampType::LogAppendTime),
            before_max_ms: AtomicI64::new(settings.timestamp_before_max_ms),
            after_max_ms: AtomicI64::new(settings.timestamp_after_max_ms),
            codec: AtomicUsize::new(place_of(settings.compression)),
            gzip_level: AtomicI32::new(settings.gzip_level),
            zstd_level: AtomicI32::new(settings.zstd_level),
        }
    }

    pub(super) fn set(&self, settings: &TopicSettings) {
        let Self { compacts, log_append_time, before_max_ms, after_max_ms, codec, gzip_level, zstd_level } =
            Self::of(settings);
        self.compacts.store(compacts.into_inner(), Ordering::Relaxed);
        self.log_append_time.store(log_append_time.into_inner(), Ordering::Relaxed);
        self.before_max_ms.store(before_max_ms.into_inner(), Ordering::Relaxed);
        self.after_max_ms.store(after_max_ms.into_inner(), Ordering::Relaxed);
        self.codec.store(codec.into_inner(), Ordering::Relaxed);
        self.gzip_level.store(gzip_level.into_inner(), Ordering::Relaxed);
        self.zstd_level.store(zstd_level.into_inner(), Ordering::Relaxed);
    }

    /// How batches are to be compressed for a producer with this setting.
    #[inline]
    pub(crate) fn encoding(&self, producer: Compression) -> Result<Encoding> {
        let setting = CODECS.get(self.codec.load(Ordering::Relaxed)).copied().unwrap_or(producer);
        let level = |of: &AtomicI32| of.load(Ordering::Relaxed);
        Encoding::of(setting, level(&self.gzip_level), level(&self.zstd_level))
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

    /// Whether a timestamp of the user's is near enough to `now`. That of a record which gets another is not looked at.
    #[inline]
    pub(crate) fn takes_timestamp(&self, at: Timestamp, now: Timestamp) -> bool {
        let ahead = at.as_millis().saturating_sub(now.as_millis());
        self.log_append_time()
            || (ahead <= self.after_max_ms.load(Ordering::Relaxed)
                && ahead.saturating_neg() <= self.before_max_ms.load(Ordering::Relaxed))
    }

    /// Refuses a timestamp that is not near enough to `now`, saying why.
    #[cold]
    pub(crate) fn check_timestamp(&self, at: Timestamp, now: Timestamp, topic: &str) -> Result<()> {
        if self.takes_timestamp(at, now) {
            return Ok(());
        }
        let ahead = at.as_millis().saturating_sub(now.as_millis());
        let (side, setting, limit) = if ahead > 0 {
            ("ahead of", "message.timestamp.after.max.ms", &self.after_max_ms)
        } else {
            ("behind", "message.timestamp.before.max.ms", &self.before_max_ms)
        };
        let (at, limit) = (at.as_millis(), limit.load(Ordering::Relaxed));
        let off = ahead.unsigned_abs();
        let reason =
            format!("{at} is {off} ms {side} the clock, but {setting} of topic {topic:?} is {limit}");
        Err(Error::invalid("record timestamp", reason))
    }
}

fn place_of(codec: Option<Compression>) -> usize {
    CODECS.iter().position(|known| Some(*known) == codec).unwrap_or(CODECS.len())
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

    #[test]
    fn a_refusal_names_timestamp_limit_and_setting() {
        let rules = RecordRules::of(&TopicConfig::new().settings());
        let text = |at| {
            let refused = rules.check_timestamp(Timestamp::from_millis(at), Timestamp::from_millis(0), "t");
            refused.unwrap_err().to_string()
        };
        assert_eq!(
            text(3_600_001),
            "record timestamp: 3600001 is 3600001 ms ahead of the clock, but message.timestamp.after.max.ms of topic \
             \"t\" is 3600000"
        );
    }
}
