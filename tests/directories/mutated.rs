//! A directory of a closed or killed log with changes to its files and directories, opened, read, verified, written and
//! opened again. `fuzz/` calls it with inputs that it makes up, `tests/directories/mutated_directories.rs` with those that were kept.
//!
//! Input: which directory, then a row of changes. The first byte of each chooses a file, the second what happens to it, the
//! rest where and what.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use stratalog::inspect::{VerifyOptions, verify};
use stratalog::{
    Compression, ConsumerConfig, Error, EventLog, IsolationLevel, Maintenance, OpenOptions, Position, Record,
    TopicConfig,
};

/// A directory as bytes, by path.
type Files = BTreeMap<PathBuf, Vec<u8>>;

const CHANGE: usize = 6;

/// Files of a small log.
fn base(clean: bool) -> &'static Files {
    static BASES: [OnceLock<Files>; 2] = [OnceLock::new(), OnceLock::new()];
    BASES[usize::from(clean)].get_or_init(|| {
        let dir = scratch();
        let log = options().open(dir.path()).unwrap();
        let config = || TopicConfig::new().retention(None);
        let compact = config().set("cleanup.policy", "compact").set("min.cleanable.dirty.ratio", "0.01");
        let topics = [
            ("plain", config().partitions(2)),
            ("lz4", config().compression(Compression::Lz4)),
            ("compacted", compact),
        ];
        let topics = log.create_topics(topics).unwrap();
        let producer = log.producer().unwrap();
        for number in 0..36_u8 {
            let (value, key) = (vec![b'a' + number % 26; 100], [b'k', number % 5]);
            let record = Record::new(&value).key(&key).header("name", "value").partition(0);
            for topic in &topics {
                producer.send(topic, record.clone()).unwrap();
            }
        }
        log.run_maintenance().unwrap();
        log.group("group").unwrap().set_committed([Position::new(("plain", 0), 3)]).unwrap();
        if clean {
            log.close().unwrap();
            return collected(dir.path());
        }
        log.sync().unwrap();
        collected(dir.path())
    })
}

