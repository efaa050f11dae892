//! Files as a later version, of this library or of Kafka, may write them: each of the formats that say their version.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stratalog::{Error, Event, Events, Remedy};

use super::vector::{State, described, laid_out, options};

/// Bytes in which a newer version is put, and whether there was a place for it.
type Change = fn(&mut Vec<u8>) -> bool;

/// Replaces a text.
fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) -> bool {
    let text = String::from_utf8(bytes.clone()).unwrap();
    let changed = text.replacen(from, to, 1);
    *bytes = changed.into_bytes();
    text.as_bytes() != bytes
}

fn later_checkpoint(bytes: &mut Vec<u8>) -> bool {
    replace(bytes, "0\n", "1\n")
}

/// Where the batches begin and end.
fn batches(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if length == 0 || at + 12 + length > bytes.len() {
            break;
        }
        found.push(at..at + 12 + length);
        at += 12 + length;
    }
    found
}

/// The last batch is one of a format that comes later.
fn magic(bytes: &mut [u8]) -> bool {
    let Some(last) = batches(bytes).pop() else { return false };
    bytes[last.start + 16] = 3;
    true
}

/// The last batch is compressed by a codec that comes later.
fn codec(bytes: &mut [u8]) -> bool {
    let Some(last) = batches(bytes).pop() else { return false };
    bytes[last.start + 22] |= 5;
    seal(bytes, &last);
    true
}

fn seal(bytes: &mut [u8], batch: &Range<usize>) {
    let crc = crc32c::crc32c(&bytes[batch.start + 21..batch.end]);
    bytes[batch.start + 17..batch.start + 21].copy_from_slice(&crc.to_be_bytes());
}

fn varint(bytes: &[u8], at: &mut usize) -> i64 {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
        }
    }
}

/// Where keys and values lie of a batch that is not compressed.
fn records(bytes: &[u8], batch: &Range<usize>) -> Vec<[Range<usize>; 2]> {
    let count = i32::from_be_bytes(bytes[batch.start + 57..batch.start + 61].try_into().unwrap());
    let mut at = batch.start + 61;
    let mut found = Vec::new();
    for _ in 0..count {
        let length = varint(bytes, &mut at);
        let end = at + usize::try_from(length).unwrap();
        at += 1;
        varint(bytes, &mut at);
        varint(bytes, &mut at);
        let mut part = || {
            let length = usize::try_from(varint(bytes, &mut at)).unwrap_or(0);
            at += length;
            at - length..at
        };
        found.push([part(), part()]);
        at = end;
    }
    found
}

/// Changes the first key or value for which `change` finds a place, and puts the checksum of its batch right.
fn in_a_record(bytes: &mut [u8], change: impl Fn(&mut [u8], &mut [u8]) -> bool) -> bool {
    for batch in batches(bytes) {
        for [key, value] in records(bytes, &batch) {
            let (mut new_key, mut new_value) = (bytes[key.clone()].to_vec(), bytes[value.clone()].to_vec());
            if change(&mut new_key, &mut new_value) {
                bytes[key].copy_from_slice(&new_key);
                bytes[value].copy_from_slice(&new_value);
                seal(bytes, &batch);
                return true;
            }
        }
    }
    false
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// `Unsupported`, from the opening or from the first use, and the file stays as it is.
    Refused,
    /// The same from opening for writing. It can be read, and nothing is missing.
    ReadOnly,
    /// Nothing is missing: the file is derived, or what is known of it is where it always did. Reported by an event where
    /// `true`.
    Same(bool),
}

