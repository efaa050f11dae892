//! Offsets that a log leaves out, as a copy of another log must: compactions have taken records out there, or it begins
//! somewhere else.

use std::sync::Arc;

use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::batch::BatchBuilder;
use crate::partition::{AppendAt, AppendRequest, Appender, Leader};
use crate::segment::MAX_OFFSETS;

/// A batch without records covers no more offsets than this: whatever else is in its segment, it has room there.
const MAX_GAP: u64 = MAX_OFFSETS / 2;

impl Leader {
    /// Whether so many offsets may be left out.
    #[cold]
    pub(super) fn check_gap(&self, appender: &Appender, base: u64, offsets: u32) -> Result<()> {
        // The first segment begins at the batch itself.
        if !matches!(appender, Appender::Active { .. }) {
            return Ok(());
        }
        let gap = base.saturating_sub(appender.next_offset());
        if gap.saturating_add(u64::from(offsets)) < MAX_OFFSETS {
            return Ok(());
        }
        let reason = format!(
            "{base} lies {gap} past the end of {}, but a segment holds fewer than 2³¹ offsets: advance the log end first",
            self.id
        );
        Err(Error::invalid("record offset", reason))
    }

    /// Has the log end at `offset`. A partition that never had records begins there.
    pub(crate) fn advance_log_end(self: &Arc<Self>, offset: u64, level: Durability) -> Result<()> {
        if self.begin_at(offset)? {
            return Ok(());
        }
        let mut builder = BatchBuilder::default();
        loop {
            let end = self.bounds()?.log_end;
            let left = match offset.checked_sub(end) {
                None => return Err(Error::Conflict { expected: offset, actual: end }),
                Some(0) => return Ok(()),
                Some(left) => u32::try_from(left.min(MAX_GAP)).unwrap_or(u32::MAX),
            };
            let Some(mut gap) = builder.finish_gap(left) else { return Ok(()) };
            self.append(AppendRequest::new(&mut gap, AppendAt::Exactly(end), level))?;
        }
    }

    /// Begins the first segment. `false`: there is one.
    fn begin_at(self: &Arc<Self>, offset: u64) -> Result<bool> {
        let mut appender = self.writer.appender();
        if !matches!(&*appender, Appender::Active { .. }) {
            self.prepare(&mut appender)?;
        }
        let next_offset = appender.next_offset();
        if !matches!(&*appender, Appender::Idle { .. }) {
            return Ok(false);
        }
        if offset < next_offset {
            return Err(Error::Conflict { expected: offset, actual: next_offset });
        }
        self.roll(&mut appender, 0, offset)?;
        Ok(true)
    }
}
