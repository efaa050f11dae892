//! `yaque`: a queue in segment files of 4 MB without checksums of contents. Reading a live one deletes what was read. Never synced.

use std::path::{Path, PathBuf};

use yaque::queue::QueueIter;
use yaque::{Receiver, Sender, TryRecvError};

use crate::Result;
use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{KEY_BYTES, Sample, Samples};

const MAX_POLL_RECORDS: usize = 1024;

pub(crate) struct Yaque(PathBuf);

pub(crate) enum Reading {
    Live(Receiver),
    Scan(QueueIter),
}

impl Peer for Yaque {
    type Writer = Sender;
    type Reader = Reading;

    fn open(directory: &Path, _: Setup) -> Result<Self> {
        let queue = directory.join("queue");
        // Makes it, or finds its end.
        drop(Sender::open(&queue)?);
        Ok(Self(queue))
    }

    fn writer(&self, _: usize) -> Result<Sender> {
        Ok(Sender::open(&self.0)?)
    }

    fn reader(&self, is_live: bool) -> Result<Reading> {
        Ok(if is_live {
            Reading::Live(Receiver::open(&self.0)?)
        } else {
            Reading::Scan(QueueIter::open(&self.0)?)
        })
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Writer for Sender {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        self.try_send(sample.key_and_value).map_err(|failure| format!("{failure:?}").into())
    }

    fn append_batch(&mut self, samples: Samples<'_>) -> Result<()> {
        let sent = self.try_send_batch(samples.iter().map(|sample| sample.key_and_value));
        sent.map_err(|_| "the batch was not sent".into())
    }
}

impl Reader for Reading {
    fn poll(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<usize> {
        let mut see = |record: &[u8]| {
            let (key, value) = record.split_at(KEY_BYTES);
            each(key, value);
        };
        match self {
            Self::Live(receiver) => match receiver.try_recv_batch_up_to(MAX_POLL_RECORDS) {
                Ok(records) => {
                    let count = records.len();
                    records.iter().for_each(|record| see(record));
                    records.commit()?;
                    Ok(count)
                }
                Err(TryRecvError::QueueEmpty) => Ok(0),
                Err(failure) => Err(format!("{failure:?}").into()),
            },
            Self::Scan(records) => {
                let mut count = 0;
                for record in records.take(MAX_POLL_RECORDS) {
                    see(&record?);
                    count += 1;
                }
                Ok(count)
            }
        }
    }
}
