//! What fuzzers feed: each function takes any bytes, and panics if a promise does not hold.
//!
//! The decoders are called as the crate calls them. Checksums are put right where they would keep everything else from
//! being reached. The tests below run every function on the vectors, whole and damaged; `fuzz/` runs them for long.

use std::path::Path;

use crate::config::Compression;
use crate::format::batch::{Batch, BatchBuilder};
use crate::format::checkpoint;
use crate::format::compression::{BatchLimits, Encoding, Lz4Header, compress, decompress};
use crate::format::consumer_protocol::subscribed_topics;
use crate::format::control::ControlRecord;
use crate::format::coordinator_record::{CoordinatorKey, group_partition};
use crate::format::crc::{crc32, crc32c};
use crate::format::decode::{decode, is_encoded};
use crate::format::frame::{FrameKind, frame_at, valid_batch_at};
use crate::format::group_metadata::GroupMetadata;
use crate::format::header::{CHECKSUMMED, Codec, HEADER_BYTES, LENGTH_OVERHEAD};
use crate::format::index::{OFFSET_ENTRY, OffsetEntry, TIME_ENTRY, TimeEntry};
use crate::format::metadata_record::MetadataRecord;
use crate::format::offset_commit::OffsetCommit;
use crate::format::properties::{self, MetaProperties};
use crate::format::raw_record::RawRecord;
use crate::format::record::{Header, RecordFields};
use crate::format::rewrite::{Horizon, Keep, Left, Rewriter, each_record, header_only};
use crate::format::transaction_state::TransactionState;
use crate::format::uuid::Uuid;
use crate::format::varint::Input;
use crate::format::{
    partition_metadata, producer_snapshot, quorum_state, transaction_index, transaction_state,
};
use crate::inspect;
use crate::segment::{self, FileState};

/// Most bytes that anything here may become.
const LIMIT: usize = 1 << 20;
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// A row of batches and legacy messages as stored in a file.
pub fn frames(data: &[u8]) {
    let (mut rest, mut expected) = (data, 0);
    while let Ok(frame) = frame_at(rest) {
        assert!(frame.bytes > 0 && frame.bytes <= rest.len());
        let (bytes, after) = rest.split_at(frame.bytes);
        if let Ok(whole) = valid_batch_at(rest, expected) {
            assert!(whole.last_offset() >= expected, "offsets continue");
            expected = whole.last_offset() + 1;
            walk(bytes);
        }
        rest = after;
    }
}

/// The batch that `data` is, but for length, format and checksum.
pub fn batch(data: &[u8]) {
    frames(&sealed(data));
}

fn sealed(data: &[u8]) -> Vec<u8> {
    let mut frame = data.to_vec();
    frame.resize(frame.len().max(HEADER_BYTES), 0);
    let length = i32::try_from(frame.len() - LENGTH_OVERHEAD).unwrap_or(i32::MAX);
    frame[8..12].copy_from_slice(&length.to_be_bytes());
    frame[16] = 2;
    let crc = crc32c(&frame[CHECKSUMMED..]);
    frame[17..CHECKSUMMED].copy_from_slice(&crc.to_be_bytes());
    frame
}

/// The message of format 0 or 1 that `data` is, but for size and checksum.
pub fn legacy_message(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let mut frame = vec![0; 16];
    frame.push(first & 1);
    frame.extend_from_slice(body);
    let size = i32::try_from(frame.len() - LENGTH_OVERHEAD).unwrap_or(i32::MAX);
    frame[8..12].copy_from_slice(&size.to_be_bytes());
    let crc = crc32(&frame[16..]);
    frame[12..16].copy_from_slice(&crc.to_be_bytes());
    frames(&frame);
}

