//! `okaywal`: a write-ahead log that syncs each commit, several at once where threads commit at once. Read at recovery only.

use std::path::Path;

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::Result;
use crate::peer::{Peer, Setup, Unread, Writer};
use crate::records::Sample;

const PREALLOCATED_BYTES: u32 = 256 << 20;
const BUFFER_BYTES: usize = 1 << 20;

/// The log is empty when it is opened, and is never so long that it would be checkpointed.
#[derive(Debug)]
struct NoCheckpoints;

impl LogManager for NoCheckpoints {
    fn recover(&mut self, _: &mut Entry<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) struct Okaywal(WriteAheadLog);

impl Peer for Okaywal {
    type Writer = WriteAheadLog;
    type Reader = Unread;

    fn open(directory: &Path, _: Setup) -> Result<Self> {
        let log = Configuration::default_for(directory.join("log"))
            .preallocate_bytes(PREALLOCATED_BYTES)
            .buffer_bytes(BUFFER_BYTES)
            .checkpoint_after_bytes(u64::MAX / 2)
            .open(NoCheckpoints)?;
        Ok(Self(log))
    }

    fn writer(&self, _: usize) -> Result<WriteAheadLog> {
        Ok(self.0.clone())
    }

    fn reader(&self, _: bool) -> Result<Unread> {
        Ok(Unread)
    }

    fn close(self) -> Result<()> {
        Ok(self.0.shutdown()?)
    }
}

impl Writer for WriteAheadLog {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        let mut entry = self.begin_entry()?;
        entry.write_chunk(sample.key_and_value)?;
        entry.commit()?;
        Ok(())
    }
}
