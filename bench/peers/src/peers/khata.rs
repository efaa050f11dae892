//! `khata-rs`: a mapped sparse file of a size that is given beforehand, and an error when it is full. No checksums by default.

use std::path::Path;

use khata_rs::{Queue, Reader as KhataReader, Writer as KhataWriter};

use crate::Result;
use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{KEY_BYTES, Sample};

const FILE_BYTES: usize = 4 << 30;
const MAX_POLL_RECORDS: usize = 1024;

/// Writers and readers borrow the queue: it stays until the process ends, which has one piece to do.
pub(crate) struct Khata(&'static Queue);

impl Peer for Khata {
    type Writer = KhataWriter<'static>;
    type Reader = KhataReader<'static>;

    fn open(directory: &Path, _: Setup) -> Result<Self> {
        let directory = directory.join("queue");
        let is_there = directory.exists();
        let queue: &'static Queue =
            Box::leak(Box::new(Queue::new(directory).block_size(FILE_BYTES).build()?));
        if is_there {
            // It does not understand the name of its own file, so readers find records only after a writer has opened it.
            std::mem::forget(queue.writer()?);
        }
        Ok(Self(queue))
    }

    fn writer(&self, _: usize) -> Result<Self::Writer> {
        Ok(self.0.writer()?)
    }

    fn reader(&self, _: bool) -> Result<Self::Reader> {
        Ok(self.0.reader()?)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Writer for KhataWriter<'static> {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        self.write(sample.key_and_value)?;
        Ok(())
    }
}

impl Reader for KhataReader<'static> {
    fn poll(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<usize> {
        for count in 0..MAX_POLL_RECORDS {
            let Some(record) = self.read()? else { return Ok(count) };
            let (key, value) = record.split_at(KEY_BYTES);
            each(key, value);
        }
        Ok(MAX_POLL_RECORDS)
    }
}
