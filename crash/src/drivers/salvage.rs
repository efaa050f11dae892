//! Damage in directories of lives: every batch that was not touched is read, and what is listed as left out is just the rest.

use std::collections::BTreeSet;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use stratalog::inspect::{LeftOut, LogFile, Salvaged, salvage};

use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::keep::Findings;
use crate::load::{self, Load};
use crate::random::Random;
use crate::tree::Tree;

/// Operations of each thread in a life, and damages that are planted in what it has left.
const OPERATIONS: u64 = 100;
const DAMAGES: u64 = 100;
const SECTOR: usize = 512;

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "runs", "dir"])?;
    let directory = arguments.directory()?;
    let (seed, runs): (u64, u64) = (arguments.get("seed", 1)?, arguments.get("runs", 10)?);
    println!("salvage --seed {seed} --runs {runs}");
    let mut findings = Findings::new(&directory);
    let (mut damages, mut read, mut lost) = (0, 0, 0);
    for life in seed..seed + runs {
        let root = fresh(&directory.join("log"))?;
        let log = load::options(life).open(&root).map_err(|failure| format!("open: {failure}"))?;
        Load::new(life, OPERATIONS, false).run(&log, &|_| {})?;
        log.close().map_err(|failure| format!("close: {failure}"))?;
        let mut random = Random::new(life);
        let partitions = partitions(&root)?;
        for _ in 0..DAMAGES {
            let partition = &partitions[random.index(partitions.len())];
            let Some(damage) = Damage::draw(partition, &mut random)? else { continue };
            let outcome = damage.plant().and_then(|()| caught(|| damage.compare(partition)));
            match outcome {
                Ok((whole, hit)) => (damages, read, lost) = (damages + 1, read + whole, lost + hit),
                Err(reason) => {
                    let reason = format!("{damage:?}: {reason}");
                    let command = format!("crash salvage --seed {life} --runs 1");
                    findings.save(&command, &reason, "", Tree::read(&root).ok().as_ref());
                }
            }
            damage.undo()?;
            if findings.are_enough() {
                return Ok(findings.count);
            }
        }
    }
    println!(
        "lives {runs}, damages {damages}, batches read {read}, batches damaged {lost}, violations {}",
        findings.count
    );
    Ok(findings.count)
}

/// A batch that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    path: PathBuf,
    bytes: Range<u64>,
    offsets: Range<u64>,
}

/// A partition as it was closed.
struct Partition {
    directory: PathBuf,
    files: Vec<PathBuf>,
    batches: Vec<Written>,
}

/// Those that have records.
fn partitions(root: &Path) -> Result<Vec<Partition>, String> {
    let failed = |failure: std::io::Error| format!("{}: {failure}", root.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let directory = entry.map_err(failed)?.path();
        let is_partition = directory.is_dir() && directory.extension().is_none();
        if !is_partition {
            continue;
        }
        let names = fs::read_dir(&directory).map_err(failed)?.flatten().map(|file| file.path());
        let mut files: Vec<PathBuf> =
            names.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
        files.sort();
        let mut batches = Vec::new();
        for path in &files {
            let failed = |failure: stratalog::Error| format!("{}: {failure}", path.display());
            let mut file = LogFile::open(path).map_err(failed)?;
            while let Some(batch) = file.next_batch().map_err(failed)? {
                let offsets = offsets_of(batch.base_offset(), batch.last_offset())?;
                let bytes = batch.position()..batch.position() + batch.bytes();
                batches.push(Written { path: path.clone(), bytes, offsets });
            }
        }
        if !batches.is_empty() {
            found.push(Partition { directory, files, batches });
        }
    }
    found.sort_by(|a, b| a.directory.cmp(&b.directory));
    Ok(found)
}

fn offsets_of(base: Option<i64>, last: i64) -> Result<Range<u64>, String> {
    let number = |offset: i64| u64::try_from(offset).map_err(|_| format!("the offset {offset}"));
    Ok(number(base.ok_or("a batch without a base offset")?)?..number(last)? + 1)
}

/// One file that is changed, or is not there.
struct Damage {
    path: PathBuf,
    what: String,
    whole: Vec<u8>,
    /// `None`: the file is removed.
    damaged: Option<Vec<u8>>,
}

impl std::fmt::Debug for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.what)
    }
}

