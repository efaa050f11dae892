//! What the workloads need of a peer. A peer is known at compile time: nothing between the loop and its calls is dynamic.

use std::path::Path;

use crate::records::{Sample, Samples};
use crate::{Failure, Result};

/// What a peer is opened for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) value_bytes: usize,
    /// Each record is on the disk before its append returns. Otherwise nothing is synced.
    pub(crate) is_durable: bool,
}

pub(crate) trait Peer: Sized + Send + Sync {
    /// In memory: a pipe may continue without filling the disk.
    const STORES: bool = true;

    type Writer: Writer;
    type Reader: Reader;

    /// Makes it in an empty directory, or opens what was closed there.
    fn open(directory: &Path, setup: Setup) -> Result<Self>;

    fn writer(&self, thread: usize) -> Result<Self::Writer>;

    /// From the first record on. `is_live`: records are written meanwhile.
    fn reader(&self, is_live: bool) -> Result<Self::Reader>;

    fn close(self) -> Result<()>;

    /// Records a call where it takes several.
    fn batch(value_bytes: usize) -> usize {
        if value_bytes > 256 { 512 } else { 1024 }
    }
}

pub(crate) trait Writer: Send {
    /// One record. It can be read, or is on the disk, when this returns.
    fn append(&mut self, sample: Sample<'_>) -> Result<()>;

    /// Many, in the way that is the peer's fastest.
    fn append_batch(&mut self, samples: Samples<'_>) -> Result<()> {
        samples.iter().try_for_each(|sample| self.append(sample))
    }

    /// Writes what `append_batch` still holds.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

pub(crate) trait Reader: Send {
    /// Calls with key and value of the records that are there, in their order, and says how many were.
    fn poll(&mut self, each: impl FnMut(&[u8], &[u8])) -> Result<usize>;
}

/// Of peers that are measured without being read.
#[derive(Debug)]
pub(crate) struct Unread;

impl Reader for Unread {
    fn poll(&mut self, _: impl FnMut(&[u8], &[u8])) -> Result<usize> {
        Err(Failure::from("this peer is not read"))
    }
}
