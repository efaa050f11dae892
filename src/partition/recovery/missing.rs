//! Offsets without records: a compaction took them out, or they are lost.
//!
//! Where a partition was never compacted, each sealed segment ends where the next one begins, and an offset without a
//! record is a loss. Where it was, nothing distinguishes a lost record from a superseded one, so what Kafka reads is read.
//! Evidence that it was:
//!
//! | what | known |
//! |---|---|
//! | `cleanup.policy` holds `compact`, or did by the metadata log | before the directory is checked |
//! | the metadata log does not reach back to the topic's creation | the same: it may have been |
//! | a line in `cleaner-offset-checkpoint` | the same |
//! | the topic is one that Kafka compacts for itself | the same |
//! | `.cleaned` and `.swap` files | when the directory is listed |
//! | offsets are missing between or in the batches of a segment | when batches are checked; looked for before a gap between segments counts as a loss |
//!
//! A gap is explained if a compaction has gone through all of it, by its checkpoint. One that is not is reported.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::topic_name::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::error::Result;
use crate::events::Event;
use crate::partition::PartitionCore;
use crate::partition::recovery::Loader;
use crate::segment::{self, Batches, LogBytes, Segment};
use crate::sys::PlainFile;

/// Topics that Kafka compacts whatever their settings say.
const ALWAYS_COMPACTED: [&str; 2] = [CONSUMER_OFFSETS, TRANSACTION_STATE];

/// Offsets of a partition that should have records and have none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingRecords {
    /// The offsets.
    pub offsets: Range<u64>,
    /// The partition was compacted, or may have been: the records are lost only if no compaction took them out. Reading
    /// passes over them, as Kafka does. `false`: they are lost, and reading stops there with
    /// [`Corrupt`](crate::Error::Corrupt).
    pub maybe_compacted: bool,
}

/// Whether Kafka compacts the partitions of a topic, whatever its settings say.
pub(crate) fn is_always_compacted(topic: &str) -> bool {
    ALWAYS_COMPACTED.contains(&topic)
}

/// What is known of whether compaction has taken records out of a partition. Only ever turns to yes.
#[derive(Debug)]
pub(super) struct Compacted {
    may_have_been: AtomicBool,
    /// Below it a compaction has gone through the log; [`NEVER`](Self::NEVER) if none has.
    cleaned: AtomicU64,
    /// The batches were checked for what a compaction leaves.
    sought: AtomicBool,
    /// Where gaps end that were reported, so that each is reported once. The first are forgotten when there are many.
    reported: Mutex<BTreeSet<u64>>,
}

const MAX_REPORTED: usize = 1024;

impl Compacted {
    const NEVER: u64 = u64::MAX;

    pub(in crate::partition) fn new(
        topic: &str,
        by_settings_or_checkpoint: bool,
        cleaned: Option<u64>,
    ) -> Self {
        let may_have_been = by_settings_or_checkpoint || is_always_compacted(topic);
        Self {
            may_have_been: AtomicBool::new(may_have_been),
            cleaned: AtomicU64::new(cleaned.unwrap_or(Self::NEVER)),
            sought: AtomicBool::new(false),
            reported: Mutex::default(),
        }
    }
}

impl PartitionCore {
    /// There is evidence that a compaction may have taken records out.
    pub(crate) fn record_compacted(&self) {
        self.evidence.compacted.may_have_been.store(true, Ordering::Relaxed);
    }

    /// Whether a compaction may have taken records out, by what is known so far.
    pub(crate) fn may_have_been_compacted(&self) -> bool {
        self.evidence.compacted.may_have_been.load(Ordering::Relaxed)
    }

    /// Up to where a compaction has gone through the partition, if one has.
    pub(crate) fn cleaned(&self) -> Option<u64> {
        let cleaned = self.evidence.compacted.cleaned.load(Ordering::Relaxed);
        Some(cleaned).filter(|cleaned| *cleaned != Compacted::NEVER)
    }

    /// A compaction has gone through everything below, and what it left is on disk.
    pub(crate) fn set_cleaned(&self, to: u64) {
        self.evidence.compacted.cleaned.store(to, Ordering::Relaxed);
    }

