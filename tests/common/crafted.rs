//! Directories as another program might have left them, made by changing bytes of ours.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a field of a batch's header is.
const ATTRIBUTES: usize = 21;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const TRANSACTIONAL: u8 = 0x10;

/// Gives a batch of a closed log a producer, as if a client with an id had written it. The batch is counted from the
/// beginning of the partition's first segment. The directory must be recovered then.
pub(crate) fn of_producer(root: &Path, partition: &str, batch: usize, producer: Producer) {
    let path = first_segment(root, partition);
    let mut log = fs::read(&path).unwrap();
    let at = batches(&log)[batch];
    let frame = &mut log[at..];
    frame[PRODUCER_ID..][..8].copy_from_slice(&producer.id.to_be_bytes());
    frame[PRODUCER_EPOCH..][..2].copy_from_slice(&0_i16.to_be_bytes());
    frame[BASE_SEQUENCE..][..4].copy_from_slice(&producer.sequence.to_be_bytes());
    if producer.transactional {
        frame[ATTRIBUTES + 1] |= TRANSACTIONAL;
    }
    reseal(&mut log, at);
    fs::write(&path, log).unwrap();
    crash(root);
    for name in super::names(&root.join(partition)) {
        if name.ends_with(".snapshot") {
            fs::remove_file(root.join(partition).join(name)).unwrap();
        }
    }
}

/// Who wrote a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) sequence: i32,
    pub(crate) transactional: bool,
}

/// Takes away what an orderly close leaves, so that the next open checks everything.
pub(crate) fn crash(root: &Path) {
    for name in [".kafka_cleanshutdown", "recovery-point-offset-checkpoint"] {
        let _ = fs::remove_file(root.join(name));
    }
}

/// Replaces a text in the records of the metadata log by one of the same length.
pub(crate) fn in_metadata(root: &Path, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let path = first_segment(root, "__cluster_metadata-0");
    let mut log = fs::read(&path).unwrap();
    let mut replaced = 0;
    for at in batches(&log) {
        let end = at + length(&log[at..]);
        for place in at..end - from.len() {
            if &log[place..place + from.len()] == from {
                log[place..place + to.len()].copy_from_slice(to);
                replaced += 1;
            }
        }
        reseal(&mut log, at);
    }
    assert!(replaced > 0, "the metadata log does not hold {:?}", String::from_utf8_lossy(from));
    fs::write(&path, log).unwrap();
}

/// Appends a batch of one record after the last one of a partition that is not empty.
pub(crate) fn append(root: &Path, partition: &str, key: Option<&[u8]>, value: Option<&[u8]>) {
    let path = segments(root, partition).pop().unwrap();
    let mut log = fs::read(&path).unwrap();
    let last = *batches(&log).last().unwrap();
    let header = log[last..last + 61].to_vec();
    let base = i64::from_be_bytes(header[..8].try_into().unwrap());
    let delta = i32::from_be_bytes(header[23..27].try_into().unwrap());

    let mut record = vec![0, 0, 0];
    for field in [key, value] {
        match field {
            None => record.push(1),
            Some(bytes) => {
                push_varint(bytes.len(), &mut record);
                record.extend(bytes);
            }
        }
    }
    record.push(0);
    let mut batch = header;
    push_varint(record.len(), &mut batch);
    batch.extend(record);
    batch[..8].copy_from_slice(&(base + i64::from(delta) + 1).to_be_bytes());
    let length = i32::try_from(batch.len() - 12).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[ATTRIBUTES..27].copy_from_slice(&[0; 6]);
    batch[57..61].copy_from_slice(&1_i32.to_be_bytes());
    let at = log.len();
    log.extend(batch);
    reseal(&mut log, at);
    fs::write(&path, log).unwrap();
}

fn first_segment(root: &Path, partition: &str) -> PathBuf {
    segments(root, partition).into_iter().next().unwrap_or_else(|| panic!("{partition} holds no log"))
}

/// The log files of a partition that hold something, in order.
pub(crate) fn segments(root: &Path, partition: &str) -> Vec<PathBuf> {
    let directory = root.join(partition);
    let logs = super::names(&directory).into_iter().filter(|name| name.ends_with(".log"));
    let logs = logs.map(|name| directory.join(name));
    logs.filter(|path| fs::metadata(path).unwrap().len() > 0).collect()
}

/// Where the batches of a log file begin.
fn batches(log: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < log.len() {
        found.push(at);
        at += length(&log[at..]);
    }
    found
}

fn length(batch: &[u8]) -> usize {
    12 + usize::try_from(i32::from_be_bytes(batch[8..12].try_into().unwrap())).unwrap()
}

fn reseal(log: &mut [u8], at: usize) {
    let end = at + length(&log[at..]);
    let crc = crc32c::crc32c(&log[at + ATTRIBUTES..end]);
    log[at + 17..at + ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
}

/// The length of something, zig-zag.
fn push_varint(length: usize, to: &mut Vec<u8>) {
    let mut rest = length * 2;
    while rest >= 0x80 {
        to.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
        rest /= 0x80;
    }
    to.push(u8::try_from(rest).unwrap());
}
