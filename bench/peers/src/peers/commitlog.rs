//! `commitlog`: segments with an index, written by `write` and read by `pread`, with CRC-32C. Never synced.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{KEY_BYTES, Sample, Samples};
use crate::{Failure, Result};

const MESSAGE_BYTES: usize = 8 << 20;
const READ_BYTES: usize = 256 << 10;

#[derive(Clone)]
pub(crate) struct Commitlog {
    /// An append needs the log alone: a program that reads meanwhile has a lock around it.
    log: Arc<RwLock<CommitLog>>,
    /// The next offset. Without it each poll of a reader would be a system call.
    end: Arc<AtomicU64>,
}

pub(crate) struct Appending {
    to: Commitlog,
    batch: MessageBuf,
}

pub(crate) struct Reading {
    from: Commitlog,
    next: u64,
}

impl Peer for Commitlog {
    type Writer = Appending;
    type Reader = Reading;

    fn open(directory: &Path, _: Setup) -> Result<Self> {
        let mut options = LogOptions::new(directory.join("log"));
        options.message_max_bytes(MESSAGE_BYTES);
        let log = CommitLog::new(options)?;
        let end = log.next_offset();
        Ok(Self { log: Arc::new(RwLock::new(log)), end: Arc::new(AtomicU64::new(end)) })
    }

    fn writer(&self, _: usize) -> Result<Appending> {
        Ok(Appending { to: self.clone(), batch: MessageBuf::default() })
    }

    fn reader(&self, _: bool) -> Result<Reading> {
        Ok(Reading { from: self.clone(), next: 0 })
    }

    fn close(self) -> Result<()> {
        Ok(self.log.write().expect("no poison").flush()?)
    }
}

impl Writer for Appending {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        let offset = self.to.log.write().expect("no poison").append_msg(sample.key_and_value)?;
        self.to.end.store(offset + 1, Ordering::Release);
        Ok(())
    }

    fn append_batch(&mut self, samples: Samples<'_>) -> Result<()> {
        self.batch.clear();
        for sample in samples.iter() {
            self.batch.push(sample.key_and_value).map_err(|refused| format!("{refused:?}"))?;
        }
        let offsets = self.to.log.write().expect("no poison").append(&mut self.batch)?;
        self.to.end.store(offsets.first() + offsets.len() as u64, Ordering::Release);
        Ok(())
    }
}

impl Reader for Reading {
    fn poll(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<usize> {
        if self.next >= self.from.end.load(Ordering::Acquire) {
            return Ok(0);
        }
        let limit = ReadLimit::max_bytes(READ_BYTES);
        let log = self.from.log.read().expect("no poison");
        let messages = log.read(self.next, limit).map_err(|failure| Failure::from(format!("{failure:?}")))?;
        drop(log);
        let mut count = 0;
        for message in messages.iter() {
            let (key, value) = message.payload().split_at(KEY_BYTES);
            each(key, value);
            count += 1;
        }
        self.next += count as u64;
        Ok(count)
    }
}