/// Reads a frame whose checksum matches, as a consumer does.
fn walk(frame: &[u8]) {
    let mut plain = Vec::new();
    let readable = if is_encoded(frame) {
        let outcome = decode(frame, LIMIT, &mut plain);
        assert!(outcome.is_ok() || plain.is_empty(), "nothing is left of what failed");
        outcome.is_ok().then_some(&plain[..])
    } else {
        Some(frame)
    };
    let _ = ControlRecord::of_batch(frame);
    let mut rest = readable.unwrap_or_default();
    while let Some((batch, after)) = Batch::take_checked(rest) {
        rest = after;
        if batch.check_records().is_err() {
            continue;
        }
        let (mut records, mut last) = (batch.records(), -1);
        let mut left = records.rest();
        for _ in 0..batch.header.record_count {
            let record = RawRecord::take(&mut records).expect("it was checked");
            let same;
            (same, left) = RawRecord::split(left).expect("it was checked");
            assert_eq!(
                (same.timestamp_delta, same.offset_delta, same.key, same.value, same.headers.encoded(), left),
                (
                    record.timestamp_delta,
                    record.offset_delta,
                    record.key,
                    record.value,
                    record.headers.encoded(),
                    records.rest()
                ),
            );
            assert!(record.offset_delta > last && record.offset_delta <= batch.header.last_offset_delta);
            last = record.offset_delta;
            let count = record.headers.iter().count();
            assert_eq!(count, record.headers.len(), "as many headers as were counted");
            let _ = batch.timestamp_of(&record);
        }
        assert!(records.is_empty());
    }
}

/// Compressed records: the first byte chooses the codec.
pub fn decompression(data: &[u8]) {
    let Some((choice, from)) = data.split_first() else { return };
    let codec = Codec::from(CODECS[1 + usize::from(choice & 3)]);
    let header = if choice & 4 == 0 { Lz4Header::Checked } else { Lz4Header::Unchecked };
    let mut to = Vec::new();
    if codec.is_built_in() && decompress(codec, header, from, LIMIT, &mut to).is_ok() {
        assert!(to.len() <= LIMIT);
        let mut again = Vec::new();
        let level = if codec == Codec::Gzip { 1 } else { 3 };
        compress(Encoding { codec, level }, &to, &mut again)
            .expect("what was decompressed can be compressed");
        let mut back = Vec::new();
        decompress(codec, Lz4Header::Checked, &again, LIMIT, &mut back).expect("our own frame");
        assert_eq!(back, to);
    }
    assert!(to.len() <= LIMIT + (64 << 10), "no more than a block too much");
}

/// Records that say what they are in the bytes: written with the codec that the first byte chooses, and read again.
pub fn round_trip(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let codec = Codec::from(CODECS[usize::from(choice % 5)]);
    if !codec.is_built_in() {
        return;
    }
    let mut input = Input::new(data);
    let mut records = Vec::new();
    while records.len() < 200 {
        let Some(shape) = take(&mut input, 1).and_then(|shape| shape.first()) else { break };
        let mut field = |bit: u8| {
            if shape & bit == 0 {
                return None;
            }
            let length = take(&mut input, 1)?[0];
            take(&mut input, usize::from(length))
        };
        records.push((field(1), field(2), field(4), i64::from(*shape) - 100));
    }
    let headers: Vec<_> =
        records.iter().map(|(.., name, _)| name.map(|value| [Header::new("h", value)])).collect();
    let mut builder = BatchBuilder::default();
    for ((key, value, _, timestamp), headers) in records.iter().zip(&headers) {
        let headers = headers.as_ref().map_or(&[][..], |headers| headers);
        let fields = RecordFields { key: *key, value: *value, headers };
        let measured = builder.measure(&fields, *timestamp);
        builder.push(&fields, measured, *timestamp);
    }
    let level = if codec == Codec::Gzip { 1 } else { 3 };
    let Some(mut batch) = builder.finish_with(Encoding { codec, level }, BatchLimits::NONE) else {
        return;
    };
    let frame = batch.placed_at(7, 1).to_vec();
    let whole = valid_batch_at(&frame, 7).expect("what was written is whole");
    assert!(matches!(whole.kind, FrameKind::Batch(header) if header.base_offset == 7));
    let mut plain = Vec::new();
    let frame = if is_encoded(&frame) {
        decode(&frame, LIMIT, &mut plain).expect("what was compressed");
        &plain
    } else {
        &frame
    };
    let batch = Batch::of_frame(frame).expect("a batch");
    batch.check_records().expect("what was written");
    let mut input = batch.records();
    for (key, value, header, timestamp) in &records {
        let record = RawRecord::take(&mut input).expect("as many as were written");
        assert_eq!((record.key, record.value, batch.timestamp_of(&record)), (*key, *value, *timestamp));
        let mut headers = record.headers.iter();
        assert_eq!(headers.next().map(|header| header.value()), header.map(Some));
    }
}

