//! Appending: a batch after the last one, into a new segment where the present one has no room.
//!
//! The order: bytes, index, end, fence, look for sleepers. At a roll the list gets the new segment before the old one is
//! sealed, so a reader that finds a sealed segment finds the next one in the list.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::Durability;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::format::batch::FinishedBatch;
use crate::partition::tailing::live_file::LiveSlot;
use crate::partition::writer::backpressure::waits_here;
use crate::partition::{Appender, Leader};
use crate::segment::{BatchesEnd, IndexEntries, MAX_OFFSET, MAX_OFFSETS, SegmentWriter};
use crate::sys::{self, PutFailure};

/// A finished batch, and how it is to be appended.
#[derive(Debug)]
pub(crate) struct AppendRequest<'r, 'b> {
    pub(crate) batch: &'r mut FinishedBatch<'b>,
    pub(crate) place: AppendAt,
    /// What is promised beyond that the batch is in the log. [`Durability::Synced`] is not waited for: the caller continues to
    /// [`await_durable`](Leader::await_durable).
    pub(crate) durability: Durability,
    /// The batch must not be split, so it is taken however small the topic wants its batches.
    pub(crate) indivisible: bool,
}

/// Where a batch is to go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AppendAt {
    /// Wherever the log ends.
    End,
    /// Where the log ends, and no record may lie here or after it: the ends of transactions may.
    Exactly(u64),
    /// Here, at the log end offset or after it; the offsets in between stay out of the log. A partition that never had
    /// records begins here.
    AtOrAfter(u64),
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: u64,
    /// Offset after the batch.
    pub(crate) next_offset: u64,
}

/// What is known of an append when the appender is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Put<'l> {
    /// Offset after the batch.
    end: u64,
    /// So much was appended since the last sync that one is due.
    long: bool,
    live: Option<&'l LiveSlot>,
}

impl Put<'_> {
    pub(super) fn end(&self) -> u64 {
        self.end
    }
}

impl<'r, 'b> AppendRequest<'r, 'b> {
    pub(crate) fn new(batch: &'r mut FinishedBatch<'b>, place: AppendAt, durability: Durability) -> Self {
        Self { batch, place, durability, indivisible: false }
    }
}

impl Leader {
    /// Appends one finished batch, with the leader epoch of this partition.
    #[inline]
    pub(crate) fn append(self: &Arc<Self>, request: AppendRequest<'_, '_>) -> Result<Appended> {
        if !request.indivisible {
            self.check_size(request.batch)?;
        }
        let AppendRequest { batch, place, durability, .. } = request;
        self.append_checked(batch, place, durability)
    }

