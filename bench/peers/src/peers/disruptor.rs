//! `disruptor`: a ring of slots of a fixed size, both sides spinning. Stores nothing.

use std::path::Path;
use std::sync::Mutex;

use disruptor::{
    BusySpin, EventPoller, Producer, SingleConsumerBarrier, SingleProducer, SingleProducerBarrier,
};

use crate::Result;
use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{KEY_BYTES, Sample, Samples};

const BATCH: usize = 256;

type Slot<const N: usize> = [u8; N];
type Publisher<const N: usize> = SingleProducer<Slot<N>, SingleConsumerBarrier>;
type Poller<const N: usize> = EventPoller<Slot<N>, SingleProducerBarrier>;

/// A ring for records of `N` bytes, of which writer and reader are taken once.
pub(crate) struct Disruptor<const N: usize> {
    publisher: Mutex<Option<Publisher<N>>>,
    poller: Mutex<Option<Poller<N>>>,
}

impl<const N: usize> Peer for Disruptor<N> {
    const STORES: bool = false;

    type Writer = Publisher<N>;
    type Reader = Poller<N>;

    fn open(_: &Path, setup: Setup) -> Result<Self> {
        assert_eq!(setup.value_bytes + KEY_BYTES, N);
        let slots = if N > 256 { 1024 } else { 4096 };
        let ring = disruptor::build_single_producer(slots, || [0; N], BusySpin);
        let (poller, ring) = ring.new_event_poller();
        Ok(Self { publisher: Mutex::new(Some(ring.build())), poller: Mutex::new(Some(poller)) })
    }

    fn writer(&self, _: usize) -> Result<Publisher<N>> {
        Ok(self.publisher.lock().expect("no poison").take().ok_or("one writer")?)
    }

    fn reader(&self, _: bool) -> Result<Poller<N>> {
        Ok(self.poller.lock().expect("no poison").take().ok_or("one reader")?)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }

    fn batch(_: usize) -> usize {
        BATCH
    }
}

impl<const N: usize> Writer for Publisher<N> {
    fn append(&mut self, sample: Sample<'_>) -> Result<()> {
        self.publish(|slot| slot.copy_from_slice(sample.key_and_value));
        Ok(())
    }

    fn append_batch(&mut self, samples: Samples<'_>) -> Result<()> {
        self.batch_publish(samples.len(), |slots| {
            for (slot, sample) in slots.zip(samples.iter()) {
                slot.copy_from_slice(sample.key_and_value);
            }
        });
        Ok(())
    }
}

impl<const N: usize> Reader for Poller<N> {
    fn poll(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<usize> {
        // An error says that nothing was published, or that the other side has ended after all was read.
        let Ok(mut slots) = self.take(BATCH as u64) else { return Ok(0) };
        let mut count = 0;
        for slot in &mut slots {
            let (key, value) = slot.split_at(KEY_BYTES);
            each(key, value);
            count += 1;
        }
        Ok(count)
    }
}
