//! One directory and one file on the disk: what was synced, what has changed since, and what a power cut may leave of that.

use std::collections::BTreeMap;
use std::fs::File;

use crate::random::Random;
use crate::tree::content;

/// Numbers of files and directories in the order in which they appeared, so that runs with the same seed are the same.
pub type Id = usize;
/// Names in a directory; `true`: a directory.
pub type Names = BTreeMap<String, (Id, bool)>;
/// What one call has done to names.
pub type Change = BTreeMap<String, Option<(Id, bool)>>;

const SECTORS: [usize; 3] = [512, 4096, 65536];

pub struct Directory {
    pub settled: Names,
    pub changes: Vec<Change>,
    pub now: Names,
}

pub struct Content {
    pub file: File,
    pub settled: Vec<u8>,
    /// Since the last sync, oldest first.
    pub versions: Vec<Vec<u8>>,
    pub begun: Option<Vec<u8>>,
}

/// What is left of the changes to one directory.
#[derive(Clone, Debug)]
pub enum Kept {
    First(usize),
    Chosen(Vec<bool>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Left {
    /// What was synced.
    Least,
    /// All, as after the death of the process.
    Most,
    /// A prefix of the changes of each directory, a mixture of each file.
    Prefix,
    /// A choice among the changes of each directory, a mixture of each file.
    Choice,
}

impl Directory {
    pub fn after(&self, kept: &Kept) -> Names {
        let mut names = self.settled.clone();
        for (number, change) in self.changes.iter().enumerate() {
            let is_kept = match kept {
                Kept::First(length) => number < *length,
                Kept::Chosen(chosen) => chosen[number],
            };
            if is_kept {
                for (name, entry) in change {
                    match entry {
                        Some(entry) => names.insert(name.clone(), *entry),
                        None => names.remove(name),
                    };
                }
            }
        }
        names
    }
}

impl Content {
    pub fn after_cut(&self, left: Left, random: &mut Random) -> Vec<u8> {
        let now = || content(&self.file);
        let way = match left {
            Left::Least => 0,
            Left::Most => 1,
            Left::Prefix | Left::Choice => random.below(5),
        };
        match way {
            0 => return self.settled.clone(),
            1 => return now(),
            _ => {}
        }
        let now = now();
        let mut versions: Vec<&[u8]> = vec![&self.settled];
        versions.extend(self.versions.iter().map(Vec::as_slice));
        versions.push(&now);
        if way == 2 {
            return random.pick(&versions).to_vec();
        }
        let sector = random.pick(&SECTORS);
        let mut mixed = vec![0; random.pick(&versions).len()];
        for (number, part) in mixed.chunks_mut(sector).enumerate() {
            let from = random.pick(&versions).get(number * sector..).unwrap_or_default();
            let length = part.len().min(from.len());
            part[..length].copy_from_slice(&from[..length]);
        }
        mixed
    }
}
