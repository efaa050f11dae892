//! The settings of a partition, which may change while it is used.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::TopicSettings;
use crate::error::Result;
use crate::format::compression::DEFAULT_DECOMPRESSED_BYTES;
use crate::sys::random_bytes;

/// What a partition goes by.
#[derive(Debug, Clone)]
pub(crate) struct PartitionSettings {
    pub(crate) segment_bytes: u32,
    pub(crate) max_batch_bytes: u32,
    /// What the records of one batch may take when they are decompressed. Never changes while a log is open.
    pub(crate) max_decompressed_bytes: u32,
    pub(crate) index_interval_bytes: u32,
    /// Leader epoch of the first record of a partition that has none yet. Never changes.
    pub(crate) first_epoch: u32,
    /// A segment gets no batch whose timestamp is so much later than that of its first.
    pub(crate) segment_ms: i64,
    /// Each segment ends earlier than that, by less than this.
    pub(crate) segment_jitter_ms: i64,
    pub(crate) flush: Flush,
    pub(crate) retention: Retention,
    /// `None`: the cleanup policy does not hold `compact`.
    pub(crate) compaction: Option<Compaction>,
}

/// What the options of an open say of all its partitions, whatever their topics say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLimits {
    /// Segments do not grow beyond this.
    pub(crate) segment_bytes: u32,
    /// What the records of one batch may take when they are decompressed.
    pub(crate) decompressed_bytes: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { segment_bytes: u32::MAX, decompressed_bytes: DEFAULT_DECOMPRESSED_BYTES }
    }
}

/// When records are synced because their topic says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flush {
    /// The append that brings the records without a sync to so many waits for one.
    pub(crate) messages: u64,
    /// A sync begins so long after the first record without one; `u64::MAX` is never.
    pub(crate) ms: u64,
}

/// How long segments are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Whether time and size count at all: the cleanup policy holds `delete`.
    pub(crate) deletes: bool,
    /// `None` is no limit.
    pub(crate) bytes: Option<u64>,
    /// `None` is no limit.
    pub(crate) ms: Option<i64>,
    /// How long the files of a deleted segment stay.
    pub(crate) file_delete_delay_ms: i64,
}

/// When and how older records of the same key are taken out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compaction {
    /// The part of the log that must not have been gone through, for it to be worth while.
    pub(crate) min_dirty_ratio: f64,
    /// Segments with a record younger than this are left alone; 0 is no limit.
    pub(crate) min_lag_ms: i64,
    /// Records wait no longer than this, however few they are.
    pub(crate) max_lag_ms: i64,
    /// How long a tombstone is kept after a cleaner run first found it.
    pub(crate) delete_retention_ms: i64,
}

impl Flush {
    /// No sync because of the topic.
    pub(crate) const NEVER: Self = Self { messages: u64::MAX, ms: u64::MAX };

    fn of(topic: &TopicSettings) -> Self {
        // Kafka's default, the largest number of Java, means the same in Kafka.
        let limit = |set: i64| u64::try_from(set).ok().filter(|_| set < i64::MAX).unwrap_or(u64::MAX);
        Self { messages: limit(topic.flush_messages), ms: limit(topic.flush_ms) }
    }
}

impl Retention {
    /// Everything is kept.
    pub(crate) const NEVER: Self =
        Self { deletes: false, bytes: None, ms: None, file_delete_delay_ms: 60_000 };

    /// Whether segments may go because of their size or age.
    pub(crate) fn has_limit(&self) -> bool {
        self.deletes && (self.bytes.is_some() || self.ms.is_some())
    }
}

