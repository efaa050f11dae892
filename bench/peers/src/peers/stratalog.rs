//! The library itself, by its public face and with its defaults. Checksums are written and checked.

use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use stratalog::{
    BufferedProducer, Consumer, ConsumerConfig, Durability, EventLog, Partition, Producer, Record, Topic,
    TopicConfig, WaitStrategy,
};

use crate::Result;
use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{Sample, Samples};

/// In which way many records are written.
pub(crate) trait Way: Send + Sync {
    const IS_BUFFERED: bool;
}

/// `BufferedProducer::enqueue`: batches as the library makes them.
pub(crate) struct Enqueue;
/// `Producer::send_batch`: batches as the caller makes them.
pub(crate) struct SendBatch;

impl Way for Enqueue {
    const IS_BUFFERED: bool = true;
}

impl Way for SendBatch {
    const IS_BUFFERED: bool = false;
}

pub(crate) struct Stratalog<W> {
    log: EventLog,
    topic: Topic,
    durability: Durability,
    way: PhantomData<W>,
}

pub(crate) struct Producing<W> {
    topic: Topic,
    partition: Partition,
    producer: Producer,
    buffered: BufferedProducer,
    way: PhantomData<W>,
}

impl<W: Way> Peer for Stratalog<W> {
    type Writer = Producing<W>;
    type Reader = Consumer;

    fn open(directory: &Path, setup: Setup) -> Result<Self> {
        let log = EventLog::open(directory.join("log"))?;
        let topic = log.ensure_topic("records", TopicConfig::new())?;
        let durability = if setup.is_durable { Durability::Synced } else { Durability::Buffered };
        Ok(Self { log, topic, durability, way: PhantomData })
    }

    fn writer(&self, _: usize) -> Result<Producing<W>> {
        let producer = self.log.producer()?.with_durability(self.durability);
        let buffered = producer.buffered();
        let (topic, partition) = (self.topic.clone(), self.topic.partition(0)?);
        Ok(Producing { topic, partition, producer, buffered, way: PhantomData })
    }

    fn reader(&self, _: bool) -> Result<Consumer> {
        let mut consumer = self.log.consumer_with(ConsumerConfig::new().wait(WaitStrategy::Spin))?;
        consumer.assign(self.topic.partitions())?;
        Ok(consumer)
    }

    fn close(self) -> Result<()> {
        Ok(self.log.close()?)
    }

    fn batch(value_bytes: usize) -> usize {
        if value_bytes > 256 { 256 } else { 1024 }
    }
}

fn record(sample: Sample<'_>) -> Record<'_> {
    Record::of(Some(sample.key()), Some(sample.value()))
}

impl<W: Way> Writer for Producing<W> {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        self.producer.send(&self.topic, record(sample))?;
        Ok(())
    }

    fn append_batch(&mut self, samples: Samples<'_>) -> Result<()> {
        if W::IS_BUFFERED {
            for sample in samples.iter() {
                self.buffered.enqueue(&self.topic, record(sample))?;
            }
        } else {
            self.producer.send_batch(&self.partition, samples.iter().map(record))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.buffered.flush()?)
    }
}

impl Reader for Consumer {
    fn poll(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<usize> {
        let records = Consumer::poll(self, Duration::ZERO)?;
        for record in &records {
            each(record.key().unwrap_or_default(), record.value().unwrap_or_default());
        }
        Ok(records.len())
    }
}
