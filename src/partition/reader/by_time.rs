//! Looking up an offset by time: the first record that is not older, as Kafka has it. Timestamps need not ascend.

use std::sync::Arc;

use crate::error::{Damage, Result};
use crate::partition::reader::decompress::first_at;
use crate::partition::reader::fetch::Problem;
use crate::partition::view::LogView;
use crate::partition::{Cursor, PartitionLog};
use crate::segment::Segment;

impl Cursor {
    /// The offset of the first record at or after `from` with a timestamp of `at` or later.
    pub(crate) fn offset_for_time(log: &PartitionLog, at: i64, from: u64) -> Result<Option<u64>> {
        log.in_present_view(|view| Self::offset_for_time_in(log, view, at, from))
    }

    fn offset_for_time_in(log: &PartitionLog, view: &LogView, at: i64, from: u64) -> Result<Option<u64>> {
        let (segments, version) = (view.segments(), log.index_version());
        let mut next = segments.first_from(from);
        while let Some((number, segment)) = segments.first_reaching(next, at, version) {
            // Before the search: what is added after it was not searched.
            let is_whole = segment.end().sealed && from <= segment.base();
            match InSegment::search(log, segment, at, from)? {
                InSegment::At(offset) => return Ok(Some(offset)),
                InSegment::Nowhere if is_whole => segments.note_before(number, at, version),
                InSegment::Nowhere | InSegment::Unclear => {}
            }
            next = number + 1;
        }
        Ok(None)
    }
}

/// Where the first record of a segment is that has a timestamp of a lookup or a later one.
enum InSegment {
    At(u64),
    Nowhere,
    /// It could not be gone through to its end.
    Unclear,
}

impl InSegment {
    fn search(log: &PartitionLog, segment: &Arc<Segment>, at: i64, from: u64) -> Result<Self> {
        let view = segment.view_for_lookup()?;
        let found = view.position_of_time(at, from.max(segment.base()))?;
        log.rebuild_doubted(segment);
        let Some(mut position) = found else { return Ok(Self::Nowhere) };
        let end = segment.end().position;
        while position < end {
            let Some(batch) = view.batch_at(position)? else { return Ok(Self::Unclear) };
            match first_at(batch.as_ref(), at, from, log.max_decompressed_bytes()) {
                Ok(None) => position += batch.as_ref().len() as u64,
                Ok(Some(offset)) => return Ok(Self::At(offset)),
                Err(reason) => {
                    let damage = |reason| Box::new(Damage::new(segment.path(), position, reason));
                    return Err(Problem::Unreadable(reason).error(damage));
                }
            }
        }
        Ok(Self::Nowhere)
    }
}