impl PartitionSettings {
    /// As a topic's settings have them, within the limits of the log.
    pub(crate) fn of(topic: &TopicSettings, limits: LogLimits, first_epoch: u32) -> Self {
        let lag = if topic.compacts { topic.max_compaction_lag_ms } else { i64::MAX };
        Self {
            segment_bytes: topic.segment_bytes.min(limits.segment_bytes),
            max_batch_bytes: topic.max_message_bytes,
            max_decompressed_bytes: limits.decompressed_bytes,
            index_interval_bytes: topic.index_interval_bytes,
            first_epoch,
            segment_ms: topic.segment_ms.min(lag),
            segment_jitter_ms: topic.segment_jitter_ms,
            flush: Flush::of(topic),
            retention: Retention {
                deletes: topic.deletes,
                bytes: topic.retention_bytes,
                ms: topic.retention_ms,
                file_delete_delay_ms: topic.file_delete_delay_ms,
            },
            compaction: topic.compacts.then_some(Compaction {
                min_dirty_ratio: topic.min_cleanable_dirty_ratio,
                min_lag_ms: topic.min_compaction_lag_ms,
                max_lag_ms: topic.max_compaction_lag_ms,
                delete_retention_ms: topic.delete_retention_ms,
            }),
        }
    }
}

impl PartitionSettings {
    fn bytes_word(&self) -> u64 {
        let max_batch_bytes = self.max_batch_bytes.min(self.segment_bytes);
        (u64::from(self.segment_bytes) << 32) | u64::from(max_batch_bytes)
    }

    /// By how much a new segment ends earlier than its age has it.
    pub(super) fn draw_jitter(&self) -> Result<i64> {
        let most = self.segment_jitter_ms.min(self.segment_ms);
        if most <= 0 {
            return Ok(0);
        }
        let [a, b, c, d, ..] = random_bytes()?;
        Ok(i64::from(u32::from_le_bytes([a, b, c, d])) % most)
    }
}

/// The settings in effect. What an append checks is read without a lock.
#[derive(Debug)]
pub(super) struct LiveSettings {
    /// Largest segment (the upper half) and largest batch, which is no larger than that: one word, for a batch that
    /// met the one from before a change and the other from after it could be larger than either allows.
    bytes: AtomicU64,
    segment_ms: AtomicI64,
    flush_messages: AtomicU64,
    flush_ms: AtomicU64,
    max_decompressed_bytes: u32,
    all: Mutex<PartitionSettings>,
}

impl LiveSettings {
    pub(super) fn new(settings: PartitionSettings) -> Self {
        Self {
            bytes: AtomicU64::new(settings.bytes_word()),
            segment_ms: AtomicI64::new(settings.segment_ms),
            flush_messages: AtomicU64::new(settings.flush.messages),
            flush_ms: AtomicU64::new(settings.flush.ms),
            max_decompressed_bytes: settings.max_decompressed_bytes,
            all: Mutex::new(settings),
        }
    }

    pub(super) fn set(&self, settings: PartitionSettings) {
        let mut all = self.all.lock();
        self.bytes.store(settings.bytes_word(), Ordering::Relaxed);
        self.segment_ms.store(settings.segment_ms, Ordering::Relaxed);
        self.flush_messages.store(settings.flush.messages, Ordering::Relaxed);
        self.flush_ms.store(settings.flush.ms, Ordering::Relaxed);
        *all = settings;
    }

    #[inline]
    pub(super) fn segment_bytes(&self) -> u32 {
        u32::try_from(self.bytes.load(Ordering::Relaxed) >> 32).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(super) fn max_batch_bytes(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let max_batch_bytes = self.bytes.load(Ordering::Relaxed) as u32;
        max_batch_bytes
    }

    #[inline]
    pub(super) fn max_decompressed_bytes(&self) -> usize {
        self.max_decompressed_bytes as usize
    }

    #[inline]
    pub(super) fn segment_ms(&self) -> i64 {
        self.segment_ms.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn flush_messages(&self) -> u64 {
        self.flush_messages.load(Ordering::Relaxed)
    }

    /// `None` is never.
    #[inline]
    pub(super) fn flush_after(&self) -> Option<Duration> {
        let ms = self.flush_ms.load(Ordering::Relaxed);
        (ms != u64::MAX).then(|| Duration::from_millis(ms))
    }

    /// All of them, for what is done once in a while.
    pub(super) fn all(&self) -> PartitionSettings {
        self.all.lock().clone()
    }
}
