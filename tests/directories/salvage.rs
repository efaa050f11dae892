//! `inspect::salvage`: every batch that is not damaged is read, and what is left out is just the rest.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use crate::common::{Dice, STRIDE, tree};
use stratalog::inspect::{LeftOut, LogFile, Salvaged, salvage};
use stratalog::{Compression, EventLog, Maintenance, ProducerConfig, Record, TopicConfig};

/// A batch: its file, its bytes in it, and its offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lies {
    path: PathBuf,
    bytes: Range<u64>,
    offsets: Range<u64>,
}

/// A partition of several segments. Of its batches some are compressed, with each codec that is built in.
fn partition(root: &Path) -> PathBuf {
    let log =
        EventLog::options().maintenance(Maintenance::Manual).max_segment_bytes(2048).open(root).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let codecs = [
        (true, Compression::None),
        (cfg!(feature = "gzip"), Compression::Gzip),
        (cfg!(feature = "snappy"), Compression::Snappy),
        (true, Compression::None),
        (cfg!(feature = "lz4"), Compression::Lz4),
        (cfg!(feature = "zstd"), Compression::Zstd),
    ];
    let producers: Vec<_> = codecs
        .into_iter()
        .filter(|(is_built, _)| *is_built)
        .map(|(_, codec)| log.producer_with(ProducerConfig::new().compression(codec)).unwrap())
        .collect();
    let mut dice = Dice(11);
    for number in 0..30_usize {
        // Text that does not become small.
        let numbers: Vec<_> = (0..number).map(|_| dice.below(1 << 29).to_string()).collect();
        let text = numbers.concat();
        let values: Vec<String> = (0..=number % 3).map(|n| format!("{number} {n} {text}")).collect();
        producers[number % producers.len()]
            .send_batch(&topic.partition(0).unwrap(), values.iter().map(Record::new))
            .unwrap();
    }
    log.close().unwrap();
    root.join("t-0")
}

fn logs(directory: &Path) -> Vec<PathBuf> {
    let files = tree(directory).into_keys();
    files.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")).collect()
}

fn lie(directory: &Path) -> Vec<Lies> {
    let mut found = Vec::new();
    for path in logs(directory) {
        let mut file = LogFile::open(&path).unwrap();
        while let Some(batch) = file.next_batch().unwrap() {
            let first = u64::try_from(batch.base_offset().unwrap()).unwrap();
            let offsets = first..u64::try_from(batch.last_offset()).unwrap() + 1;
            let bytes = batch.position()..batch.position() + batch.bytes();
            found.push(Lies { path: path.clone(), bytes, offsets });
        }
    }
    found
}

