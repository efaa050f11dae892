//! `mrecordlog`: a log on disk with checksums, of which all is kept in memory too and read from there. Never synced.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mrecordlog::{MultiRecordLog, SyncPolicy};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{KEY_BYTES, Sample, Samples};

const QUEUE: &str = "records";
/// An error of the crate that is no `Error`.
const GONE: &str = "the queue is missing";
const MAX_POLL_RECORDS: u64 = 1024;

#[derive(Clone)]
pub(crate) struct Mrecordlog {
    /// An append needs the log alone.
    log: Arc<Mutex<MultiRecordLog>>,
    end: Arc<AtomicU64>,
    runtime: Arc<Runtime>,
}

pub(crate) struct Reading {
    from: Mrecordlog,
    next: u64,
}

impl Peer for Mrecordlog {
    type Writer = Self;
    type Reader = Reading;

    fn open(directory: &Path, _: Setup) -> Result<Self> {
        let directory = directory.join("log");
        std::fs::create_dir_all(&directory)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let policy = SyncPolicy::OnDelay(Duration::from_secs(3600));
        let log = runtime.block_on(async {
            let mut log = MultiRecordLog::open_with_prefs(&directory, policy).await?;
            if !log.queue_exists(QUEUE) {
                log.create_queue(QUEUE).await?;
            }
            Result::Ok(log)
        })?;
        let end = log.range(QUEUE, ..).map_err(|_| GONE)?.last().map_or(0, |(position, _)| position + 1);
        Ok(Self { log: Arc::new(Mutex::new(log)), end: Arc::new(end.into()), runtime: Arc::new(runtime) })
    }

    fn writer(&self, _: usize) -> Result<Self> {
        Ok(self.clone())
    }

    fn reader(&self, _: bool) -> Result<Reading> {
        Ok(Reading { from: self.clone(), next: 0 })
    }

    fn close(self) -> Result<()> {
        Ok(self.runtime.block_on(self.log.lock().expect("no poison").sync())?)
    }
}

impl Writer for Mrecordlog {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        let mut log = self.log.lock().expect("no poison");
        let last = self.runtime.block_on(log.append_record(QUEUE, None, sample.key_and_value))?;
        self.end.store(last.map_or(0, |last| last + 1), Ordering::Release);
        Ok(())
    }

    fn append_batch(&mut self, samples: Samples<'_>) -> Result<()> {
        let records = samples.iter().map(|sample| sample.key_and_value);
        let mut log = self.log.lock().expect("no poison");
        let last = self.runtime.block_on(log.append_records(QUEUE, None, records))?;
        self.end.store(last.map_or(0, |last| last + 1), Ordering::Release);
        Ok(())
    }
}

impl Reader for Reading {
    fn poll(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<usize> {
        let end = self.from.end.load(Ordering::Acquire).min(self.next + MAX_POLL_RECORDS);
        let begin = self.next;
        if begin < end {
            let log = self.from.log.lock().expect("no poison");
            for (position, record) in log.range(QUEUE, begin..end).map_err(|_| GONE)? {
                let (key, value) = record.split_at(KEY_BYTES);
                each(key, value);
                self.next = position + 1;
            }
        }
        Ok((self.next - begin) as usize)
    }
}