fn take<'d>(input: &mut Input<'d>, count: usize) -> Option<&'d [u8]> {
    input.take(count.min(input.remaining())).ok().filter(|taken| taken.len() == count)
}

/// Index files, indexes of aborted transactions, snapshots of producers: what is accepted is written the same.
pub fn indexes(data: &[u8]) {
    for entry in data.as_chunks::<OFFSET_ENTRY>().0 {
        assert_eq!(OffsetEntry::decode(entry).encode(), *entry);
    }
    for entry in data.as_chunks::<TIME_ENTRY>().0 {
        assert_eq!(TimeEntry::decode(entry).encode(), *entry);
    }
    if let Ok(entries) = transaction_index::decode(data, 0) {
        assert_eq!(transaction_index::encode(&entries).len(), data.len());
    }
    let mut snapshot = data.to_vec();
    if snapshot.len() >= 6 {
        snapshot[..2].copy_from_slice(&1_i16.to_be_bytes());
        let crc = crc32c(&snapshot[6..]);
        snapshot[2..6].copy_from_slice(&crc.to_be_bytes());
        if let Ok(entries) = producer_snapshot::decode(&snapshot) {
            assert_eq!(producer_snapshot::encode(entries.iter()), snapshot);
        }
        crate::partition::follow_producers(&snapshot, data);
    }
}

/// The small text files, and names.
pub fn texts(data: &[u8]) {
    if let Ok(entries) = checkpoint::parse_offsets(data) {
        let again = checkpoint::parse_offsets(checkpoint::encode_offsets(&entries).as_bytes());
        assert_eq!(again.expect("our own text"), entries);
    }
    if let Ok(entries) = checkpoint::parse_epochs(data) {
        let again = checkpoint::parse_epochs(checkpoint::encode_epochs(&entries).as_bytes());
        assert_eq!(again.expect("our own text"), entries);
    }
    let _ = properties::parse(data);
    if let Ok(meta) = MetaProperties::parse(data) {
        MetaProperties::parse(meta.encode("date").as_bytes()).expect("our own text");
    }
    if let Ok(topic) = partition_metadata::parse(data) {
        assert_eq!(partition_metadata::parse(partition_metadata::encode(topic).as_bytes()), Ok(topic));
    }
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(id) = Uuid::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    let _ = crate::config::topic_name::check_new(text);
    let _ = text.parse::<crate::KafkaVersion>();
    let _ = quorum_state::parse(data);
    crate::catalog::read_name(text);
    let (plain, file_state) = FileState::split(text);
    assert_eq!(file_state.of(Path::new(plain)), Path::new(text));
    for suffix in [segment::LOG, segment::OFFSET_INDEX, segment::PRODUCER_SNAPSHOT] {
        if let Some(base) = segment::base_of(plain, suffix) {
            assert_eq!(segment::file_name(base, suffix), plain);
        }
    }
}

/// One setting of a topic, as `name=value`.
pub fn settings(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let config = crate::TopicConfig::new().set(name, value);
    if config.validate().is_ok() {
        let _ = config.settings();
    }
}

/// A batch, as with [`batch`], without some of its records: the first byte says which, and whether the batch gets a time
/// from which on it may go.
pub fn rewriting(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let frame = sealed(data);
    let (mut before, mut plain) = (Vec::new(), Vec::new());
    let own = |record: &RawRecord<'_>| (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
    let seen = each_record(&frame, LIMIT, &mut plain, |offset, record| before.push((offset, own(record))));
    let keep = Chosen { asked: 0, seen: 0, mask: *choice };
    let horizon = Horizon { at: 1_700_000_000_000, always: choice & 0x80 != 0 };
    let mut rewriter = Rewriter::new(LIMIT);
    let Ok(left) = rewriter.filter(&frame, horizon, keep) else {
        assert!(seen.is_err(), "what can be read can be rewritten");
        return;
    };
    seen.expect("what can be rewritten can be read");
    let mut number = 0;
    before.retain(|_| {
        number += 1;
        Chosen::keeps_number(*choice, number - 1)
    });
    let mut after = Vec::new();
    match left {
        Left::All => {
            each_record(&frame, LIMIT, &mut plain, |offset, record| after.push((offset, own(record))))
        }
        Left::Batch { bytes, header } => {
            assert_eq!(usize::try_from(header.record_count), Ok(before.len()));
            each_record(bytes, LIMIT + 4096, &mut plain, |offset, record| after.push((offset, own(record))))
        }
        Left::Nothing(header) => {
            each_record(&header_only(&header), LIMIT, &mut plain, |_, _| panic!("a record is left"))
        }
    }
    .expect("what is left can be read");
    assert_eq!(after, before, "what was to be kept, at its offset");
}

