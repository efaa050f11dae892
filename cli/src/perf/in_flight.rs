//! Records that were sent and are not acknowledged yet, each with when it was sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use stratalog::{Durability, Partition, Topic};

/// What was sent to the partitions of a topic by this process, which is the only one that writes there.
#[derive(Debug)]
pub(super) struct InFlight {
    partitions: Vec<Sent>,
    records: usize,
    /// Whether a record is acknowledged when it is on disk, not when it is in the log.
    synced: bool,
    /// Where records go, and how many bytes went there since the last change.
    current: usize,
    bytes: usize,
    batch_bytes: usize,
}

#[derive(Debug)]
struct Sent {
    partition: Partition,
    /// The offset that the first of these gets.
    first: u64,
    at: VecDeque<Instant>,
}

/// As Kafka's client counts a record without key and headers, about.
const RECORD_OVERHEAD: usize = 7;

impl InFlight {
    pub(super) fn new(topic: &Topic, durability: Durability, batch_bytes: usize) -> stratalog::Result<Self> {
        let mut partitions = Vec::new();
        for partition in topic.partitions() {
            let first = partition.offsets()?.log_end;
            partitions.push(Sent { partition, first, at: VecDeque::new() });
        }
        let synced = matches!(durability, Durability::Synced);
        Ok(Self { partitions, records: 0, synced, current: 0, bytes: 0, batch_bytes })
    }

    /// The partition of the next record: one after the other, a batch full of bytes each, as a producer does that has no
    /// keys to go by.
    #[inline]
    pub(super) fn next_partition(&mut self, bytes: usize) -> u32 {
        if self.bytes >= self.batch_bytes {
            self.bytes = 0;
            self.current = (self.current + 1) % self.partitions.len().max(1);
        }
        self.bytes += bytes + RECORD_OVERHEAD;
        u32::try_from(self.current).unwrap_or_default()
    }

    /// Takes down a record that was sent to the partition that was named last.
    #[inline]
    pub(super) fn sent(&mut self, at: Instant) {
        if let Some(to) = self.partitions.get_mut(self.current) {
            to.at.push_back(at);
            self.records += 1;
        }
    }

    pub(super) fn is_any(&self) -> bool {
        self.records > 0
    }

    /// Whether there may be acknowledgements to take down, if so many records are not in the log yet.
    #[inline]
    pub(super) fn may_be_less(&self, pending: usize) -> bool {
        if self.synced { self.records > 0 } else { self.records > pending }
    }

    /// Takes down what is acknowledged by now, and says how long each took.
    pub(super) fn acknowledged(
        &mut self,
        now: Instant,
        mut took: impl FnMut(Duration),
    ) -> stratalog::Result<()> {
        for sent in self.partitions.iter_mut().filter(|sent| !sent.at.is_empty()) {
            let offsets = sent.partition.offsets()?;
            let end = if self.synced { offsets.durable } else { offsets.log_end };
            let count = usize::try_from(end.saturating_sub(sent.first)).unwrap_or(usize::MAX);
            for at in sent.at.drain(..count.min(sent.at.len())) {
                took(now.saturating_duration_since(at));
                sent.first += 1;
                self.records -= 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stratalog::{EventLog, Record, TopicConfig};

    use super::*;

    #[test]
    fn a_record_is_in_flight_until_it_is_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path().join("log")).unwrap();
        let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
        let config = stratalog::ProducerConfig::new().linger(Duration::MAX);
        let mut producer = log.producer_with(config).unwrap().buffered();
        let mut flying = InFlight::new(&topic, Durability::Buffered, 1).unwrap();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        for n in 0..4 {
            let partition = flying.next_partition(1);
            assert_eq!(partition, u32::try_from(n % 2).unwrap());
            producer.enqueue(&topic, Record::new("x").partition(partition)).unwrap();
            flying.sent(at(n));
        }
        let mut took = Vec::new();
        assert!(!flying.may_be_less(producer.pending()));
        flying.acknowledged(at(9), |span| took.push(span.as_secs())).unwrap();
        assert!(took.is_empty(), "nothing is in the log");
        producer.flush().unwrap();
        assert!(flying.may_be_less(producer.pending()));
        flying.acknowledged(at(10), |span| took.push(span.as_secs())).unwrap();
        took.sort_unstable();
        assert_eq!(took, [7, 8, 9, 10], "each from its own sending on");
        assert!(!flying.may_be_less(producer.pending()));
        flying.acknowledged(at(11), |_| panic!("one is acknowledged twice")).unwrap();
    }
}
