//! Transactions in a partition that is followed: what a reader that wants committed records only must know of them.
//!
//! A log of our own knows of each transaction as it is appended. The batches of a tailed one are noted as they come, to know
//! which transactions are open; how they end is found out by
//! [`decisions`](crate::partition::transactions::ends). Nothing is written.

use crate::error::Result;
use crate::partition::Tailing;
use crate::partition::transactions::FoundProducers;
use crate::partition::transactions::producer_state::ProducerState;

/// What is known up to an offset.
#[derive(Debug)]
pub(in crate::partition) struct Decided {
    pub(in crate::partition) state: ProducerState,
    pub(in crate::partition) end_offset: u64,
}

impl Tailing {
    /// Goes through what was appended since. From here on the first unstable offset never lies after what was gone
    /// through: what is not known to be decided counts as open.
    pub(crate) fn refresh_transactions(&self) -> Result<()> {
        let mut decided = self.decided.lock();
        let segments = self.segments();
        let Some(end) = segments.last().map(|last| last.next_offset()) else { return Ok(()) };
        // A log that was cut is checked anew.
        let mut known = match decided.take().filter(|known| known.end_offset <= end) {
            Some(known) => known,
            None => self.decided_by_files(end)?,
        };
        let Decided { state, end_offset } = &mut known;
        for segment in segments.iter().filter(|segment| segment.next_offset() > *end_offset) {
            // After damage nothing is known of the segment; readers come to the damage themselves.
            self.replay(segment, *end_offset..end, state, &mut |_| ())?;
        }
        *end_offset = end;
        self.reading.stability.publish(Some(state.first_open().unwrap_or(end)));
        *decided = Some(known);
        Ok(())
    }

    /// What the newest snapshot says, where the batches bear it out; else it is to be found from the first batch on.
    fn decided_by_files(&self, end: u64) -> Result<Decided> {
        let start = self.log_start();
        let names = FoundProducers::among(&self.disk.list(&self.directory)?);
        let segments = self.segments();
        if segments.iter().all(|segment| names.is_indexed(segment))
            && let Some((end_offset, state)) = names.newest_snapshot_of(self, start, end)?
        {
            if self.bears_out(&names, Some(end_offset), &state, end_offset)? {
                return Ok(Decided { state, end_offset });
            }
            self.emit_snapshot(0, "other transactions are open than it says");
        }
        let end_offset = segments.iter().next().map_or(start, |first| first.base());
        Ok(Decided { state: ProducerState::default(), end_offset })
    }
}
