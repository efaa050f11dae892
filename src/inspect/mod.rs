//! Looking into the files of a log directory, one by one or as a whole.
//!
//! This is what Kafka's `kafka-dump-log` does, and more: batches with all that their headers say, records, index entries,
//! snapshots of producers, records of Kafka's own topics in words, and [`verify`], which goes through a directory and
//! reports what is not as it should be.
//!
//! Nothing here takes the directory's lock (but for [`VerifyOptions::repair`]), maps a file, or needs more memory than a
//! batch and what it decompresses to; a writer may be at work meanwhile. Files are described as they are: what a header
//! says is passed on whether it can be true or not, so offsets are signed here.
//!
//! ```
//! use stratalog::inspect::LogFile;
//! use stratalog::{EventLog, Record, TopicConfig};
//! # let dir = tempfile::tempdir()?;
//!
//! let log = EventLog::open(dir.path())?;
//! let orders = log.create_topic("orders", TopicConfig::new())?;
//! log.producer()?.send(&orders, Record::new("paid").key("order-17"))?;
//! log.close()?;
//!
//! let mut file = LogFile::open(dir.path().join("orders-0/00000000000000000000.log"))?;
//! while let Some(batch) = file.next_batch()? {
//!     assert!(batch.is_valid());
//!     for record in &batch.records()? {
//!         assert_eq!((record.offset(), record.value()), (0, Some(&b"paid"[..])));
//!     }
//! }
//! assert_eq!(file.bytes_left(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod derived;
mod log_file;
mod salvage;
mod verify;
mod words;

pub use batch::{BatchRecords, BatchView, ControlKind, InspectedRecord};
pub use derived::{
    IndexEntries, OffsetIndexEntry, ProducerSnapshotEntry, TimeIndexEntry, TransactionIndexEntry,
    producer_snapshot, transaction_index,
};
pub use log_file::LogFile;
pub use salvage::{LeftOut, Salvaged, salvage};
pub use verify::{FutureSegment, Problem, ProblemKind, VerifyOptions, VerifyReport, verify};
pub use words::{CoordinatorTopic, decode_control_record, decode_coordinator_record, decode_metadata_record};

/// Far more than any small file of a directory holds.
const MAX_SMALL_BYTES: u64 = 256 << 20;

/// Where a file of a partition begins, by its name: `00000000000000000042.log` and its like.
///
/// `None` for names that Kafka does not give to files of segments.
///
/// ```
/// use std::path::Path;
/// assert_eq!(stratalog::inspect::base_offset(Path::new("orders-0/00000000000000000042.index")), Some(42));
/// assert_eq!(stratalog::inspect::base_offset(Path::new("42.log")), None);
/// ```
pub fn base_offset(path: &std::path::Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    crate::segment::base_of(name, path.extension()?.to_str()?)
}
