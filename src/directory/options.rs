//! How to open a log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::recovery::{OnProgress, Progress};
use crate::background::RETENTION_INTERVAL;
use crate::catalog::CatalogOptions;
use crate::clock::{Clock, Pace, SystemClock};
use crate::compaction::DEFAULT_MEMORY;
use crate::config::TopicConfig;
use crate::error::Error;
use crate::format::compression::MAX_DECOMPRESSED_BYTES;
use crate::group::OFFSETS_PARTITIONS;
use crate::partition::BackgroundSync;
use crate::sys::faults::Faults;

/// How records get into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WriteMode {
    /// Small batches are stored through a memory map where that is safe (64-bit Linux on ext4, tmpfs, or XFS without
    /// reflink), everything else is written by system calls.
    #[default]
    Auto,
    /// Always by system calls.
    Positioned,
}

/// How records get out of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadMode {
    /// Without copying, from memory maps, where that is safe: as above, and finished segments on macOS. Never on Windows,
    /// where a mapped file could not be deleted.
    #[default]
    Auto,
    /// Always by system calls into buffers.
    Copy,
}

/// Below this a segment would hold hardly more than the header of a batch.
const MIN_SEGMENT: u32 = 1024;
/// Who does the work beside the calls: lingering batches, syncs, final forms of segments, retention, checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Maintenance {
    /// Two threads of the log.
    #[default]
    Threads,
    /// The caller, by [`EventLog::run_maintenance`](crate::EventLog::run_maintenance). No thread is started, and all
    /// deadlines go by the log's clock: with a [`ManualClock`](crate::ManualClock) nothing depends on time.
    Manual,
}

/// Settings of [`EventLog::options`](crate::EventLog::options).
///
/// ```
/// use stratalog::{EventLog, ReadMode, WriteMode};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::options().write_mode(WriteMode::Positioned).read_mode(ReadMode::Copy).open(dir.path())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// One type: each setting is one field and one method, and they are given together.
#[must_use]
pub struct OpenOptions {
    pub(crate) read_only: bool,
    pub(crate) create_if_missing: bool,
    pub(crate) write_mode: WriteMode,
    pub(crate) read_mode: ReadMode,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) catalog: CatalogOptions,
    pub(crate) maintenance: Maintenance,
    pub(crate) background_sync: BackgroundSync,
    pub(crate) offsets_partitions: u32,
    pub(crate) offsets_retention: Option<Duration>,
    pub(crate) retention_check_interval: Duration,
    pub(crate) compaction_memory: usize,
    pub(super) on_progress: Option<OnProgress>,
    /// None but in tests.
    pub(crate) faults: Faults,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            create_if_missing: true,
            write_mode: WriteMode::default(),
            read_mode: ReadMode::default(),
            clock: None,
            catalog: CatalogOptions::default(),
            maintenance: Maintenance::default(),
            background_sync: BackgroundSync::default(),
            offsets_partitions: OFFSETS_PARTITIONS,
            offsets_retention: None,
            retention_check_interval: RETENTION_INTERVAL,
            compaction_memory: DEFAULT_MEMORY,
            on_progress: None,
            faults: Faults::default(),
        }
    }
}

impl OpenOptions {
    /// Whether the log is only read: see [`EventLog::open_read_only`](crate::EventLog::open_read_only). Nothing is made
    /// then, whatever [`create_if_missing`](Self::create_if_missing) says. Default: `false`.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Whether a directory that does not exist is made. Default: `true`.
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// Whether a directory is opened for writing although it belongs to one node of several, as that of a broker of a stopped
    /// cluster: otherwise that is [`Error::PartOfCluster`](crate::Error::PartOfCluster). Default: `false`. Reading does not
    /// need this option.
    ///
    /// What is written then is in this directory alone. The open first raises the leader epoch of the metadata log by a
    /// million, and with it those of the partitions that have copies elsewhere, of which this node becomes the leader and only
    /// in-sync replica. No other node can have used these epochs for other bytes, so brokers that run on all the directories
    /// later agree on one history, and cut the other one off. As a rule they agree on the history of this directory, whose
    /// epochs are higher: what the others have written since this node last ran with them is lost. `docs/kafka.md` says how to
    /// start them. Kafka's counterpart is an unclean leader election.
    ///
    /// ```no_run
    /// use stratalog::EventLog;
    /// let log = EventLog::options().accept_data_loss(true).open("/var/lib/kafka/data")?;
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    pub fn accept_data_loss(mut self, accept: bool) -> Self {
        self.catalog.accept_data_loss = accept;
        self
    }

    /// How records get into files. Default: [`WriteMode::Auto`].
    pub fn write_mode(mut self, mode: WriteMode) -> Self {
        self.write_mode = mode;
        self
    }