fn salvaged(directory: &Path) -> (Vec<Lies>, Vec<LeftOut>) {
    let (mut read, mut left_out, mut path) = (Vec::new(), Vec::new(), PathBuf::new());
    let paths: BTreeMap<u64, PathBuf> = logs(directory)
        .into_iter()
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), path))
        .collect();
    salvage(directory, |next| {
        match next {
            Salvaged::Batch(batch) => {
                let first = u64::try_from(batch.base_offset().unwrap()).unwrap();
                path.clone_from(paths.range(..=first).next_back().unwrap().1);
                let offsets = first..u64::try_from(batch.last_offset()).unwrap() + 1;
                assert_eq!(batch.records().unwrap().len() as u64, offsets.end - offsets.start);
                let bytes = batch.position()..batch.position() + batch.bytes();
                read.push(Lies { path: path.clone(), bytes, offsets });
            }
            Salvaged::LeftOut(range) => left_out.push(range),
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    (read, left_out)
}

/// `is_damaged` says which batches were touched.
fn check_salvage(directory: &Path, all: &[Lies], is_damaged: impl Fn(&Lies) -> bool, what: &str) {
    let (read, left_out) = salvaged(directory);
    for batch in all.iter().filter(|batch| !is_damaged(batch)) {
        assert!(read.contains(batch), "{what}: {batch:?} is not read\n{left_out:#?}");
    }
    for batch in &read {
        let known = all.iter().any(|one| one.bytes == batch.bytes && one.path == batch.path);
        assert!(known, "{what}: {batch:?} was never written");
    }
    for batch in all {
        for offset in batch.offsets.clone() {
            let is_read = read.iter().any(|one| one.offsets.contains(&offset));
            let is_listed = |one: &LeftOut| one.first <= offset && one.end.is_none_or(|end| offset < end);
            let is_left = left_out.iter().any(is_listed);
            assert!(
                is_read != is_left,
                "{what}: {offset} is read: {is_read}, listed: {is_left}\n{left_out:#?}"
            );
        }
    }
}

#[test]
fn nothing_is_left_out_of_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let directory = partition(dir.path());
    assert!(logs(&directory).len() > 3);
    assert_eq!(salvaged(&directory), (lie(&directory), Vec::new()));
}

#[test]
fn a_flipped_bit_costs_its_own_batch_alone() {
    let dir = tempfile::tempdir().unwrap();
    let directory = partition(dir.path());
    let all = lie(&directory);
    let mut dice = Dice(7);
    for path in logs(&directory) {
        let whole = fs::read(&path).unwrap();
        for position in (0..whole.len()).step_by(5 * STRIDE) {
            let mut bytes = whole.clone();
            bytes[position] ^= 1 << dice.below(8);
            fs::write(&path, &bytes).unwrap();
            let at = position as u64;
            let is_hit = |batch: &Lies| batch.path == path && batch.bytes.contains(&at);
            let hit = all.iter().find(|batch| is_hit(batch)).unwrap();
            // Kafka's checksum covers neither the offset, which the batches around it tell, nor the leader epoch.
            let is_last = all.iter().rfind(|batch| batch.path == path) == Some(hit);
            match at - hit.bytes.start {
                0..8 if is_last => {}
                12..16 => check_salvage(&directory, &all, |_| false, &format!("epoch {position}")),
                _ => check_salvage(&directory, &all, is_hit, &format!("{} {position}", path.display())),
            }
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn zeroed_sectors_cut_files_and_missing_files_cost_what_lay_there() {
    let dir = tempfile::tempdir().unwrap();
    let directory = partition(dir.path());
    let all = lie(&directory);
    let (paths, mut dice) = (logs(&directory), Dice(11));
    for round in 0..200 / STRIDE {
        // Up to two segments are hit, and any number of indexes is missing.
        let mut damaged: Vec<(PathBuf, Range<u64>)> = Vec::new();
        let mut kept = Vec::new();
        for _ in 0..=dice.below(2) {
            // The end of the last one does not show what was there.
            let path = &paths[usize::try_from(dice.below(paths.len() as u64 - 1)).unwrap()];
            if damaged.iter().any(|(other, _)| other == path) {
                continue;
            }
            let whole = fs::read(path).unwrap();
            let length = whole.len() as u64;
            kept.push((path.clone(), whole.clone()));
            match dice.below(3) {
                0 => {
                    fs::remove_file(path).unwrap();
                    damaged.push((path.clone(), 0..length));
                }
                1 => {
                    let at = dice.below(length);
                    fs::write(path, &whole[..usize::try_from(at).unwrap()]).unwrap();
                    damaged.push((path.clone(), at..length));
                }
                _ => {
                    let from = dice.below(length / 512 + 1) * 512;
                    let to = (from + 512).min(length);
                    let mut bytes = whole;
                    bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].fill(0);
                    fs::write(path, bytes).unwrap();
                    damaged.push((path.clone(), from..to));
                }
            }
        }
        let is_damaged = |batch: &Lies| {
            damaged.iter().any(|(path, bytes)| {
                *path == batch.path && bytes.start < batch.bytes.end && batch.bytes.start < bytes.end
            })
        };
        check_salvage(&directory, &all, is_damaged, &format!("round {round}: {damaged:?}"));
        for (path, bytes) in kept {
            fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn a_batch_in_a_value_is_no_batch_of_the_partition() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::options().maintenance(Maintenance::Manual).open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    let producer = log.producer().unwrap();
    for value in ["zero", "one", "two"] {
        producer.send(&topic, Record::new(value)).unwrap();
    }
    log.sync().unwrap();
    let directory = dir.path().join("t-0");
    let image = fs::read(&logs(&directory)[0]).unwrap();
    // The image of a batch of offset 1 whose offset could follow: the value is put where offset 1 may be.
    let mut third = image[usize::try_from(lie(&directory)[2].bytes.start).unwrap()..].to_vec();
    third.truncate(usize::try_from(lie(&directory)[2].bytes.end - lie(&directory)[2].bytes.start).unwrap());
    third[..8].copy_from_slice(&4_u64.to_be_bytes());
    producer.send(&topic, Record::new(&third)).unwrap();
    producer.send(&topic, Record::new("four")).unwrap();
    log.close().unwrap();
    let (path, all) = (logs(&directory)[0].clone(), lie(&directory));
    let mut bytes = fs::read(&path).unwrap();
    // The batch that holds the image is damaged before it.
    bytes[usize::try_from(all[3].bytes.start).unwrap() + 30] ^= 1;
    fs::write(&path, bytes).unwrap();
    let hit = all[3].clone();
    check_salvage(&directory, &all, |batch| *batch == hit, "an image in a value");
}

#[test]
fn nothing_is_changed_by_reading() {
    let dir = tempfile::tempdir().unwrap();
    let directory = partition(dir.path());
    fs::write(&logs(&directory)[1], b"no batch").unwrap();
    let before = tree(dir.path());
    assert!(!salvaged(&directory).1.is_empty());
    assert_eq!(tree(dir.path()), before);
}