/// Keeps the records that a mask says.
struct Chosen {
    asked: usize,
    seen: usize,
    mask: u8,
}

impl Chosen {
    fn keeps_number(mask: u8, number: usize) -> bool {
        mask >> (number % 7) & 1 == 1
    }
}

impl Keep for Chosen {
    fn see(&mut self, _offset: u64, _record: &RawRecord<'_>) {
        self.seen += 1;
    }

    fn keeps(&mut self, number: usize) -> bool {
        assert!(number == self.asked && number < self.seen, "each is asked for once, after all were shown");
        self.asked += 1;
        Self::keeps_number(self.mask, number)
    }
}

/// What a `stratalog.live` of `live_file` holds. Input: slots in all, then words and where they are written in a file that
/// is right otherwise; or, after 255, a whole file.
pub fn live_image(data: &[u8]) -> Vec<u8> {
    const PAGE: usize = 4096;
    let (slots, patches) = data.split_first().unwrap_or((&0, &[]));
    if *slots == u8::MAX {
        return patches.to_vec();
    }
    let slots = usize::from(*slots);
    let common = (64 + slots * 64).next_multiple_of(PAGE);
    let mut image = vec![0; common + (16 + slots * 4).next_multiple_of(PAGE)];
    image[..8].copy_from_slice(b"strata.1");
    for word in [8, 16] {
        image[word..word + 8].copy_from_slice(&(slots as u64).to_le_bytes());
    }
    for patch in patches.as_chunks::<10>().0 {
        let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % (image.len() - 8);
        image[at..at + 8].copy_from_slice(&patch[2..]);
    }
    image
}

/// A file of the name that `stratalog.live` has, which no process holds.
pub fn live_file(path: &Path) {
    crate::partition::look_at_live(path);
}

/// A file that is looked into as each of the kinds that [`inspect`](crate::inspect) knows.
pub fn inspected(path: &Path) {
    if let Ok(mut file) = inspect::LogFile::open(path) {
        let mut position = 0;
        while let Ok(Some(batch)) = file.next_batch() {
            assert!(batch.position() >= position, "positions continue");
            position = batch.position() + 1;
            let Ok(records) = batch.records() else { continue };
            for record in records.iter() {
                let (key, value) = (record.key().unwrap_or_default(), record.value());
                words(key, value);
                let _ = record.headers().count();
            }
        }
        assert!(file.bytes_left() <= file.bytes());
    }
    let _ = inspect::IndexEntries::<inspect::OffsetIndexEntry>::open(path)
        .map(|entries| entries.take_while(Result::is_ok).count());
    let _ = inspect::IndexEntries::<inspect::TimeIndexEntry>::open(path)
        .map(|entries| entries.take_while(Result::is_ok).count());
    let _ = (inspect::transaction_index(path), inspect::producer_snapshot(path));
}

/// What the program prints of records of Kafka's own topics: JSON, or an error.
fn words(key: &[u8], value: Option<&[u8]>) {
    for kind in [inspect::CoordinatorTopic::ConsumerOffsets, inspect::CoordinatorTopic::TransactionState] {
        let _ = inspect::decode_coordinator_record(kind, key, value);
    }
    let value = value.unwrap_or_default();
    let _ = (inspect::decode_control_record(key, value), inspect::decode_metadata_record(value));
}

