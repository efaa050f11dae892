//! The catalog as a whole: against directories of Kafka, against a model, and stopped at any point.

mod alterations;
mod changes;
mod effects;
mod ensuring;
mod kafka;
mod producer_ids;
mod refusals;
mod stops;
mod strangers;
mod unsettled;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::config::{Durability, Mismatch};
use crate::format::batch::BatchBuilder;
use crate::format::file_names::METADATA_DIRECTORY;
use crate::format::record::RecordFields;
use crate::format::uuid::Uuid;
use crate::partition::{AppendAt, AppendRequest};
use crate::sys::Disk;

/// Exhaustive tests take every n-th step only where a system call takes long, as under Wine.
const STRIDE: usize = if cfg!(windows) { 7 } else { 1 };
const NOW: i64 = 1_700_000_000_000;
const NO_TOPICS: [&str; 0] = [];

/// An open catalog in a directory of its own, with one topic that has these partitions, wherever they are.
pub(crate) fn holding(partitions: Vec<Arc<PartitionLog>>) -> (TempDir, Arc<Catalog>) {
    let memory = if cfg!(unix) { "/dev/shm" } else { "no such place" };
    let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
    let catalog = open(dir.path()).unwrap();
    catalog.create(&[("orders", TopicConfig::new())], NOW).unwrap();
    catalog.set_partitions(partitions);
    (dir, Arc::new(catalog))
}

impl Catalog {
    /// The only topic has these partitions from now on.
    pub(crate) fn set_partitions(&self, partitions: Vec<Arc<PartitionLog>>) {
        let topics = std::mem::take(&mut *self.present.write());
        let (name, entry) = Arc::into_inner(topics).unwrap().pop_first().unwrap();
        let entry = Arc::into_inner(entry).unwrap().with_partitions(partitions);
        *self.present.write() = Arc::new([(name, Arc::new(entry))].into());
    }
}

fn open(root: &Path) -> Result<Catalog> {
    open_on(root, &Disk::of(root, true, true))
}

fn open_on(root: &Path, disk: &Disk) -> Result<Catalog> {
    let clean = root.join(".kafka_cleanshutdown").exists();
    open_with(root, disk, clean, CatalogOptions::default())
}

pub(crate) fn open_with(root: &Path, disk: &Disk, clean: bool, options: CatalogOptions) -> Result<Catalog> {
    let dir = LogDir::new(root.to_owned(), disk.clone());
    Catalog::open(&dir, &Checkpoints::read(&dir, clean)?, &PartitionContext::default(), options, NOW)
}

/// The directory as another process sees it.
pub(crate) fn open_to_tail(root: &Path) -> Result<Catalog> {
    let dir = LogDir::new(root.to_owned(), Disk::for_reading(root, true));
    let checkpoints = Checkpoints::read(&dir, false)?;
    Catalog::open_read_only(&dir, &checkpoints, &PartitionContext::default(), CatalogOptions::default())
}

/// A new directory with an open catalog, and these topics of one partition each.
fn fresh(topics: &[&str]) -> (TempDir, Catalog) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path()).unwrap();
    for name in topics {
        catalog.create(&[(name, TopicConfig::new())], NOW).unwrap();
    }
    (dir, catalog)
}

/// The topic as it is, whatever the configuration says, or a new one.
fn ensure(catalog: &Catalog, name: &str, config: TopicConfig) -> Result<Arc<TopicEntry>> {
    catalog.ensure(name, &config, Mismatch::Keep, NOW)
}

fn vector(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(path)
}

fn copied(path: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&vector(path), dir.path());
    dir
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Appends a record to each partition of a topic.
fn fill(topic: &TopicEntry) {
    for partition in topic.partitions().iter() {
        let mut builder = BatchBuilder::default();
        let fields = RecordFields { key: None, value: Some(b"v"), headers: &[] };
        builder.push(&fields, builder.measure(&fields, NOW), NOW);
        partition
            .leader()
            .unwrap()
            .append(AppendRequest::new(&mut builder.finish().unwrap(), AppendAt::End, Durability::Buffered))
            .unwrap();
    }
}

/// Deletes a topic, and does what follows from it.
fn delete(catalog: &Catalog, name: &str) -> Arc<TopicEntry> {
    let deleted = catalog.delete(name, NOW).unwrap();
    catalog.finish_deletions().unwrap();
    deleted
}

fn names(catalog: &Catalog) -> Vec<String> {
    catalog.topics().iter().map(|topic| topic.name().to_string()).collect()
}

/// Everything there is to know of each topic.
fn described(catalog: &Catalog) -> BTreeMap<String, TopicDescription> {
    catalog.topics().iter().map(|topic| (topic.name().to_string(), topic.describe())).collect()
}

/// Names of directories other than that of the metadata log.
fn directories(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
    let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != METADATA_DIRECTORY);
    names.sort();
    names
}

fn message<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}