fn collected(root: &Path) -> Files {
    let (mut files, mut folders) = (Files::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // On some systems no other process reads what is locked. Space that is held for a full disk is nothing to read.
                let bytes = fs::read(&path).unwrap_or_default();
                let bytes = if path.ends_with("stratalog.reserve") { Vec::new() } else { bytes };
                files.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

/// In memory, where there is such a place.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn options() -> OpenOptions {
    // Small segments, so that there are several; no threads, so that the same input does the same.
    EventLog::options().maintenance(Maintenance::Manual).max_segment_bytes(2048).offsets_partitions(1)
}

/// A change to the bytes of one file.
fn change_bytes(kind: u8, bytes: &mut Vec<u8>, place: usize, [what, more]: [u8; 2]) {
    match kind {
        0 if !bytes.is_empty() => {
            let place = place % bytes.len();
            bytes[place] ^= 1 << (what % 8);
        }
        1 if !bytes.is_empty() => {
            let place = place % bytes.len();
            bytes[place] = what;
        }
        2 => bytes.truncate(place),
        3 => bytes.extend(std::iter::repeat_n(what, usize::from(more) * 8)),
        4 if bytes.len() > place => drop(bytes.drain(place..(place + usize::from(more)).min(bytes.len()))),
        5 => bytes.clear(),
        _ => {}
    }
}

/// A change to names: of a file, or of the directory that it lies in.
fn change_names(kind: u8, files: &mut Files, path: &Path, other: &Path, what: u8) {
    let bytes = files[path].clone();
    let of = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
    let (folder, other_folder) = (of(path), of(other));
    let within = |files: &Files, folder: &Path| -> Files {
        let inside = files.iter().filter(|(path, _)| of(path) == folder);
        inside.map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
    };
    let moved = |content: &Files, to: &Path| -> Files {
        content.iter().map(|(path, bytes)| (to.join(path.file_name().unwrap()), bytes.clone())).collect()
    };
    match kind {
        6 => drop(files.remove(path)),
        7 => {
            let suffix = [".deleted", ".swap", ".cleaned", ".tmp", ".prepared", "x"][usize::from(what % 6)];
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            files.remove(path);
            files.insert(name.into(), bytes);
        }
        // Exchanged with another.
        8 => {
            let there = files.insert(other.to_owned(), bytes).unwrap_or_default();
            files.insert(path.to_owned(), there);
        }
        // In the place of another, itself gone or still there.
        9 => {
            files.remove(path);
            files.insert(other.to_owned(), bytes);
        }
        10 => drop(files.insert(other.to_owned(), bytes)),
        // Of the same name in another directory.
        11 => drop(files.insert(other_folder.join(path.file_name().unwrap()), bytes)),
        // The directory is gone, is swapped with another, or is there twice.
        12 => files.retain(|path, _| of(path) != folder || folder == Path::new("")),
        13 if folder != Path::new("") && other_folder != Path::new("") => {
            let (here, there) = (within(files, &folder), within(files, &other_folder));
            files.retain(|path, _| of(path) != folder && of(path) != other_folder);
            files.extend(moved(&here, &other_folder));
            files.extend(moved(&there, &folder));
        }
        14 if folder != Path::new("") => {
            let names = ["plain-2", "lz4-1", "new-0", "plain-0.0123456789abcdef0123456789abcdef-delete"];
            files.extend(moved(&within(files, &folder), Path::new(names[usize::from(what % 4)])));
        }
        _ => {}
    }
}

fn lay_out(data: &[u8], at: &Path) {
    let Some((first, changes)) = data.split_first() else { return };
    let mut files = base(first & 1 == 0).clone();
    for change in changes.chunks_exact(CHANGE).take(8) {
        let [file, kind, where_high, where_low, what, more] = *change else { continue };
        let chosen = |files: &Files, number: u8| files.keys().nth(usize::from(number) % files.len()).cloned();
        if files.is_empty() {
            break;
        }
        let (Some(path), Some(other)) = (chosen(&files, file), chosen(&files, more)) else { break };
        let kind = kind % 15;
        if let Some(bytes) = files.get_mut(&path).filter(|_| kind < 6) {
            change_bytes(kind, bytes, usize::from(u16::from_be_bytes([where_high, where_low])), [what, more]);
        } else {
            change_names(kind, &mut files, &path, &other, what);
        }
    }
    for (path, bytes) in files {
        let path = at.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Reads all partitions. Damage is stepped over; a reader must come to an end.
fn read(log: &EventLog) {
    for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
        let Ok(topics) = log.topics() else { return };
        for partition in topics.iter().flat_map(stratalog::Topic::partitions) {
            let Ok(mut consumer) = log.consumer_with(ConsumerConfig::new().isolation(isolation)) else {
                return;
            };
            if consumer.assign([&partition]).is_err() {
                continue;
            }
            let mut position = 0;
            for turn in 0.. {
                assert!(turn < 1000, "a reader comes to no end");
                match consumer.poll(Duration::ZERO) {
                    Ok(records) if records.is_empty() => break,
                    Ok(records) => {
                        for record in &records {
                            assert!(record.offset() >= position, "offsets continue");
                            position = record.offset() + 1;
                            let _ = (record.key(), record.value(), record.headers().count());
                        }
                    }
                    Err(Error::Corrupt(damage) | Error::Unsupported(damage)) => {
                        let Some(resume_at) = damage.resume_at() else { break };
                        assert!(resume_at.offset() > position || position == 0, "past the damage");
                        consumer.seek(resume_at).unwrap();
                    }
                    Err(_) => break,
                }
            }
        }
    }
    let _ = log.group("group").and_then(|group| group.committed());
}

/// One input.
#[allow(unreachable_pub, reason = "programs of two crates call it")]
pub fn open(data: &[u8]) {
    let dir = scratch();
    lay_out(data, dir.path());
    let _ = verify(dir.path(), VerifyOptions::new(), |problem| drop(problem.to_string()));
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
}
