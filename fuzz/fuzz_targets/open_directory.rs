//! A directory of a closed or killed log with changes to its files, opened, read, written and opened again.
//!
//! Input: a row of changes. The first byte of each chooses file and kind of change, the rest where and what.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use stratalog::{Compression, ConsumerConfig, EventLog, IsolationLevel, Maintenance, Producer, ProducerConfig, Record, TopicConfig};

/// Files of a small log, by their paths in it.
fn base(clean: bool) -> &'static [(PathBuf, Vec<u8>)] {
    static BASES: [OnceLock<Vec<(PathBuf, Vec<u8>)>>; 2] = [OnceLock::new(), OnceLock::new()];
    BASES[usize::from(clean)].get_or_init(|| {
        let dir = scratch();
        let log = options().open(dir.path()).unwrap();
        let topics = [("plain", TopicConfig::new()), ("lz4", TopicConfig::new().compression(Compression::Lz4))];
        let topics = log.create_topics(topics).unwrap();
        let producer = log.producer_with(ProducerConfig::new()).unwrap();
        for number in 0..40 {
            let value = vec![b'a' + number % 26; 100];
            let record = Record::new(&value).key("key").header("name", "value");
            for topic in &topics {
                send(&producer, topic, record.clone());
            }
        }
        if clean {
            log.close().unwrap();
        }
        let mut files = Vec::new();
        collect(dir.path(), dir.path(), &mut files);
        files.sort();
        files
    })
}

fn send(producer: &Producer, topic: &stratalog::Topic, record: Record<'_>) {
    producer.send(topic, record).unwrap();
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn options() -> stratalog::OpenOptions {
    // Small segments, so that there are several; no threads, so that the same input does the same.
    EventLog::options().maintenance(Maintenance::ByHand).most_segment_bytes(2048)
}

fn lay_out(data: &[u8], at: &Path) {
    let Some((first, changes)) = data.split_first() else { return };
    let mut files = base(first & 1 == 0).to_vec();
    for change in changes.chunks_exact(6).take(8) {
        let [file, kind, where_high, where_low, what, more] = change else { continue };
        let index = usize::from(*file) % files.len();
        let (path, bytes) = &mut files[index];
        let place = usize::from(u16::from_be_bytes([*where_high, *where_low]));
        match kind % 7 {
            0 if !bytes.is_empty() => {
                let place = place % bytes.len();
                bytes[place] ^= 1 << (what % 8);
            }
            1 if !bytes.is_empty() => {
                let place = place % bytes.len();
                bytes[place] = *what;
            }
            2 => bytes.truncate(place),
            3 => bytes.extend(std::iter::repeat_n(*what, usize::from(*more) * 8)),
            4 => {
                files.remove(index);
            }
            5 => {
                let suffix = [".deleted", ".swap", ".cleaned", ".tmp", "x"][usize::from(what % 5)];
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                *path = name.into();
            }
            6 if bytes.len() > place => {
                let (from, to) = (place, place.saturating_add(usize::from(*more)).min(bytes.len()));
                bytes.drain(from..to);
            }
            _ => {}
        }
        if files.is_empty() {
            break;
        }
    }
    for (path, bytes) in files {
        let path = at.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn read(log: &EventLog) {
    for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
        let Ok(topics) = log.topics() else { return };
        for partition in topics.iter().flat_map(|topic| topic.partitions()) {
            let Ok(mut consumer) = log.consumer_with(ConsumerConfig::new().isolation(isolation)) else { return };
            if consumer.assign([&partition]).is_err() {
                continue;
            }
            let mut position = 0;
            // Damage is stepped over; a reader must come to an end.
            for _ in 0..1000 {
                match consumer.poll(Duration::ZERO) {
                    Ok(records) if records.is_empty() => break,
                    Ok(records) => {
                        for record in &records {
                            assert!(record.offset() >= position, "offsets go on");
                            position = record.offset() + 1;
                            let _ = (record.key(), record.value(), record.headers().count());
                        }
                    }
                    Err(stratalog::Error::Corrupt(damage) | stratalog::Error::Unsupported(damage)) => {
                        let Some(behind) = damage.resume_at() else { break };
                        assert!(behind.offset() > position || position == 0, "behind the damage");
                        consumer.seek(behind).unwrap();
                    }
                    Err(_) => break,
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let dir = scratch();
    lay_out(data, dir.path());
    if let Ok(log) = EventLog::open_read_only(dir.path()) {
        read(&log);
    }
    for _ in 0..2 {
        let Ok(log) = options().open(dir.path()) else { return };
        read(&log);
        for topic in log.topics().unwrap() {
            // Kafka's own topics are not written by hand.
            if let Ok(sent) = log.producer().unwrap().send(&topic, Record::new("more").key("key")) {
                let partition = topic.partition(sent.partition).unwrap();
                assert!(partition.offsets().unwrap().log_end > sent.offset);
            }
        }
        let _ = log.run_maintenance();
        let _ = log.close();
    }
});