    #[inline]
    fn check_size(&self, batch: &FinishedBatch<'_>) -> Result<()> {
        let (bytes, limit) = (batch.len() as u64, u64::from(self.max_batch_bytes()));
        if bytes > limit { Err(Error::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// A function of its own, and the request is taken apart before it, so that what is asked for is passed in registers.
    fn append_checked(
        self: &Arc<Self>,
        batch: &mut FinishedBatch<'_>,
        place: AppendAt,
        durability: Durability,
    ) -> Result<Appended> {
        let mut appender = self.writer.appender();
        let was_idle = !matches!(&*appender, Appender::Active { .. });
        if was_idle {
            self.prepare(&mut appender)?;
        }
        let base_offset = self.base_for(&appender, place, batch.offsets())?;
        self.make_room(&mut appender, batch, base_offset)?;
        if matches!(durability, Durability::Synced) {
            self.prepare_first_sync()?;
        }
        let put = self.put(&mut appender, batch, base_offset, durability)?;
        drop(appender);
        let next_offset = put.end;
        self.follow_up(put, was_idle, durability)?;
        Ok(Appended { base_offset, next_offset })
    }

    /// Refuses unless a batch could go where no record may lie, nor after it.
    pub(crate) fn check_end(self: &Arc<Self>, at: u64) -> Result<()> {
        self.load()?;
        let appender = self.writer.appender();
        if matches!(&*appender, Appender::Poisoned) {
            return self.writer.refuse_failed();
        }
        self.base_for(&appender, AppendAt::Exactly(at), 0).map(drop)
    }

    /// Where a batch of so many offsets begins that is to go to this place.
    #[inline(always)]
    pub(super) fn base_for(&self, appender: &Appender, place: AppendAt, offsets: u32) -> Result<u64> {
        match place {
            AppendAt::End => Ok(appender.next_offset()),
            _ => self.base_at(appender, place, offsets),
        }
    }

    fn base_at(&self, appender: &Appender, place: AppendAt, offsets: u32) -> Result<u64> {
        let next_offset = appender.next_offset();
        match place {
            AppendAt::End => Ok(next_offset),
            AppendAt::Exactly(base) | AppendAt::AtOrAfter(base) if base == next_offset => Ok(base),
            AppendAt::AtOrAfter(base) if base > next_offset => {
                self.check_gap(appender, base, offsets)?;
                Ok(base)
            }
            AppendAt::Exactly(base) if self.has_only_markers(base, next_offset)? => Ok(next_offset),
            AppendAt::Exactly(expected) | AppendAt::AtOrAfter(expected) => {
                Err(Error::Conflict { expected, actual: next_offset })
            }
        }
    }

    /// Puts a batch into the segment, which has room for it, and publishes it.
    #[inline(always)]
    pub(super) fn put(
        self: &Arc<Self>,
        appender: &mut Appender,
        batch: &mut FinishedBatch<'_>,
        base_offset: u64,
        durability: Durability,
    ) -> Result<Put<'_>> {
        let Appender::Active { writer, epoch } = &mut *appender else { return Err(Error::Closed) };
        let bytes = batch.len();
        // A store through the map would make the sync that follows write far more than the batch.
        let positioned = matches!(durability, Durability::Synced);
        if batch.is_of_producer() {
            self.announce(batch, base_offset);
        }
        let taken = match writer.append(batch, base_offset, *epoch, positioned) {
            Ok(taken) => taken,
            Err(PutFailure::NothingWritten(failure)) => {
                if batch.is_of_producer() {
                    self.retract();
                }
                return Err(failure);
            }
            Err(PutFailure::Unknown(failure)) => return Err(self.poison(appender, &failure)),
        };
        if batch.is_of_producer() {
            self.note_appended(batch, positioned);
        }
        if taken.wants_growth {
            let (growth, tail) = writer.growth();
            self.context.preallocate(growth, tail);
        }
        let live = self.writer.live_slot();
        if let Some(live) = live {
            live.publish(writer.segment().end_word());
        }
        self.writer.counters.appended(batch.records(), bytes);
        self.writer.used.store(true, Ordering::Relaxed);
        let position = writer.position();
        let put = Put { long: self.writer.has_long_tail(), end: writer.next_offset(), live };
        self.ask_for_next(position - bytes as u64, position);
        Ok(put)
    }

    /// What follows an append once the appender is free: readers are woken, and what was promised is asked for.
    #[inline(always)]
    pub(super) fn follow_up(
        self: &Arc<Self>,
        put: Put<'_>,
        was_idle: bool,
        durability: Durability,
    ) -> Result<()> {
        let Put { end, long, live } = put;
        self.sleepers.wake_all();
        if let Some(live) = live {
            live.wake();
        }
        self.ask_for_sync(durability);
        if was_idle {
            self.limit_open_files();
        }
        if long {
            self.sync_long_tail();
            self.wait_while_unsynced_exceeds_limit();
        }
        if self.wants_flush(end) && !matches!(durability, Durability::Synced) {
            if waits_here() {
                self.flush_to(end)?;
            } else {
                self.sync_long_tail();
            }
        }
        Ok(())
    }

    /// Sees to it that the last segment takes the batch, which is to begin at this offset.
    #[inline]
    pub(in crate::partition) fn make_room(
        self: &Arc<Self>,
        appender: &mut Appender,
        batch: &FinishedBatch<'_>,
        base_offset: u64,
    ) -> Result<()> {
        let (bytes, limit) = (batch.len(), self.settings.segment_bytes());
        match &*appender {
            Appender::Active { writer, .. }
                if writer.has_room(bytes, base_offset, batch.offsets(), limit)
                    && !writer.is_too_old_for(batch.max_timestamp(), self.settings.segment_ms()) =>
            {
                Ok(())
            }
            _ => self.roll(appender, bytes, base_offset),
        }
    }

    /// Brings the appender to a state in which a batch can be taken, short of making a segment.
    #[cold]
    pub(in crate::partition) fn prepare(self: &Arc<Self>, appender: &mut Appender) -> Result<()> {
        if matches!(appender, Appender::Unloaded) {
            self.load_into(appender)?;
        }
        match appender {
            Appender::Unloaded | Appender::Active { .. } | Appender::Idle { last: None, .. } => Ok(()),
            Appender::Poisoned => self.writer.refuse_failed(),
            Appender::Ended => Err(self.end_error()),
            Appender::Idle { next_offset, epoch, last: Some(last) } => {
                let (epoch, next_offset) = (*epoch, *next_offset);
                self.begin_epoch(epoch, next_offset)?;
                let found = BatchesEnd { position: last.position, next_offset };
                let writer = self.reopen(last.base, found, None)?;
                self.replace_view(|view| view.with(writer.segment()));
                self.expect_long_tail(self.writer.counters.appended_bytes());
                self.writer.expect_roll_at(self.settings.segment_bytes(), writer.position());
                self.show(&writer);
                *appender = Appender::Active { writer: Box::new(writer), epoch };
                self.enter_open_files();
                Ok(())
            }
        }
    }

    /// Begins a new segment at the log end, for a batch of so many bytes. The list gets it before the old one is
    /// sealed. The first segment of a partition begins at `first_offset`, and with it the log.
    #[cold]
    pub(in crate::partition) fn roll(
        self: &Arc<Self>,
        appender: &mut Appender,
        bytes: usize,
        first_offset: u64,
    ) -> Result<()> {
        let settings = self.settings.all();
        // Segments may have become smaller since the batch was found small enough.
        let capacity = settings.segment_bytes.max(u32::try_from(bytes).unwrap_or(0));
        let interval = settings.index_interval_bytes;
        let first = matches!(appender, Appender::Idle { .. });
        // A gap is inside the segment that begins where the last one ends: between two it would look like a loss.
        let next_offset = if first { first_offset } else { appender.next_offset() };
        if next_offset > MAX_OFFSET - MAX_OFFSETS {
            return Err(Error::invalid("offset", format!("{} has used up its offsets", self.id)));
        }
        let jitter = settings.draw_jitter()?;
        if bytes as u64 > sys::file_size_limit() {
            // No segment takes it, and none is begun for it.
            return Err(Error::io("grow a file in", &self.directory, io::ErrorKind::FileTooLarge.into()));
        }
        let epoch = match appender {
            Appender::Active { writer, .. } if writer.position() == 0 => {
                return self.widen(appender, capacity);
            }
            Appender::Active { epoch, .. } => *epoch,
            Appender::Idle { epoch, .. } => {
                self.make_directory()?;
                self.begin_log(*epoch, next_offset)?;
                *epoch
            }
            _ => return Ok(()),
        };
        if !first {
            self.settle_beginning_at_roll(appender)?;
        }
        // Before there is a new segment, so that what is refused here can be asked for again.
        let directory = self.opened_directory()?;
        let mut writer = self.begin_segment(next_offset, capacity, interval)?;
        writer.set_jitter(jitter);
        if first {
            self.has_begun();
            self.context.retain();
        }
        self.replace_view(|view| {
            let view = view.with(writer.segment());
            if first { view.starting_at(next_offset) } else { view }
        });
        self.expect_long_tail(self.writer.counters.appended_bytes());
        self.writer.expect_roll_at(capacity, 0);
        self.show(&writer);
        let before = std::mem::replace(appender, Appender::Active { writer: Box::new(writer), epoch });
        if first {
            self.enter_open_files();
        }
        if let Appender::Active { writer, .. } = before {
            let partition = || self.id.clone();
            self.context
                .events
                .emit(|| Event::SegmentRolled { partition: partition(), base_offset: next_offset });
            let too_many = self.writer.queue_sealed(writer.seal(), directory, self.producers.present());
            if !self.context.finish_sealed(self) || too_many {
                // No thread does it, or not as fast as segments fill up.
                self.finish_at_roll(appender, too_many)?;
            }
        }
        Ok(())
    }

    /// The writer of a new segment. A prepared file that cannot be used is none.
    pub(super) fn begin_segment(&self, base: u64, capacity: u32, interval: u32) -> Result<SegmentWriter> {
        let create =
            |prepared| SegmentWriter::create(&self.disk, &self.directory, base, capacity, interval, prepared);
        self.writer.with_prepared(|prepared| match prepared {
            Some(file) => create(Some(file)).or_else(|_| create(None)),
            None => create(None),
        })
    }

    /// Makes room in a segment without records that was begun when segments were to be smaller. There is none after it
    /// to roll to: it would have the same name.
    pub(super) fn widen(&self, appender: &mut Appender, capacity: u32) -> Result<()> {
        if let Appender::Active { writer, .. } = appender {
            writer.growth().0.seal(0)?;
            let base = writer.segment().base();
            let interval = self.settings.all().index_interval_bytes;
            let found = BatchesEnd { position: 0, next_offset: base };
            let entries = Some(IndexEntries::default());
            let wider =
                SegmentWriter::reopen(&self.disk, &self.directory, base, found, capacity, interval, entries)?;
            self.replace_view(|view| view.with(wider.segment()));
            self.show(&wider);
            **writer = wider;
        }
        Ok(())
    }
}