    /// Unmapped mode: [`WriteMode::Positioned`] and [`ReadMode::Copy`]. Nothing is mapped, `stratalog.live` included, so
    /// nothing that happens to a file or a device raises a signal: it is an error. Readers in other processes look for
    /// news every millisecond, since nothing wakes them. The guide has a table of what raises signals otherwise.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let log = stratalog::EventLog::options().without_mmap().open(dir.path())?;
    /// assert_eq!(log.metrics().maps, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn without_mmap(self) -> Self {
        self.write_mode(WriteMode::Positioned).read_mode(ReadMode::Copy)
    }

    /// How records get out of files. Default: [`ReadMode::Auto`].
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = mode;
        self
    }

    /// Where timestamps come from. Default: the system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Whether background work is done by threads or by [`run_maintenance`](crate::EventLog::run_maintenance). Default:
    /// [`Maintenance::Threads`].
    pub fn maintenance(mut self, by: Maintenance) -> Self {
        self.maintenance = by;
        self
    }

    /// The background fsync policy: after `bytes` unsynced in a partition, or `age` after the first unsynced record, whichever
    /// comes first; `None` means never. Default: 64 MiB and 5 s. It bounds data loss on power failure, and the time of a
    /// recovery. The `flush.messages` and `flush.ms` of a topic count too, and the first limit that is reached wins.
    ///
    /// A segment is fsynced when the next one has begun, whatever is given here, unless retention deletes it before. With
    /// `None` bytes a segment that `retention.bytes` of its topic is going to delete waits for that, for two minutes at most.
    /// So a partition with a limit of size can be written faster than the device writes.
    ///
    /// If the device is slower than the writers, an append that leaves more than twice `bytes` unsynced in its partition
    /// waits for an fsync before it returns. Its records are in the log and visible meanwhile. Other partitions and
    /// readers do not wait. [`Event::AppendsStalled`](crate::Event::AppendsStalled) and
    /// [`Metrics::appends_stalled`](crate::Metrics::appends_stalled) report it. Batches that are written because they have
    /// lingered do not wait. If that fsync fails, the append has succeeded all the same, and the next one returns
    /// [`Poisoned`](crate::Error::Poisoned).
    pub fn background_sync(
        mut self,
        bytes: impl Into<Option<u64>>,
        age: impl Into<Option<Duration>>,
    ) -> Self {
        self.background_sync = BackgroundSync { bytes: bytes.into(), age: age.into() };
        self
    }

    /// The memory of a compaction, in bytes: about 26 for each key in the dirty part of a partition. At most an eighth of it
    /// holds one bit for each dirty record. A partition with more keys takes several runs. The memory is allocated while a
    /// partition is compacted, and no more than its records can need. Default: 16 MiB, at least 550,000 keys. Kafka's counterpart is
    /// `log.cleaner.dedupe.buffer.size`.
    pub fn compaction_memory(mut self, bytes: usize) -> Self {
        self.compaction_memory = bytes;
        self
    }

    /// The number of partitions and the settings of topics that are made while the log is open, where
    /// [`create_topic`](crate::EventLog::create_topic) is not given others. They are recorded with the topic, so a topic keeps
    /// them, and what is recorded of topics that exist stays as it is. Default: those of [`TopicConfig::defaults`].
    ///
    /// `retention.ms` and `retention.bytes` given here also apply to each topic that records none of its own, as long as the
    /// log is open: Kafka's counterparts are `log.retention.ms` and `log.retention.bytes` of a broker. Without them such a
    /// topic keeps everything, whatever broker made it. Topics that are made here record `retention.ms`, and Kafka's internal
    /// topics are not affected.
    ///
    /// Opening gives `InvalidInput` for what Kafka would refuse.
    ///
    /// ```
    /// use stratalog::{EventLog, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let small = TopicConfig::new().segment_bytes(16 << 20);
    /// let log = EventLog::options().topic_defaults(small).open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new().partitions(3))?;
    /// assert!(orders.config().entries().any(|set| set == ("segment.bytes", "16777216")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn topic_defaults(mut self, defaults: TopicConfig) -> Self {
        self.catalog.topic_defaults = defaults;
        self
    }

    /// Segments end at this many bytes even where `segment.bytes` of a topic allows more, and no batch is larger. For
    /// devices with little space and for tests: Kafka takes no `segment.bytes` below 1 MiB, but reads smaller segments.
    /// Holds while the log is open and is written nowhere. At least 1,024; default: no limit.
    pub fn max_segment_bytes(mut self, bytes: u32) -> Self {
        self.catalog.limits.segment_bytes = bytes;
        self
    }

    /// Bytes that the records of one batch may take when they are decompressed. A batch that takes more is not read:
    /// [`Error::Unsupported`](crate::Error::Unsupported) names the limit. Nor is one written: a larger batch goes into the log
    /// uncompressed, if `max.message.bytes` allows it, and is [`TooLarge`](crate::Error::TooLarge) otherwise. Bounds the memory
    /// that a small file from another source can take. Raise it to read larger batches that a broker took. Batches that are not
    /// compressed are read at any size. Holds while the log is open and is written nowhere. Default: 64 MiB; at most 2 GiB.
    ///
    /// Kafka's consumers have no such limit.
    ///
    /// ```
    /// use stratalog::EventLog;
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::options().max_decompressed_batch_bytes(512 << 20).open(dir.path())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_decompressed_batch_bytes(mut self, bytes: u32) -> Self {
        self.catalog.limits.decompressed_bytes = bytes.min(MAX_DECOMPRESSED_BYTES);
        self
    }

    /// How many partitions `__consumer_offsets` gets when the first group commits; a log that has it keeps it as it is.
    /// Their directories appear when they are used. Default: 50. Kafka: `offsets.topic.num.partitions`.
    pub fn offsets_partitions(mut self, partitions: u32) -> Self {
        self.offsets_partitions = partitions;
        self
    }

    /// How long committed positions are remembered while no consumer of their group is there; `None` is for ever. Default:
    /// `None`: a program may be off for a month. Kafka: `offsets.retention.minutes`, seven days by default, which a broker
    /// applies once it has taken the directory over.
    pub fn offsets_retention(mut self, retention: impl Into<Option<Duration>>) -> Self {
        self.offsets_retention = retention.into();
        self
    }

    /// How long retention may take to notice a segment that is to be deleted, where nothing announces it. Retention checks
    /// a partition whenever a segment is rolled there, and when the oldest segment becomes too old; this is for the rest,
    /// such as an active segment that grows, or a deletion that has failed. At least 1 ms; default: 5 minutes. Kafka's
    /// counterpart is `log.retention.check.interval.ms`.
    ///
    /// With [`Maintenance::Manual`] each [`run_maintenance`](crate::EventLog::run_maintenance) checks all partitions, and
    /// this has no effect.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stratalog::EventLog;
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::options().retention_check_interval(Duration::from_secs(10)).open(dir.path())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retention_check_interval(mut self, interval: Duration) -> Self {
        self.retention_check_interval = interval;
        self
    }

    /// By which deadlines go.
    pub(super) fn pace(&self) -> Pace {
        match (self.maintenance, &self.clock) {
            (Maintenance::Manual, Some(clock)) => Pace::Clock(Arc::clone(clock)),
            (Maintenance::Manual, None) => Pace::Clock(Arc::new(SystemClock)),
            (Maintenance::Threads, _) => Pace::default(),
        }
    }

    pub(super) fn validate(&self) -> crate::Result<()> {
        if self.retention_check_interval < Duration::from_millis(1) {
            let reason = format!("{:?} was asked for; give at least 1 ms", self.retention_check_interval);
            return Err(Error::invalid("retention_check_interval", reason));
        }
        if self.offsets_partitions == 0 {
            return Err(Error::invalid("offsets_partitions", "there must be at least one; Kafka has 50"));
        }
        let most = self.catalog.limits.segment_bytes;
        if most < MIN_SEGMENT {
            let reason = format!("{most} bytes were asked for; give at least {MIN_SEGMENT}");
            return Err(Error::invalid("max_segment_bytes", reason));
        }
        Ok(())
    }

    /// Calls `tell` while a log is recovered after an unclean stop: for every partition, and every 64 MiB of what is
    /// checked. Called by the thread that opens, before the open returns.
    ///
    /// ```
    /// # use stratalog::EventLog;
    /// # let dir = tempfile::tempdir()?;
    /// let options = EventLog::options().on_progress(|progress| {
    ///     eprintln!("{} of {} partitions, {} MiB", progress.partitions_done, progress.partitions, progress.bytes_scanned >> 20);
    /// });
    /// let log = options.open(dir.path())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_progress(mut self, tell: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(tell));
        self
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("read_only", &self.read_only)
            .field("create_if_missing", &self.create_if_missing)
            .field("accept_data_loss", &self.catalog.accept_data_loss)
            .field("write_mode", &self.write_mode)
            .field("read_mode", &self.read_mode)
            .field("maintenance", &self.maintenance)
            .field("background_sync", &self.background_sync)
            .field("max_decompressed_batch_bytes", &self.catalog.limits.decompressed_bytes)
            .field("offsets_partitions", &self.offsets_partitions)
            .field("offsets_retention", &self.offsets_retention)
            .field("retention_check_interval", &self.retention_check_interval)
            .finish_non_exhaustive()
    }
}
