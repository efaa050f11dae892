//! Stops at each step of a cleaner run: the next open has the old segments or the new ones, and never a mix.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stratalog::EventLog;

use super::{clock, compacted, fill, filled, in_memory, manual};
use crate::common::{copy, names, read};

/// Every file of a partition with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    names(dir)
        .into_iter()
        .filter(|name| dir.join(name).is_file())
        .map(|name| (name.clone(), fs::read(dir.join(&name)).unwrap()))
        .collect()
}

/// Offset, key and value of a record.
type Seen = (u64, Option<Vec<u8>>, Option<Vec<u8>>);

/// What there is to be seen of a topic: offsets, keys and values.
fn seen(log: &EventLog) -> Vec<Seen> {
    let topic = log.topic("t").unwrap();
    let records = read(log, topic.partitions());
    records
        .iter()
        .map(|record| record.view())
        .map(|record| (record.offset(), record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec)))
        .collect()
}

/// A directory before a cleaner run and after it, closed cleanly; and what is seen in each.
struct Both {
    is_clean: std::cell::Cell<bool>,
    dir: tempfile::TempDir,
    before: BTreeMap<String, Vec<u8>>,
    after: BTreeMap<String, Vec<u8>>,
    seen_before: Vec<Seen>,
    seen_after: Vec<Seen>,
}

fn both() -> Both {
    let (dir, clock) = (in_memory(), clock());
    let (log, topic) = filled(dir.path(), &clock);
    // Segments that were compacted before become fewer.
    log.run_maintenance().unwrap();
    fill(&log, &topic, &clock, 100);
    // Everything has its final form before there is anything to compact.
    topic.alter_config(|config| config.set("min.compaction.lag.ms", "1000000000")).unwrap();
    log.run_maintenance().unwrap();
    let seen_before = seen(&log);
    log.close().unwrap();
    let partition = dir.path().join("t-0");
    let before = files(&partition);

    let after = in_memory();
    copy(dir.path(), after.path());
    let log = manual(&clock).open(after.path()).unwrap();
    let topic = log.topic("t").unwrap();
    topic
        .alter_config(|config| config.set("min.compaction.lag.ms", "0").set("file.delete.delay.ms", "0"))
        .unwrap();
    assert!(log.run_maintenance().unwrap().partitions_compacted > 0);
    log.run_maintenance().unwrap();
    let seen_after = seen(&log);
    log.close().unwrap();
    assert!(seen_after.len() < seen_before.len() / 2);
    let after = files(&after.path().join("t-0"));
    assert!(after.len() < before.len());
    Both { is_clean: std::cell::Cell::default(), dir, before, after, seen_before, seen_after }
}

/// The offset that a file name begins with, and what follows.
fn split(name: &str) -> Option<(u64, &str)> {
    let (digits, suffix) = name.split_once('.')?;
    Some((digits.parse().ok()?, suffix))
}

impl Both {
    /// Opens the directory with these files in the partition, as after a clean or an unclean stop, for writing and only
    /// for reading, and asserts what is seen.
    fn assert_opens(&self, files: &BTreeMap<String, Vec<u8>>, is_new: bool, step: &str) {
        // The two kinds of stop take turns: each is met at every second step.
        self.is_clean.set(!self.is_clean.get());
        let clean = self.is_clean.get();
        let dir = in_memory();
        copy(self.dir.path(), dir.path());
        let partition = dir.path().join("t-0");
        fs::remove_dir_all(&partition).unwrap();
        fs::create_dir(&partition).unwrap();
        for (name, bytes) in files {
            fs::write(partition.join(name), bytes).unwrap();
        }
        if !clean {
            fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
        }
        let expected = if is_new { &self.seen_after } else { &self.seen_before };
        let reader = EventLog::open_read_only(dir.path()).unwrap();
        assert_eq!(&seen(&reader), expected, "{step}, read only, {clean}");
        reader.close().unwrap();
        assert_eq!(&self::files(&partition), files, "{step}: a reader changes nothing");
        for again in [false, true] {
            let log = manual(&clock()).open(dir.path()).unwrap();
            assert!(log.recovery().failed.is_empty(), "{step}: {:?}", log.recovery().failed);
            assert_eq!(&seen(&log), expected, "{step}, {clean}, {again}");
            log.close().unwrap();
            let left = names(&partition);
            let is_left =
                |name: &&String| [".cleaned", ".swap", ".deleted"].iter().any(|end| name.ends_with(end));
            assert_eq!(left.iter().find(is_left), None, "{step}");
        }
    }
}

