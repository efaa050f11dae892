//! The same facts as one JSON object per line. Names are those of Kafka's tool; keys and values are hex, unless they are
//! put into words.

use std::io::Write as _;
use std::path::Path;

use stratalog::inspect::{
    BatchView, InspectedRecord, OffsetIndexEntry, ProducerSnapshotEntry, TimeIndexEntry,
    TransactionIndexEntry, decode_control_record,
};

use super::Detail;
use super::text::{codec_word, time_word};
use super::words::Words;
use crate::lines::{push_hex, push_name, push_text};

/// Lines that were not printed yet.
#[derive(Debug, Default)]
pub(super) struct Json {
    pub(super) line: Vec<u8>,
}

impl Json {
    pub(super) fn begin(&mut self, path: &Path) {
        self.line.extend(b"{\"type\":\"file\",\"path\":");
        push_text(&path.to_string_lossy(), &mut self.line);
        if let Some(base) = stratalog::inspect::base_offset(path) {
            put!(self.line, ",\"baseOffset\":{base}");
        }
        self.line.extend(b"}\n");
    }

    pub(super) fn batch(&mut self, batch: &BatchView<'_>) {
        let last = batch.last_offset();
        self.line.extend(b"{\"type\":\"batch\",");
        if let (Some(base), Some(count)) = (batch.base_offset(), batch.record_count()) {
            put!(
                self.line,
                "\"baseOffset\":{base},\"lastOffset\":{last},\"count\":{count},\"baseSequence\":{},\
                 \"lastSequence\":{},\"producerId\":{},\"producerEpoch\":{},\"partitionLeaderEpoch\":{},\
                 \"isTransactional\":{},\"isControl\":{},\"deleteHorizonMs\":",
                batch.base_sequence(),
                batch.last_sequence(),
                batch.producer_id(),
                batch.producer_epoch(),
                batch.leader_epoch(),
                batch.is_transactional(),
                batch.is_control(),
            );
            match batch.delete_horizon() {
                Some(horizon) => put!(self.line, "{horizon}"),
                None => self.line.extend(b"null"),
            }
        } else {
            put!(self.line, "\"offset\":{last}");
        }
        put!(
            self.line,
            ",\"position\":{},\"timestampType\":\"{}\",\"maxTimestamp\":{},\"size\":{},\"magic\":{},\
             \"compresscodec\":\"{}\",\"crc\":{},\"isvalid\":{}}}\n",
            batch.position(),
            time_word(batch),
            batch.max_timestamp(),
            batch.bytes(),
            batch.magic(),
            codec_word(batch),
            batch.crc(),
            batch.is_valid(),
        );
    }

    pub(super) fn record(&mut self, batch: &BatchView<'_>, record: &InspectedRecord<'_>, detail: Detail) {
        put!(self.line, "{{\"type\":\"record\",\"offset\":{}", record.offset());
        if detail.facts {
            let size = |bytes: Option<&[u8]>| {
                bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
            };
            put!(
                self.line,
                ",\"timestamp\":{},\"timestampType\":\"{}\",\"keySize\":{},\"valueSize\":{},\"sequence\":{}",
                record.timestamp(),
                time_word(batch),
                size(record.key()),
                size(record.value()),
                record.sequence(),
            );
            if let Some(crc) = record.crc() {
                put!(self.line, ",\"crc\":{crc}");
            }
            self.line.extend(b",\"headers\":[");
            for (at, header) in record.headers().enumerate() {
                self.line.extend(if at == 0 { &b"["[..] } else { b",[" });
                push_name(header.name_bytes(), &mut self.line);
                self.line.push(b',');
                push_hex(header.value(), &mut self.line);
                self.line.push(b']');
            }
            self.line.push(b']');
        }
        if batch.is_control() {
            let words =
                record.key().zip(record.value()).and_then(|(key, value)| decode_control_record(key, value));
            self.line.extend(b",\"control\":");
            let words = words.or_else(|| record.control().map(|kind| format!("{kind:?}")));
            push_text(words.as_deref().unwrap_or_default(), &mut self.line);
        } else if let Some(words) = detail.contents {
            self.contents(record, words);
        }
        self.line.extend(b"}\n");
    }

    fn contents(&mut self, record: &InspectedRecord<'_>, words: Words) {
        if words == Words::Plain {
            self.line.extend(b",\"key\":");
            push_hex(record.key(), &mut self.line);
            self.line.extend(b",\"value\":");
            push_hex(record.value(), &mut self.line);
            return;
        }
        let (key, value) = words.of(record);
        for (name, words) in [("key", key), ("value", value)] {
            put!(self.line, ",\"{name}\":");
            match words {
                // Already JSON.
                Some(words) if words.starts_with('{') => self.line.extend(words.as_bytes()),
                Some(words) if words != "<DELETE>" => push_text(&words, &mut self.line),
                _ => self.line.extend(b"null"),
            }
        }
    }

    pub(super) fn invalid(&mut self, position: u64, bytes: u64, why: &str) {
        put!(self.line, "{{\"type\":\"invalid\",\"position\":{position},\"bytes\":{bytes},\"reason\":");
        push_text(why, &mut self.line);
        self.line.extend(b"}\n");
    }

    pub(super) fn offset(&mut self, entry: &OffsetIndexEntry) {
        let (offset, position) = (entry.offset, entry.position);
        put!(self.line, "{{\"type\":\"index\",\"offset\":{offset},\"position\":{position}}}\n");
    }

    pub(super) fn time(&mut self, entry: &TimeIndexEntry) {
        let (timestamp, offset) = (entry.timestamp, entry.offset);
        put!(self.line, "{{\"type\":\"timeindex\",\"timestamp\":{timestamp},\"offset\":{offset}}}\n");
    }

    pub(super) fn transaction(&mut self, entry: &TransactionIndexEntry) {
        put!(
            self.line,
            "{{\"type\":\"txnindex\",\"producerId\":{},\"firstOffset\":{},\"lastOffset\":{},\"lastStableOffset\":{}}}\n",
            entry.producer_id,
            entry.first_offset,
            entry.last_offset,
            entry.last_stable_offset,
        );
    }

    pub(super) fn producer(&mut self, entry: &ProducerSnapshotEntry) {
        put!(
            self.line,
            "{{\"type\":\"producer\",\"producerId\":{},\"producerEpoch\":{},\"coordinatorEpoch\":{},\
             \"currentTxnFirstOffset\":",
            entry.producer_id,
            entry.producer_epoch,
            entry.coordinator_epoch,
        );
        match entry.transaction_start {
            ..0 => self.line.extend(b"null"),
            start => {
                put!(self.line, "{start}");
            }
        }
        put!(
            self.line,
            ",\"lastTimestamp\":{},\"firstSequence\":{},\"lastSequence\":{},\"lastOffset\":{},\"offsetDelta\":{}}}\n",
            entry.timestamp,
            entry.first_sequence(),
            entry.last_sequence,
            entry.last_offset,
            entry.offset_delta,
        );
    }
}
