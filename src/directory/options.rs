//! How to open a log.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::catalog::CatalogOptions;
use crate::clock::Clock;
use crate::config::TopicConfig;
use crate::error::Error;

/// How records get into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WriteMode {
    /// Small batches are stored through a memory map where that is safe (64-bit Linux on ext4, xfs or tmpfs), everything
    /// else is written by system calls.
    #[default]
    Auto,
    /// Always by system calls.
    Positioned,
}

/// How records get out of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadMode {
    /// Without copying, from memory maps, where that is safe.
    #[default]
    Auto,
    /// Always by system calls into buffers. With [`WriteMode::Positioned`] not even a failing device raises a signal.
    Copy,
}

/// Below this a segment would hold hardly more than the header of a batch.
const SMALLEST_SEGMENT: u32 = 1024;

/// Settings of [`EventLog::options`](crate::EventLog::options).
///
/// ```
/// use stratalog::{EventLog, ReadMode, WriteMode};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::options().write_mode(WriteMode::Positioned).read_mode(ReadMode::Copy).open(dir.path())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct OpenOptions {
    pub(crate) create_if_missing: bool,
    pub(crate) write_mode: WriteMode,
    pub(crate) read_mode: ReadMode,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) catalog: CatalogOptions,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            create_if_missing: true,
            write_mode: WriteMode::default(),
            read_mode: ReadMode::default(),
            clock: None,
            catalog: CatalogOptions::default(),
        }
    }
}

impl OpenOptions {
    /// Whether a directory that does not exist is made. Default: `true`.
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// How records get into files. Default: [`WriteMode::Auto`].
    pub fn write_mode(mut self, mode: WriteMode) -> Self {
        self.write_mode = mode;
        self
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

    /// The number of partitions and the settings of topics that are made while the log is open, where
    /// [`create_topic`](crate::EventLog::create_topic) is not given others. They are written down with the topic, so a
    /// topic keeps them, and topics that exist stay as they are. Default: Kafka's own defaults.
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
    pub fn most_segment_bytes(mut self, bytes: u32) -> Self {
        self.catalog.most_segment_bytes = bytes;
        self
    }

    pub(super) fn validate(&self) -> crate::Result<()> {
        let most = self.catalog.most_segment_bytes;
        if most < SMALLEST_SEGMENT {
            let reason = format!("{most} bytes were asked for; give at least {SMALLEST_SEGMENT}");
            return Err(Error::invalid("most_segment_bytes", reason));
        }
        Ok(())
    }

    /// Opens the log. See [`EventLog::open`](crate::EventLog::open).
    pub fn open(self, path: impl AsRef<Path>) -> crate::Result<crate::EventLog> {
        crate::EventLog::open_with(path.as_ref(), self)
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("create_if_missing", &self.create_if_missing)
            .field("write_mode", &self.write_mode)
            .field("read_mode", &self.read_mode)
            .finish_non_exhaustive()
    }
}
