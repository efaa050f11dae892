//! `raft-engine`: the log of `TiKV`, with an index in memory and a group commit. One region for each thread, without compression.

use std::path::Path;
use std::sync::Arc;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::Result;
use crate::peer::{Peer, Setup, Unread, Writer};
use crate::records::{Sample, word};

struct Entry;

impl MessageExt for Entry {
    type Entry = BytesValue;

    /// The key is the number of the record, and a region's first index is 1.
    fn index(entry: &BytesValue) -> u64 {
        word(&entry.value) + 1
    }
}

pub(crate) struct RaftEngine {
    engine: Arc<Engine>,
    is_durable: bool,
}

pub(crate) struct Appending {
    engine: Arc<Engine>,
    is_durable: bool,
    region: u64,
    batch: LogBatch,
    entry: [BytesValue; 1],
}

impl Peer for RaftEngine {
    type Writer = Appending;
    type Reader = Unread;

    fn open(directory: &Path, setup: Setup) -> Result<Self> {
        let config = Config {
            dir: directory.join("log").to_str().ok_or("a path in UTF-8")?.to_owned(),
            batch_compression_threshold: ReadableSize::kb(0),
            purge_threshold: ReadableSize::gb(60),
            ..Config::default()
        };
        Ok(Self { engine: Arc::new(Engine::open(config)?), is_durable: setup.is_durable })
    }

    fn writer(&self, thread: usize) -> Result<Appending> {
        Ok(Appending {
            engine: Arc::clone(&self.engine),
            is_durable: self.is_durable,
            region: thread as u64 + 1,
            batch: LogBatch::default(),
            entry: [BytesValue::default()],
        })
    }

    fn reader(&self, _: bool) -> Result<Unread> {
        Ok(Unread)
    }

    fn close(self) -> Result<()> {
        Ok(self.engine.sync()?)
    }
}

impl Writer for Appending {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        self.entry[0].value.clear();
        self.entry[0].value.extend_from_slice(sample.key_and_value);
        self.batch.add_entries::<Entry>(self.region, &self.entry)?;
        self.engine.write(&mut self.batch, self.is_durable)?;
        Ok(())
    }
}
