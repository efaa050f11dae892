//! A partition at one point, for a snapshot: what it holds then, and copies of its files.
//!
//! The point of many partitions is one: the locks of all appenders are held at once, for as long as it takes to write down
//! where each log ends. What was acknowledged before is below those ends, and nothing that was sent after. From there on
//! the partitions continue, and their files are copied beside that:
//!
//! | meanwhile | so |
//! |---|---|
//! | appends | the last segment is copied up to the point |
//! | segments leave the log | they are renamed, which is followed, and their files stay until the copy is whole |
//! | a compaction | begins and ends after it |
//! | the topic is deleted | its directory is moved, which is followed, and stays until the copy is whole |
//!
//! A copy is what an orderly close would leave of the partition at that point. Only files that nothing will ever be written
//! to are taken over as they are: sealed segments in their final form. The last segment, which both logs will append to,
//! is copied byte by byte, and so is all that is derived.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::locks::Guard;
use super::transactions::ProducerState;

use super::{Appender, Leader, SegmentList};
use crate::error::{Damage, Error, Result};
use crate::format::checkpoint::{encode_epochs, parse_epochs};
use crate::format::file_names::{LEADER_EPOCHS, PARTITION_METADATA};
use crate::format::transaction_index::{self, AbortedTransaction};
use crate::position::TopicPartition;
use crate::segment::{
    self, FileState, LOG, OFFSET_INDEX, PRODUCER_SNAPSHOT, Segment, SegmentEnd, TIME_INDEX,
    TRANSACTION_INDEX, beside, index_anew,
};
use crate::sys::{Copied, Copier, PlainFile, Taken};

/// How often all locks are tried for, and how long for one of them while others are held. A partition that waits for the
/// disk under its lock is then waited for with none held.
const ATTEMPTS: usize = 32;
const PATIENCE: Duration = Duration::from_millis(1);
/// Far more than a file of the kinds that are read whole ever holds.
const MAX_BYTES: u64 = 1 << 30;

/// What a partition knows of the snapshots that need its files.
#[derive(Debug)]
pub(super) struct Keeping {
    snapshots: AtomicUsize,
    /// Where the directory is. It leaves its place when the topic is deleted.
    place: RwLock<PathBuf>,
}

impl Keeping {
    pub(super) fn at(directory: &Path) -> Self {
        Self { snapshots: AtomicUsize::new(0), place: RwLock::new(directory.to_owned()) }
    }
}

/// A partition of which no file is removed.
#[derive(Debug)]
pub(crate) struct Kept(Arc<Leader>);

impl Kept {
    pub(crate) fn new(log: Arc<Leader>) -> Self {
        log.keeping.snapshots.fetch_add(1, Ordering::SeqCst);
        Self(log)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.keeping.snapshots.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a partition holds at a point.
#[derive(Debug)]
pub(crate) struct PartitionPoint {
    kept: Kept,
    segments: Arc<SegmentList>,
    /// Of the last segment.
    end: SegmentEnd,
    log_start: u64,
    cleaned: Option<u64>,
    /// The state of producers at the end, as a snapshot file holds it.
    producers: Vec<u8>,
    /// Aborted transactions that no index on disk has.
    unindexed: Vec<AbortedTransaction>,
}

/// Bytes of a snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bytes {
    pub(crate) shared: u64,
    pub(crate) linked: u64,
    pub(crate) copied: u64,
}

/// What partitions hold at one point. They are loaded.
pub(crate) fn at_one_point(mut kept: Vec<Kept>) -> Vec<PartitionPoint> {
    // The order in which appenders are waited for.
    kept.sort_by(|one, other| one.0.id().cmp(other.0.id()));
    let held = {
        let held = all_locked(&kept);
        let found = held.iter().zip(&kept).map(|(appender, kept)| kept.0.found_under(appender));
        found.collect::<Vec<_>>()
    };
    let point = |(kept, found): (Kept, FoundFile)| {
        let producers = match found.producers {
            Some(state) => state,
            None => ProducerState::default().encode(),
        };
        let FoundFile { segments, end, log_start, cleaned, unindexed, .. } = found;
        PartitionPoint { kept, segments, end, log_start, cleaned, producers, unindexed }
    };
    kept.into_iter().zip(held).map(point).collect()
}

/// What is written down while nothing can be appended.
struct FoundFile {
    segments: Arc<SegmentList>,
    end: SegmentEnd,
    log_start: u64,
    cleaned: Option<u64>,
    /// `None`: there are no producers with ids.
    producers: Option<Vec<u8>>,
    unindexed: Vec<AbortedTransaction>,
}

/// They are in order.
fn all_locked(logs: &[Kept]) -> Vec<Guard<'_, Appender>> {
    for _ in 0..ATTEMPTS {
        let mut held = Vec::with_capacity(logs.len());
        let busy = logs.iter().find(|kept| {
            let appender = kept.0.writer.appender_within(PATIENCE);
            let is_busy = appender.is_none();
            held.extend(appender);
            is_busy
        });
        let Some(busy) = busy else { return held };
        drop(held);
        drop(busy.0.writer.appender());
    }
    logs.iter().map(|kept| kept.0.writer.appender_beside_others()).collect()
}

