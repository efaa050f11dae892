//! The lines that Kafka's tool prints.

use std::io::Write as _;
use std::path::Path;

use stratalog::inspect::{
    BatchView, ControlKind, InspectedRecord, OffsetIndexEntry, ProducerSnapshotEntry, TimeIndexEntry,
    TransactionIndexEntry, decode_control_record,
};
use stratalog::{Compression, TimestampType};

use super::{Detail, Kind};
use crate::lines::push_number;

/// Lines that were not printed yet.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) line: Vec<u8>,
}

impl Text {
    pub(super) fn begin(&mut self, path: &Path, kind: Kind) {
        put!(self.line, "Dumping {}\n", path.display());
        match kind {
            Kind::Log => {
                if let Some(base) = stratalog::inspect::base_offset(path) {
                    put!(self.line, "Log starting offset: {base}\n");
                }
            }
            Kind::Snapshot => {
                let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
                match name.split_once('-') {
                    Some((offset, epoch)) => {
                        let plain = |digits: &str| digits.parse().unwrap_or(0_u64);
                        let (offset, epoch) = (plain(offset), plain(epoch));
                        put!(self.line, "Snapshot end offset: {offset}, epoch: {epoch}\n");
                    }
                    None => self.line.extend(b"KRaft bootstrap snapshot\n"),
                }
            }
            _ => {}
        }
    }

    pub(super) fn batch(&mut self, batch: &BatchView<'_>) {
        let last = batch.last_offset();
        match (batch.base_offset(), batch.record_count()) {
            (Some(base), Some(count)) => {
                put!(
                    self.line,
                    "baseOffset: {base} lastOffset: {last} count: {count} baseSequence: {} lastSequence: {} \
                     producerId: {} producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} ",
                    batch.base_sequence(),
                    batch.last_sequence(),
                    batch.producer_id(),
                    batch.producer_epoch(),
                    batch.leader_epoch(),
                    batch.is_transactional(),
                    batch.is_control(),
                );
                match batch.delete_horizon() {
                    Some(horizon) => put!(self.line, "deleteHorizonMs: OptionalLong[{horizon}]"),
                    None => self.line.extend(b"deleteHorizonMs: OptionalLong.empty"),
                }
            }
            _ => put!(self.line, "offset: {last}"),
        }
        put!(
            self.line,
            " position: {} {}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {}\n",
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
        self.line.extend(b"|");
        if detail.facts {
            self.facts(batch, record);
        }
        if let Some(words) = detail.contents.filter(|_| !batch.is_control()) {
            let (key, value) = words.of(record);
            if let Some(key) = key {
                put!(self.line, " key: {key}");
            }
            if let Some(value) = value {
                put!(self.line, " payload: {value}");
            }
        }
        self.line.push(b'\n');
    }

    fn facts(&mut self, batch: &BatchView<'_>, record: &InspectedRecord<'_>) {
        let size =
            |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        let line = &mut self.line;
        line.extend(b" offset: ");
        push_number(record.offset(), line);
        line.push(b' ');
        line.extend(time_word(batch).as_bytes());
        line.extend(b": ");
        push_number(record.timestamp(), line);
        line.extend(b" keySize: ");
        push_number(size(record.key()), line);
        line.extend(b" valueSize: ");
        push_number(size(record.value()), line);
        if batch.magic() >= 2 {
            line.extend(b" sequence: ");
            push_number(record.sequence(), line);
            line.extend(b" headerKeys: [");
            for (at, header) in record.headers().enumerate() {
                let name = String::from_utf8_lossy(header.name_bytes());
                put!(self.line, "{}{name}", if at == 0 { "" } else { "," });
            }
            self.line.push(b']');
        }
        if let Some(crc) = record.crc() {
            // The brace is Kafka's.
            put!(self.line, " isValid: true crc: {crc}}}");
        }
        if batch.is_control() {
            self.control(record);
        }
    }

    fn control(&mut self, record: &InspectedRecord<'_>) {
        match record.control() {
            Some(ControlKind::Abort { coordinator_epoch }) => {
                put!(self.line, " endTxnMarker: ABORT coordinatorEpoch: {coordinator_epoch}");
            }
            Some(ControlKind::Commit { coordinator_epoch }) => {
                put!(self.line, " endTxnMarker: COMMIT coordinatorEpoch: {coordinator_epoch}");
            }
            Some(ControlKind::Unknown(kind)) => {
                put!(self.line, " controlType: UNKNOWN({kind})");
            }
            _ => {
                let words = record
                    .key()
                    .zip(record.value())
                    .and_then(|(key, value)| decode_control_record(key, value));
                put!(self.line, " {}", words.as_deref().unwrap_or("controlType: UNKNOWN(-1)"));
            }
        }
    }

    pub(super) fn invalid(&mut self, bytes: u64, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        put!(self.line, "Found {bytes} invalid bytes at the end of {name}\n");
    }

    pub(super) fn empty(&mut self, path: &Path) {
        put!(self.line, "{} is empty.\n", path.display());
    }

    pub(super) fn offset(&mut self, entry: &OffsetIndexEntry) {
        put!(self.line, "offset: {} position: {}\n", entry.offset, entry.position);
    }

    pub(super) fn time(&mut self, entry: &TimeIndexEntry) {
        put!(self.line, "timestamp: {} offset: {}\n", entry.timestamp, entry.offset);
    }

    pub(super) fn transaction(&mut self, entry: &TransactionIndexEntry) {
        put!(
            self.line,
            "version: 0 producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}\n",
            entry.producer_id,
            entry.first_offset,
            entry.last_offset,
            entry.last_stable_offset,
        );
    }

    pub(super) fn producer(&mut self, entry: &ProducerSnapshotEntry) {
        put!(
            self.line,
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: ",
            entry.producer_id,
            entry.producer_epoch,
            entry.coordinator_epoch,
        );
        match entry.transaction_start {
            ..0 => self.line.extend(b"OptionalLong.empty"),
            start => {
                put!(self.line, "OptionalLong[{start}]");
            }
        }
        put!(self.line, " lastTimestamp: {} ", entry.timestamp);
        if entry.last_offset >= 0 {
            put!(
                self.line,
                "firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
                entry.first_sequence(),
                entry.last_sequence,
                entry.last_offset,
                entry.offset_delta,
                entry.timestamp,
            );
        }
        self.line.push(b'\n');
    }
}

/// Kafka's word for what timestamps mean.
pub(super) fn time_word(batch: &BatchView<'_>) -> &'static str {
    match batch.timestamp_type() {
        None => "NoTimestampType",
        Some(TimestampType::LogAppendTime) => "LogAppendTime",
        Some(_) => "CreateTime",
    }
}

/// Kafka's word for a codec.
pub(super) fn codec_word(batch: &BatchView<'_>) -> &'static str {
    match batch.compression() {
        Some(Compression::None) => "none",
        Some(Compression::Gzip) => "gzip",
        Some(Compression::Snappy) => "snappy",
        Some(Compression::Lz4) => "lz4",
        Some(Compression::Zstd) => "zstd",
        _ => "unknown",
    }
}