impl Damage {
    /// `None`: one that cannot be noticed. Nothing reports what was at the end of the last segment, and only the batches around
    /// it tell the base offset of a batch, which no checksum covers.
    fn draw(partition: &Partition, random: &mut Random) -> Result<Option<Self>, String> {
        let (last, others) = partition.files.split_last().ok_or("a partition without files")?;
        let way = if others.is_empty() { 0 } else { random.below(4) };
        let path = if way == 0 { random.pick(&partition.files) } else { random.pick(others) };
        let whole = fs::read(&path).map_err(|failure| format!("{}: {failure}", path.display()))?;
        if whole.is_empty() {
            return Ok(None);
        }
        let at = random.index(whole.len());
        let (mut bytes, to) = (whole.clone(), (at / SECTOR * SECTOR + SECTOR).min(whole.len()));
        let (what, damaged) = match way {
            0 => {
                bytes[at] ^= 1 << random.below(8);
                (format!("a bit of byte {at} is flipped"), Some(bytes))
            }
            1 => {
                bytes[at / SECTOR * SECTOR..to].fill(0);
                (format!("{} to {to} are zero", at / SECTOR * SECTOR), Some(bytes))
            }
            2 => {
                bytes.truncate(at);
                (format!("ends at {at}"), Some(bytes))
            }
            _ => ("is not there".into(), None),
        };
        let damage = Self { path: path.clone(), what, whole, damaged };
        let lasts = partition.batches.iter().rfind(|batch| batch.path == path);
        let is_hidden = lasts.is_some_and(|batch| {
            let touched = damage.touched(batch);
            !touched.is_empty() && touched.iter().all(|byte| *byte < 8)
        });
        Ok(Some(damage).filter(|_| !is_hidden && (way == 0 || &path != last)))
    }

    fn plant(&self) -> Result<(), String> {
        let planted = match &self.damaged {
            Some(bytes) => fs::write(&self.path, bytes),
            None => fs::remove_file(&self.path),
        };
        planted.map_err(|failure| format!("{self:?}: {failure}"))
    }

    fn undo(&self) -> Result<(), String> {
        fs::write(&self.path, &self.whole).map_err(|failure| format!("{self:?}: {failure}"))
    }

    /// The bytes of a batch that are other ones now, counted in it. The leader epoch is left out: nothing depends on it.
    fn touched(&self, batch: &Written) -> Vec<u64> {
        if batch.path != self.path {
            return Vec::new();
        }
        let is_other = |at: &u64| {
            let at = *at as usize;
            self.damaged.as_ref().is_none_or(|bytes| bytes.get(at) != self.whole.get(at))
        };
        let touched = batch.bytes.clone().filter(is_other).map(|at| at - batch.bytes.start);
        touched.filter(|byte| !(12..16).contains(byte)).collect()
    }

    /// How many batches were read, and how many are damaged.
    fn compare(&self, partition: &Partition) -> Result<(usize, usize), String> {
        let (mut read, mut left_out): (Vec<Range<u64>>, Vec<LeftOut>) = (Vec::new(), Vec::new());
        let mut wrong = None;
        let ended = salvage(&partition.directory, |next| {
            match next {
                Salvaged::Batch(batch) => match offsets_of(batch.base_offset(), batch.last_offset()) {
                    Ok(offsets) => read.push(offsets),
                    Err(reason) => wrong = Some(reason),
                },
                Salvaged::LeftOut(range) => left_out.push(range),
                _ => {}
            }
            ControlFlow::Continue(())
        });
        ended.map_err(|failure| format!("salvage: {failure}"))?;
        if let Some(reason) = wrong {
            return Err(reason);
        }
        let known: BTreeSet<(u64, u64)> =
            partition.batches.iter().map(|one| (one.offsets.start, one.offsets.end)).collect();
        if let Some(extra) = read.iter().find(|offsets| !known.contains(&(offsets.start, offsets.end))) {
            return Err(format!("{extra:?} was never written"));
        }
        let mut damaged = 0;
        for batch in &partition.batches {
            let (is_read, is_damaged) = (read.contains(&batch.offsets), !self.touched(batch).is_empty());
            damaged += usize::from(is_damaged);
            if is_read == is_damaged {
                return Err(format!("{batch:?} is read: {is_read}, damaged: {is_damaged}; {left_out:?}"));
            }
            let is_listed = |offset: u64| {
                left_out.iter().any(|one| one.first <= offset && one.end.is_none_or(|end| offset < end))
            };
            if let Some(offset) = batch.offsets.clone().find(|offset| is_listed(*offset) == is_read) {
                return Err(format!("{offset} is read: {is_read}, and listed likewise; {left_out:?}"));
            }
        }
        Ok((read.len(), damaged))
    }
}