impl Leader {
    /// Whether a snapshot needs files that may have left the log.
    pub(crate) fn is_kept(&self) -> bool {
        self.keeping.snapshots.load(Ordering::SeqCst) > 0
    }

    /// Moves the directory elsewhere: no thread opens or links a file in it meanwhile. `move_it` returns where to, if it did.
    pub(crate) fn leave_place(
        &self,
        move_it: impl FnOnce() -> Result<Option<PathBuf>>,
    ) -> Result<Option<PathBuf>> {
        let mut place = self.keeping.place.write();
        let moved = move_it()?;
        if let Some(to) = &moved {
            place.clone_from(to);
        }
        Ok(moved)
    }

    fn found_under(&self, _appender: &Appender) -> FoundFile {
        let view = self.view.present();
        let (segments, log_start) = (Arc::clone(view.segments()), view.log_start());
        let end = segments
            .last()
            .map_or(SegmentEnd { position: 0, relative_next: 0, sealed: false }, |last| last.end());
        let (producers, unindexed) = (self.producers.encoded(), self.producers.unindexed());
        FoundFile { segments, end, log_start, cleaned: self.cleaned(), producers, unindexed }
    }
}

impl PartitionPoint {
    pub(crate) fn id(&self) -> &TopicPartition {
        self.log().id()
    }

    fn log(&self) -> &Arc<Leader> {
        &self.kept.0
    }

    pub(crate) fn log_start(&self) -> u64 {
        self.log_start
    }

    /// Offset after the last record.
    pub(crate) fn log_end(&self) -> u64 {
        let last = self.segments.last().map(|last| last.base() + u64::from(self.end.relative_next));
        last.unwrap_or(0).max(self.log_start)
    }

    /// What the checkpoint of recovery points says of the copy: all of it is on disk.
    pub(crate) fn recovery_point(&self) -> Option<u64> {
        self.segments.last().map(|_| self.log_end())
    }

    /// Up to where a compaction has gone through what is here.
    pub(crate) fn cleaned(&self) -> Option<u64> {
        self.cleaned.map(|end_offset| end_offset.min(self.log_end()))
    }