/// Records of the metadata log, and the state that they make.
pub fn metadata(data: &[u8]) {
    let mut values = Vec::new();
    let mut input = Input::new(data);
    while let Some(length) = take(&mut input, 1) {
        let Some(value) = take(&mut input, usize::from(length[0])) else { break };
        words(&[], Some(value));
        if let Ok(record) = MetadataRecord::decode(value) {
            let again = MetadataRecord::decode(&record.encode());
            assert_eq!(again.as_ref(), Ok(&record), "it comes back");
            values.push(record);
        }
    }
    crate::catalog::replay(values);
}

/// Keys and values of the topic in which groups are kept: what is accepted is written again, and comes back.
pub fn coordinator_records(data: &[u8]) {
    let mut bytes = Vec::new();
    if let Ok(key) = CoordinatorKey::decode(data) {
        let group = match key {
            CoordinatorKey::Offset { group, .. } | CoordinatorKey::Group { group } => Some(group),
            CoordinatorKey::Other { .. } => key.consumer_group(),
        };
        assert!(group.is_none_or(|group| group_partition(group, 50) < 50));
        key.encode(&mut bytes).expect("no name is longer than what was read");
        assert_eq!(CoordinatorKey::decode(&bytes), Ok(key));
    }
    bytes.clear();
    if let Ok(Some(commit)) = OffsetCommit::decode(data)
        && commit.encode(&mut bytes).is_ok()
    {
        let third = OffsetCommit { expires_at: None, topic_id: Uuid::ZERO, ..commit };
        assert_eq!(OffsetCommit::decode(&bytes), Ok(Some(third)));
    }
    bytes.clear();
    if let Ok(Some(group)) = GroupMetadata::decode(data) {
        for member in &group.members {
            let _ = subscribed_topics(&member.subscription);
        }
        // A compact text may be longer than one of version 3.
        if group.encode(&mut bytes).is_ok() {
            assert_eq!(GroupMetadata::decode(&bytes), Ok(Some(group)));
        }
    }
    let _ = ControlRecord::decode(Some(data), None);
    words(data, None);
    if let Some((key, value)) =
        data.split_first().and_then(|(length, rest)| rest.split_at_checked((*length).into()))
    {
        let _ = ControlRecord::decode(Some(key), Some(value));
        words(key, Some(value));
    }
    transactions(data);
    let _ = subscribed_topics(data);
}

/// A key or a value of the topic in which the states of transactional ids are kept.
fn transactions(data: &[u8]) {
    let mut bytes = Vec::new();
    if let Ok(Some(id)) = transaction_state::transactional_id(data) {
        transaction_state::push_key(id, &mut bytes).unwrap();
        assert_eq!(bytes, data);
    }
    bytes.clear();
    let state = TransactionState::decode(data);
    assert_eq!(state.as_ref().map(|_| ()).map_err(|reason| *reason), transaction_state::check(data));
    // A compact text may be longer than one of version 0.
    if let Ok(state) = state
        && state.encode(&mut bytes).is_ok()
    {
        let without_tags = TransactionState { next_producer_id: None, client_version: 0, ..state };
        assert_eq!(TransactionState::decode(&bytes), Ok(without_tags));
    }
}

/// Records of one partition of the topic in which groups are kept, and the groups that they add up to.
pub fn group_records(data: &[u8]) {
    const ENDS: u8 = 0b1100;
    let mut input = Input::new(data);
    let mut records = Vec::new();
    while let Some(shape) = take(&mut input, 1).and_then(|shape| shape.first()) {
        let mut field = |bit: u8| {
            if shape & bit == 0 {
                return None;
            }
            let length = take(&mut input, 1)?[0];
            take(&mut input, usize::from(length))
        };
        // Some belong to a transaction, some end one.
        let producer = (shape & ENDS != 0).then_some(i64::from(shape >> 4));
        records.push((field(1), field(2), producer, shape & ENDS == ENDS));
    }
    crate::group::replay(records);
}

/// Cases of a property: so many, or as often as many as `PROPTEST_CASES` is 256. Miri takes seconds for each, so that it
/// runs two.
#[cfg(test)]
pub(crate) fn cases(usual: u32) -> u32 {
    if cfg!(miri) { 2 } else { proptest::test_runner::Config::default().cases * usual / 256 }
}

/// The configuration of a property that usually has 256 cases.
#[cfg(test)]
pub(crate) fn properties() -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases: cases(256), ..Default::default() }
}

#[cfg(test)]
mod tests;
