//! `crossbeam-channel`: bounded, with an allocation for each message, as its users do. Stores nothing.

use std::path::Path;

use crossbeam_channel::{Receiver, Sender};

use crate::Result;
use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{KEY_BYTES, Sample};

const CAPACITY: usize = 4096;
const MAX_POLL_RECORDS: usize = 1024;

pub(crate) struct Crossbeam(Sender<Vec<u8>>, Receiver<Vec<u8>>);

impl Peer for Crossbeam {
    const STORES: bool = false;

    type Writer = Sender<Vec<u8>>;
    type Reader = Receiver<Vec<u8>>;

    fn open(_: &Path, _: Setup) -> Result<Self> {
        let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
        Ok(Self(sender, receiver))
    }

    fn writer(&self, _: usize) -> Result<Self::Writer> {
        Ok(self.0.clone())
    }

    fn reader(&self, _: bool) -> Result<Self::Reader> {
        Ok(self.1.clone())
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Writer for Sender<Vec<u8>> {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        Ok(self.send(sample.key_and_value.to_vec())?)
    }
}

impl Reader for Receiver<Vec<u8>> {
    fn poll(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<usize> {
        let mut count = 0;
        for message in self.try_iter().take(MAX_POLL_RECORDS) {
            let (key, value) = message.split_at(KEY_BYTES);
            each(key, value);
            count += 1;
        }
        Ok(count)
    }
}