    /// Makes the directory `to` with what the partition held at the point, on disk once the parent of `to` is synced. A
    /// partition that never had a record has no directory. `also` says which other files belong to it.
    pub(crate) fn copy_to(
        &self,
        to: &Path,
        copier: &mut Copier<'_>,
        also: &dyn Fn(&str) -> bool,
    ) -> Result<Bytes> {
        let mut bytes = Bytes::default();
        let Some((last, sealed)) = self.segments.as_slice().split_last() else { return Ok(bytes) };
        copier.disk().create_directory(to)?;
        for segment in sealed {
            self.copy_sealed(segment, to, copier, &mut bytes)?;
        }
        self.copy_last(last, to, copier, &mut bytes)?;
        for segment in self.segments.iter() {
            self.copy_snapshot(segment.base(), to, copier)?;
        }
        if self.log_end() > self.log_start {
            copier.write(&to.join(segment::file_name(self.log_end(), PRODUCER_SNAPSHOT)), &self.producers)?;
        }
        self.copy_texts(to, copier, also)?;
        copier.disk().sync_directory(to)?;
        Ok(bytes)
    }

    /// A segment that another one follows.
    fn copy_sealed(
        &self,
        segment: &Segment,
        to: &Path,
        copier: &mut Copier<'_>,
        bytes: &mut Bytes,
    ) -> Result<()> {
        let (end, copy) = (segment.end(), to.join(segment::file_name(segment.base(), LOG)));
        // One that has left the log since the point may never have got its final form.
        let is_final =
            end.sealed && segment.has_index_files() && self.log().is_finished(segment.next_offset());
        let taken = self.by_name(segment, |path| {
            if is_final {
                copier.take(path, end.position, &copy)
            } else {
                copier.disk().open(path, false).map(Taken::Opened)
            }
        })?;
        match taken {
            Taken::Done(Copied::Shared) => bytes.shared += end.position,
            Taken::Done(Copied::Linked) => bytes.linked += end.position,
            Taken::Opened(file) => {
                copier.copy(&file, end.position, &copy)?;
                bytes.copied += end.position;
            }
        }
        let mut are_there = is_final;
        for suffix in [OFFSET_INDEX, TIME_INDEX] {
            are_there = are_there && self.copy_beside(segment, suffix, &copy, copier)?;
        }
        if !are_there {
            // For want of space there may be none.
            self.index(&copy, segment.base(), end, copier)?;
        }
        self.copy_transaction_index(segment, &copy, copier)
    }

    /// The last segment, as far as it went.
    fn copy_last(
        &self,
        segment: &Segment,
        to: &Path,
        copier: &mut Copier<'_>,
        bytes: &mut Bytes,
    ) -> Result<()> {
        let copy = to.join(segment::file_name(segment.base(), LOG));
        let file = self.by_name(segment, |path| copier.disk().open(path, false))?;
        copier.copy(&file, self.end.position, &copy)?;
        bytes.copied += self.end.position;
        let ended = self.index(&copy, segment.base(), self.end, copier)?;
        if let Some((position, reason)) = ended {
            let offset = segment.base();
            let damage = Damage::new(file.path(), position, reason).at_offset(self.id(), offset);
            return Err(Error::Corrupt(Box::new(damage)));
        }
        self.copy_transaction_index(segment, &copy, copier)
    }

    /// The aborted transactions of a segment up to the point, those among them that are in no file yet.
    fn copy_transaction_index(&self, segment: &Segment, copy: &Path, copier: &Copier<'_>) -> Result<()> {
        let read = |path: &Path| copier.disk().read_small(&beside(path, TRANSACTION_INDEX), MAX_BYTES);
        let index = self.by_name(segment, read)?.unwrap_or_default();
        let Ok(mut entries) = transaction_index::decode(&index, segment.base()) else {
            // As it is: a reader holds it against the markers.
            return copier.write(&beside(copy, TRANSACTION_INDEX), &index);
        };
        let known_to = entries.last().map_or(0, |entry| entry.last_offset + 1);
        let offsets = known_to.max(segment.base())..segment.next_offset();
        entries.extend(self.unindexed.iter().filter(|aborted| offsets.contains(&aborted.last_offset)));
        entries.retain(|entry| entry.last_offset < self.log_end());
        if entries.is_empty() {
            return Ok(());
        }
        copier.write(&beside(copy, TRANSACTION_INDEX), &transaction_index::encode(&entries))
    }

