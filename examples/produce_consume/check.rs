//! What a record of the pipeline holds, and the bookkeeping that proves that all of them arrived.

use std::time::Duration;

use crc32c::{crc32c, crc32c_append};
use stratalog::RecordView;

use crate::Result;
use crate::pipeline::Throughput;

const VALUE_BYTES: usize = 100;
const CHECKSUM_BYTES: usize = 4;

/// One event: the key names it, the value is a checksum of key and payload, and the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) producer: u32,
    /// Counted from 0 by each producer.
    pub(crate) number: u64,
}

impl Event {
    /// How many of all records one producer sends.
    pub(crate) fn share(producer: u32, producers: u32, records: u64) -> u64 {
        let (each, rest) = (records / u64::from(producers), records % u64::from(producers));
        each + u64::from(u64::from(producer) < rest)
    }

    pub(crate) fn key(self) -> [u8; 12] {
        let mut key = [0; 12];
        key[..4].copy_from_slice(&self.producer.to_be_bytes());
        key[4..].copy_from_slice(&self.number.to_be_bytes());
        key
    }

    pub(crate) fn value(self) -> [u8; VALUE_BYTES] {
        let mut value = [0; VALUE_BYTES];
        let (checksum, payload) = value.split_at_mut(CHECKSUM_BYTES);
        let mut word = self.number ^ (u64::from(self.producer) << 32);
        for eight in payload.chunks_exact_mut(8) {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            eight.copy_from_slice(&word.to_be_bytes());
        }
        checksum.copy_from_slice(&Self::checksum(&self.key(), payload));
        value
    }

    /// The event a record holds, if the record is whole.
    fn of(record: RecordView<'_>) -> Option<Self> {
        let key = record.key()?;
        let (producer, number) = key.split_first_chunk()?;
        let (checksum, payload) = record.value()?.split_at_checked(CHECKSUM_BYTES)?;
        if checksum != Self::checksum(key, payload) || payload.len() != VALUE_BYTES - CHECKSUM_BYTES {
            return None;
        }
        Some(Self {
            producer: u32::from_be_bytes(*producer),
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }

    fn checksum(key: &[u8], payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
        crc32c_append(crc32c(key), payload).to_be_bytes()
    }
}

/// What one or more consumers have seen.
pub(crate) struct Tally {
    producers: Vec<Seen>,
    records: u64,
    bytes: u64,
}

/// What was seen of one producer's events.
struct Seen {
    /// How many events there are to be seen.
    expected: u64,
    /// One bit for each.
    numbers: Vec<u64>,
    /// The least number that may come next, by partition.
    next: Vec<u64>,
}

impl Tally {
    pub(crate) fn new(producers: u32, partitions: u32, records: u64) -> Self {
        let nothing = |expected: u64| Seen {
            expected,
            numbers: vec![0; usize::try_from(expected.div_ceil(64)).expect("fits memory")],
            next: vec![0; partitions as usize],
        };
        let producers = (0..producers).map(|one| nothing(Event::share(one, producers, records))).collect();
        Self { producers, records: 0, bytes: 0 }
    }

    /// Counts a record, after checking all that can be said about it alone.
    pub(crate) fn add(&mut self, record: RecordView<'_>) -> Result<()> {
        let event = Event::of(record).ok_or_else(|| format!("{record:?} is damaged"))?;
        let seen =
            self.producers.get_mut(event.producer as usize).filter(|seen| event.number < seen.expected);
        let seen = seen.ok_or_else(|| format!("{record:?} holds {event:?}, which was not sent"))?;
        let next = &mut seen.next[record.partition() as usize];
        if event.number < *next {
            return Err(format!("{record:?} holds {event:?}, but number {} came before it", *next - 1).into());
        }
        *next = event.number + 1;
        let (word, bit) = place(event.number);
        if seen.numbers[word] & bit != 0 {
            return Err(format!("{record:?} holds {event:?}, which is in another partition, too").into());
        }
        seen.numbers[word] |= bit;
        self.records += 1;
        self.bytes += (record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len)) as u64;
        Ok(())
    }

    /// Adds what a consumer of other partitions has seen.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        for (producer, (seen, others)) in self.producers.iter_mut().zip(&other.producers).enumerate() {
            for (mine, theirs) in seen.numbers.iter_mut().zip(&others.numbers) {
                if *mine & theirs != 0 {
                    return Err(
                        format!("two consumers were given the same event of producer {producer}").into()
                    );
                }
                *mine |= theirs;
            }
        }
        self.records += other.records;
        self.bytes += other.bytes;
        Ok(())
    }

    /// Checks that nothing is missing.
    pub(crate) fn complete(&self) -> Result<()> {
        for (producer, seen) in self.producers.iter().enumerate() {
            let missing = (0..seen.expected).find(|number| {
                let (word, bit) = place(*number);
                seen.numbers[word] & bit == 0
            });
            if let Some(number) = missing {
                return Err(format!("event {number} of producer {producer} never came").into());
            }
        }
        Ok(())
    }

    pub(crate) fn within(&self, time: Duration) -> Throughput {
        Throughput { records: self.records, bytes: self.bytes, time }
    }
}

/// Where the bit for a number is.
fn place(number: u64) -> (usize, u64) {
    (usize::try_from(number / 64).expect("fits memory"), 1 << (number % 64))
}
