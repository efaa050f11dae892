//! What is in a directory: names and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::interpose::unseen;

/// A directory with all below it. Names are relative to it, with `/` between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tree {
    pub directories: BTreeSet<String>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    pub fn read(root: &Path) -> io::Result<Self> {
        unseen(|| {
            let mut tree = Self::default();
            let mut folders = vec![String::new()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(root.join(&folder))? {
                    let entry = entry?;
                    let name = format!("{folder}{}", entry.file_name().to_string_lossy());
                    if entry.file_type()?.is_dir() {
                        folders.push(format!("{name}/"));
                        tree.directories.insert(name);
                    } else {
                        tree.files.insert(name, fs::read(entry.path())?);
                    }
                }
            }
            Ok(tree)
        })
    }

    /// Makes `to` hold this and nothing else.
    pub fn write(&self, to: &Path) -> io::Result<()> {
        unseen(|| {
            match fs::remove_dir_all(to) {
                Err(failure) if failure.kind() != io::ErrorKind::NotFound => return Err(failure),
                _ => fs::create_dir_all(to)?,
            }
            for name in &self.directories {
                fs::create_dir_all(to.join(name))?;
            }
            self.files.iter().try_for_each(|(name, bytes)| fs::write(to.join(name), bytes))
        })
    }

    /// Equal trees have equal marks.
    pub fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// In words, what `other` has instead.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let directories = self.directories.symmetric_difference(&other.directories);
        let mut found: Vec<String> = directories.map(|name| format!("{name}/ is in one of both")).collect();
        let names: BTreeSet<&String> = self.files.keys().chain(other.files.keys()).collect();
        for name in names {
            match (self.files.get(name), other.files.get(name)) {
                (Some(mine), Some(theirs)) if mine == theirs => {}
                (Some(mine), Some(theirs)) => {
                    let at = mine.iter().zip(theirs).position(|(a, b)| a != b);
                    let (mine, theirs) = (mine.len(), theirs.len());
                    found.push(format!("{name}: {mine} and {theirs} bytes, first difference {at:?}"));
                }
                (mine, _) => found.push(format!("{name} is {}", if mine.is_some() { "gone" } else { "new" })),
            }
        }
        found
    }
}

/// All bytes of an open file, without moving its position.
pub fn content(file: &File) -> Vec<u8> {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    bytes.truncate(filled);
    bytes
}