    /// Writes the indexes of a copy. `Some`: where the way from batch to batch ends before the copy does, and why; then none is
    /// written.
    fn index(
        &self,
        copy: &Path,
        base: u64,
        end: SegmentEnd,
        copier: &Copier<'_>,
    ) -> Result<Option<(u64, String)>> {
        let file = copier.disk().open(copy, false)?;
        let interval = self.log().settings.all().index_interval_bytes;
        let next = base + u64::from(end.relative_next);
        let made = index_anew(&file, end.position, base, next, interval)?;
        if made.position < end.position {
            return Ok(Some((made.position, made.reason.to_string())));
        }
        copier.write(&beside(copy, OFFSET_INDEX), &made.entries.offset_file())?;
        copier.write(&beside(copy, TIME_INDEX), &made.entries.time_file())?;
        Ok(None)
    }

    /// Copies the file with this suffix. `false`: there is none.
    fn copy_beside(
        &self,
        segment: &Segment,
        suffix: &str,
        copy: &Path,
        copier: &mut Copier<'_>,
    ) -> Result<bool> {
        match self.by_name(segment, |path| copier.disk().open(&beside(path, suffix), false)) {
            Ok(file) => copy_whole(&file, &beside(copy, suffix), copier).map(|()| true),
            Err(failure) if failure.is_file_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The state of producers where a segment begins. Where a compaction has put segments together, the file is on its way out.
    fn copy_snapshot(&self, at: u64, to: &Path, copier: &Copier<'_>) -> Result<()> {
        if at >= self.log_end() {
            return Ok(());
        }
        let name = segment::file_name(at, PRODUCER_SNAPSHOT);
        for file_state in [FileState::Plain, FileState::Deleted] {
            let read = self
                .in_place(|place| copier.disk().read_small(&file_state.of(&place.join(&name)), MAX_BYTES))?;
            if let Some(bytes) = read {
                return copier.write(&to.join(name), &bytes);
            }
        }
        Ok(())
    }

    fn copy_texts(&self, to: &Path, copier: &mut Copier<'_>, also: &dyn Fn(&str) -> bool) -> Result<()> {
        let read = |name: &str| self.in_place(|place| copier.disk().read_small(&place.join(name), MAX_BYTES));
        // First: what is written meanwhile is in the file.
        let unwritten = self.log().epochs.lock().epoch;
        let stored = read(LEADER_EPOCHS)?.or(unwritten.map(|_| Vec::new()));
        if let Some(bytes) = read(PARTITION_METADATA)? {
            copier.write(&to.join(PARTITION_METADATA), &bytes)?;
        }
        if let Some(Ok(mut epochs)) = stored.map(|bytes| parse_epochs(&bytes)) {
            epochs.extend(unwritten.filter(|_| epochs.is_empty()));
            epochs.retain(|epoch| epoch.start <= self.log_end());
            copier.write(&to.join(LEADER_EPOCHS), encode_epochs(&epochs).as_bytes())?;
        }
        let names = self.in_place(|place| copier.disk().list(place))?;
        for (name, _) in names.iter().filter(|(name, _)| also(name)) {
            let file = self.in_place(|place| copier.disk().open(&place.join(name), false))?;
            copy_whole(&file, &to.join(name), copier)?;
        }
        Ok(())
    }

    fn in_place<T>(&self, look: impl FnOnce(&Path) -> T) -> T {
        look(&self.log().keeping.place.read())
    }

    /// Does what needs the name of a segment's log file, wherever it is by now.
    fn by_name<T>(&self, segment: &Segment, look: impl FnOnce(&Path) -> T) -> T {
        self.in_place(|place| segment.by_name_in(place, look))
    }
}

fn copy_whole(file: &PlainFile, to: &Path, copier: &mut Copier<'_>) -> Result<()> {
    let length = file.len()?;
    copier.copy(file, length, to)
}