    /// What is to be reported of a gap: nothing, as far as a compaction has gone through it.
    pub(in crate::partition) fn missing(&self, offsets: Range<u64>) -> Option<MissingRecords> {
        let maybe_compacted = self.may_have_been_compacted();
        let cleaned = self.cleaned().filter(|_| maybe_compacted).unwrap_or(0);
        let offsets = offsets.start.max(cleaned)..offsets.end;
        (!offsets.is_empty()).then_some(MissingRecords { offsets, maybe_compacted })
    }

    /// Reports what opening found. What was set aside was reported when that was done.
    pub(in crate::partition) fn emit_missing(&self, found: &[MissingRecords]) {
        for MissingRecords { offsets, maybe_compacted } in found {
            {
                let mut reported = self.evidence.compacted.reported.lock();
                if reported.len() == MAX_REPORTED {
                    reported.pop_first();
                }
                reported.insert(offsets.end);
            }
            let (partition, offsets) = (|| self.id.clone(), || offsets.clone());
            self.context.events.emit(|| Event::RecordsMissing {
                partition: partition(),
                offsets: offsets(),
                maybe_compacted: *maybe_compacted,
            });
        }
    }

    /// The records that are lost between the end of a segment and the next one, which begins at `next`. What compactions may
    /// have taken out is not lost, but reported, unless a compaction has gone through it.
    pub(in crate::partition) fn lost_after(
        &self,
        segment: &Segment,
        next: u64,
    ) -> Result<Option<Range<u64>>> {
        if self.may_have_been_compacted() && (self.cleaned() >= Some(next) || self.is_reported(next)) {
            return Ok(None);
        }
        let (file, length) = (segment.open()?, segment.end().position);
        let end =
            segment::end_of_batches(&self.disk, &file, LogBytes { base: segment.base(), length }, u64::MAX)?;
        let Some(from) = end.map(|end| end.next_offset).filter(|from| *from < next) else { return Ok(None) };
        let list = self.segments();
        let open = |segment: &Arc<Segment>| Ok((segment.base(), segment.open()?, segment.end().position));
        let maybe_compacted = self.seek_compaction(list.iter().map(open))?;
        let missing = self.missing(from..next);
        if !self.is_reported(next) {
            self.emit_missing(missing.as_slice());
        }
        Ok((!maybe_compacted).then_some(from..next))
    }

    /// Whether the gap before an offset was reported.
    fn is_reported(&self, next: u64) -> bool {
        self.evidence.compacted.reported.lock().contains(&next)
    }

    /// Checks the batches of all segments for what a compaction leaves, once. `files` opens them, each with its base
    /// offset and length.
    pub(super) fn seek_compaction(
        &self,
        files: impl Iterator<Item = Result<(u64, PlainFile, u64)>>,
    ) -> Result<bool> {
        if self.may_have_been_compacted() || self.evidence.compacted.sought.load(Ordering::Relaxed) {
            return Ok(self.may_have_been_compacted());
        }
        for file in files {
            let (base, file, length) = file?;
            if !is_dense(&file, base, length)? {
                self.record_compacted();
                return Ok(true);
            }
        }
        self.evidence.compacted.sought.store(true, Ordering::Relaxed);
        Ok(false)
    }
}

impl Loader<'_> {
    /// Whether a compaction may have taken records out of the partition, whose segments begin at these offsets.
    pub(super) fn may_have_been_compacted(&self, bases: &[u64]) -> Result<bool> {
        let files = bases.iter().map(|base| self.open(*base).map(|(file, length)| (*base, file, length)));
        self.log.seek_compaction(files)
    }
}

/// Whether each batch of a file begins where the one before it ends and has a record for each of its offsets, up to the
/// first that is invalid.
fn is_dense(file: &PlainFile, base: u64, length: u64) -> Result<bool> {
    let mut batches = Batches::new(file, length, 0, base);
    while batches.dense && batches.position < length {
        if batches.pass(&mut |_, _| ())?.is_some() {
            break;
        }
    }
    Ok(batches.dense)
}