/// Each format that says its version, with a newer one. Some have no place in a log that was closed, or in one that was not.
const NEWER: [(&str, &str, Change, End); 23] = [
    ("stratalog.live", "another layout", |bytes| set(bytes, 7, b'2'), End::Same(false)),
    (
        ".kafka_cleanshutdown",
        "a version",
        |bytes| {
            bytes.extend(br#"{"version":9,"brokerEpoch":-1}"#);
            true
        },
        End::Same(false),
    ),
    ("meta.properties", "version", |bytes| replace(bytes, "version=1", "version=2"), End::Refused),
    ("log-start-offset-checkpoint", "version", later_checkpoint, End::Refused),
    ("recovery-point-offset-checkpoint", "version", later_checkpoint, End::Same(true)),
    ("cleaner-offset-checkpoint", "version", later_checkpoint, End::Same(true)),
    ("replication-offset-checkpoint", "version", later_checkpoint, End::Same(false)),
    ("plain-0/leader-epoch-checkpoint", "version", later_checkpoint, End::Same(true)),
    // Its second line is the id, whatever more a later version adds.
    (
        "plain-0/partition.metadata",
        "version",
        |bytes| replace(bytes, "version: 0", "version: 1"),
        End::Same(false),
    ),
    ("plain-0/.snapshot", "version", |bytes| set(bytes, 1, 2), End::Same(false)),
    ("plain-0/.log", "magic", |bytes| magic(bytes), End::Refused),
    ("plain-0/.log", "codec", |bytes| codec(bytes), End::Refused),
    ("__cluster_metadata-0/.log", "magic", |bytes| magic(bytes), End::Refused),
    ("__consumer_offsets-0/.log", "magic", |bytes| magic(bytes), End::Refused),
    ("__consumer_offsets-1/.log", "magic", |bytes| magic(bytes), End::Refused),
    (
        "__cluster_metadata-0/.log",
        "frame version",
        |bytes| in_a_record(bytes, |_, value| set(value, 0, 2)),
        End::Refused,
    ),
    // The level says whether records may be newer than is known; what they add is after what is known.
    (
        "__cluster_metadata-0/.log",
        "metadata.version",
        |bytes| {
            in_a_record(bytes, |_, value| {
                let at = value.len() - 2;
                value[1] == FEATURE_LEVEL && set(value, at, 200)
            })
        },
        End::ReadOnly,
    ),
    ("__cluster_metadata-0/.log", "version of a topic", |bytes| later_record(bytes, 2), End::Same(false)),
    ("__cluster_metadata-0/.log", "version of a partition", |bytes| later_record(bytes, 3), End::Same(false)),
    ("__cluster_metadata-0/.log", "version of a setting", |bytes| later_record(bytes, 4), End::Same(false)),
    ("__consumer_offsets-0/.log", "version of a position", |bytes| later_of_group(bytes, 1), End::Refused),
    ("__consumer_offsets-1/.log", "version of a position", |bytes| later_of_group(bytes, 1), End::Refused),
    // Positions need it not. A consumer that would join the group is refused.
    ("__consumer_offsets-1/.log", "version of a group", |bytes| later_of_group(bytes, 2), End::Same(true)),
];

const FEATURE_LEVEL: u8 = 12;

fn set(bytes: &mut [u8], at: usize, to: u8) -> bool {
    bytes.get_mut(at).is_some_and(|byte| std::mem::replace(byte, to) != to)
}

fn later_record(bytes: &mut [u8], kind: u8) -> bool {
    in_a_record(bytes, |_, value| value[1] == kind && set(value, 2, 9))
}

/// All values of a kind of key, so that none is a later one of the same key.
fn later_of_group(bytes: &mut [u8], kind: u8) -> bool {
    let later = |key: &mut [u8], value: &mut [u8]| {
        key.starts_with(&[0, kind]) && !value.is_empty() && set(value, 1, 9)
    };
    let found = in_a_record(bytes, later);
    while in_a_record(bytes, later) {}
    found
}

/// Puts a newer version in the first file that has a place for it. Gives the file and what it holds then.
fn laid_out_newer(
    state: &State,
    pattern: &str,
    change: Change,
) -> Option<(tempfile::TempDir, PathBuf, Vec<u8>)> {
    let dir = laid_out(state);
    for path in matching(dir.path(), pattern) {
        let mut bytes = fs::read(&path).unwrap();
        if change(&mut bytes) {
            fs::write(&path, &bytes).unwrap();
            return Some((dir, path, bytes));
        }
    }
    None
}

/// The file of this path, or all files of a partition that end like this.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    match pattern.split_once("/.") {
        Some((folder, suffix)) => {
            let names = crate::common::names(&root.join(folder)).into_iter();
            names.filter(|name| name.ends_with(suffix)).map(|name| root.join(folder).join(name)).collect()
        }
        None => [root.join(pattern)].into_iter().filter(|path| path.exists()).collect(),
    }
}

fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::Unsupported(_))
        && error.remedy() == Remedy::Inspect
        && error.to_string().contains("version")
}

fn is_reported(events: &Events) -> bool {
    std::iter::from_fn(|| events.try_next())
        .any(|event| matches!(event, Event::CheckpointUnreadable { .. } | Event::CommitSkipped { .. }))
}

#[test]
fn a_newer_format_is_refused_or_known_to_say_nothing_new() {
    for (pattern, what, change, end) in NEWER {
        let mut tried = 0;
        // What a running writer has is what it leaves when it is killed.
        for state in super::all().into_iter().filter(|state| !state.path.ends_with("running")) {
            let Some((dir, path, bytes)) = laid_out_newer(&state, pattern, change) else { continue };
            tried += 1;
            let case = format!("{} {pattern} {what}", state.path.display());
            for read_only in [true, false] {
                let opened = options().read_only(read_only).open(dir.path());
                let log = match opened {
                    Ok(log) => log,
                    Err(failure) => {
                        assert!(is_unsupported(&failure), "{case}: {failure:?}");
                        assert!(
                            end == End::Refused || end == End::ReadOnly && !read_only,
                            "{case}: {failure}"
                        );
                        assert_eq!(fs::read(&path).unwrap(), bytes, "{case}");
                        continue;
                    }
                };
                let events = log.events();
                match (described(&log), end) {
                    (Err(failure), End::Refused) => {
                        assert!(is_unsupported(&failure), "{case}: {failure:?}");
                        let _ = log.close();
                        // Space that was preallocated may go.
                        let now = fs::read(&path).unwrap();
                        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                        assert_eq!(now.get(..written), bytes.get(..written), "{case}: it was changed");
                    }
                    (Ok(found), End::Same(reports)) => {
                        assert_eq!(found, state.expected, "{case}");
                        // A reader needs no leader epochs.
                        assert!(!reports || is_reported(&events) || read_only, "{case}: no event");
                    }
                    (Ok(found), End::ReadOnly) if read_only => assert_eq!(found, state.expected, "{case}"),
                    (other, _) => panic!("{case}, {read_only}: {:?}", other.err()),
                }
            }
        }
        // No broker has written these directories.
        assert!(tried > 0 || pattern == "replication-offset-checkpoint", "{pattern} {what} has no place");
    }
}

/// A member that joins a group whose record is of a later version would write over it.
#[test]
fn a_group_of_a_newer_version_takes_no_member() {
    let mut tried = 0;
    for state in super::all() {
        let change: Change = |bytes| later_of_group(bytes, 2);
        let Some((dir, ..)) = laid_out_newer(&state, "__consumer_offsets-1/.log", change) else { continue };
        let log = options().open(dir.path()).unwrap();
        let mut member = log.consumer("members").unwrap();
        let joined = member
            .subscribe(["gzip"])
            .and_then(|()| member.poll(Duration::ZERO).map(|records| records.len()));
        assert!(joined.as_ref().is_err_and(is_unsupported), "{}: {joined:?}", state.path.display());
        tried += 1;
    }
    assert!(tried > 0);
}