/// All renames of a swap in their order: each is one more step.
#[test]
fn a_stop_after_any_rename_gives_the_old_segments_or_the_new_ones() {
    let both = both();
    let is_index = |suffix: &str| ["log", "index", "timeindex"].contains(&suffix);
    let parts = |files: &BTreeMap<String, Vec<u8>>| -> Vec<(String, Vec<u8>)> {
        files
            .iter()
            .filter(|(name, _)| split(name).is_some_and(|(_, suffix)| is_index(suffix)))
            .map(|(name, bytes)| (name.clone(), bytes.clone()))
            .collect()
    };
    let active = parts(&both.before).iter().filter_map(|(name, _)| Some(split(name)?.0)).max().unwrap();
    let sealed = |files| {
        parts(files).into_iter().filter(|(name, _)| split(name).unwrap().0 < active).collect::<Vec<_>>()
    };
    let (old, new) = (sealed(&both.before), sealed(&both.after));
    assert!(new.len() > 3 && old.len() > new.len(), "several segments take the place of more");

    // All of it as one swap of several segments, as a split leaves it: the highest goes first.
    let mut present = both.before.clone();
    both.assert_opens(&present, false, "before");
    for (name, bytes) in &new {
        present.insert(format!("{name}.cleaned"), bytes[..bytes.len() / 2].to_vec());
        both.assert_opens(&present, false, &format!("{name} begun"));
        present.insert(format!("{name}.cleaned"), bytes.clone());
    }
    both.assert_opens(&present, false, "cleaned");
    for (at, (name, bytes)) in new.iter().rev().enumerate() {
        present.remove(&format!("{name}.cleaned"));
        present.insert(format!("{name}.swap"), bytes.clone());
        both.assert_opens(&present, at + 1 == new.len(), &format!("{name} swapped"));
    }
    for (name, bytes) in &old {
        present.remove(name);
        present.insert(format!("{name}.deleted"), bytes.clone());
        both.assert_opens(&present, true, &format!("{name} deleted"));
    }
    let strip = |present: &mut BTreeMap<String, Vec<u8>>, wanted: &str| {
        for (name, bytes) in new.iter().filter(|(name, _)| split(name).unwrap().1 == wanted) {
            present.remove(&format!("{name}.swap"));
            present.insert(name.clone(), bytes.clone());
            both.assert_opens(present, true, &format!("{name} stripped"));
        }
    };
    for suffix in ["log", "index", "timeindex"] {
        strip(&mut present, suffix);
    }
}

/// What a reader beside a cleaner run may find in the moment between two renames.
#[test]
fn a_reader_takes_what_is_swapped_in() {
    let both = both();
    let dir = in_memory();
    copy(both.dir.path(), dir.path());
    let partition = dir.path().join("t-0");
    let log = EventLog::open_read_only(dir.path()).unwrap();
    assert_eq!(seen(&log), both.seen_before);
    // The segments are replaced under it.
    for name in both.before.keys() {
        fs::rename(partition.join(name), partition.join(format!("{name}.deleted"))).unwrap();
    }
    for (name, bytes) in &both.after {
        fs::write(partition.join(name), bytes).unwrap();
    }
    assert_eq!(seen(&log), both.seen_after);
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([("t", 0)]).unwrap();
    let last = both.seen_after.last().unwrap().0;
    for from in 0..=last {
        reader.seek(stratalog::Position::new(("t", 0), from)).unwrap();
        let found = reader.poll(std::time::Duration::ZERO).unwrap();
        let expected = both.seen_after.iter().map(|(offset, ..)| *offset).find(|offset| *offset >= from);
        assert_eq!(found.iter().next().map(|record| record.offset()), expected);
    }
}

/// A cleaner run that fails anywhere leaves what there was; the next one does it all.
#[test]
fn a_pass_that_cannot_write_leaves_everything_as_it_was() {
    let (dir, clock) = (in_memory(), clock());
    let (log, topic) = filled(dir.path(), &clock);
    topic.alter_config(|config| config.set("min.compaction.lag.ms", "1000000000")).unwrap();
    log.run_maintenance().unwrap();
    topic.alter_config(|config| config.set("min.compaction.lag.ms", "0")).unwrap();
    let before = seen(&log);
    let partition = dir.path().join("t-0");
    // What is in the way cannot be removed as a file.
    let in_the_way = partition.join("00000000000000000000.log.cleaned");
    fs::create_dir(&in_the_way).unwrap();
    let present = files(&partition);
    let events = log.events();
    assert!(log.run_maintenance().is_err());
    let reported = std::iter::from_fn(|| events.try_next());
    let failed = |event: &stratalog::Event| {
        matches!(event, stratalog::Event::MaintenanceFailed { task: "compaction", .. })
    };
    assert_eq!(reported.filter(failed).count(), 1);
    assert_eq!(seen(&log), before);
    assert_eq!(files(&partition), present);
    fs::remove_dir(&in_the_way).unwrap();
    assert!(log.run_maintenance().unwrap().partitions_compacted > 0);
    assert!(seen(&log).len() < before.len());
    fill(&log, &topic, &clock, 3);
    log.close().unwrap();
    let log = manual(&clock).open(dir.path()).unwrap();
    assert!(compacted(&log) && log.recovery().clean);
}
