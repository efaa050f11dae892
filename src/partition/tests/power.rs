//! Power loss: a partition is built again from what had reached the disk, with any part of the rest.
//!
//! A file is on disk as it was at its last sync; of what was written since, any sectors may be there, and the
//! length of then or of now. A directory is as it was at its last sync or after any change since.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::fixture::{
    EXACT, Fixture, MAPPED, Modes, POSITIONED, append_numbered, assert_numbered, batch, numbered,
    preallocate_now, raise,
};
use crate::background::retention::{Stint, retain};
use crate::config::Durability;
use crate::partition::{AppendAt, AppendRequest, Checkpointed, Leader, Retention};
use crate::sys::faults::{Faults, Observer};

const SECTOR: usize = 512;
const VALUE: usize = 300;
const SEGMENT_BYTES: u32 = 4000;

/// Names in a directory, and which file each means.
type Listing = BTreeMap<String, u64>;

#[derive(Debug, Default)]
struct Image {
    /// Files by their numbers, which are not given away while they are open, and their content at the last sync.
    files: BTreeMap<u64, (File, Vec<u8>)>,
    /// As of the last sync of the directory, and after renames since. The first is on disk.
    listings: Vec<Listing>,
    /// Whether the directory itself is.
    has_name: bool,
    /// Marks that were acknowledged.
    durable: u64,
    recovery_point: u64,
    log_start: u64,
    appended: u64,
    random: u64,
    /// What was built and is to be checked.
    crashes: Vec<Crash>,
}

/// A directory as it may be after the power has gone.
#[derive(Debug, Clone)]
pub(super) struct Crash {
    /// `None`: not there at all.
    files: Option<BTreeMap<String, Vec<u8>>>,
    durable: u64,
    recovery_point: u64,
    log_start: u64,
    appended: u64,
}

#[derive(Debug, Clone, Copy)]
enum Kept {
    /// Only what was synced.
    Least,
    /// All, as when only the process dies.
    Most,
    Some,
}

#[derive(Debug)]
pub(super) struct SimulatedDisk {
    directory: PathBuf,
    image: Mutex<Image>,
}

impl Crash {
    /// Before there was anything.
    pub(super) fn nothing() -> Self {
        Self { files: None, durable: 0, recovery_point: 0, log_start: 0, appended: 0 }
    }

    /// Every file of the partition with its bytes, if the partition is there.
    pub(super) fn files(&self) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.files.as_ref()
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    pub(super) fn recovery_point(&self) -> u64 {
        self.recovery_point
    }
}

impl Observer for SimulatedDisk {
    fn file_synced(&self, file: &File) {
        let mut image = self.image.lock();
        let (number, content) = (file.metadata().unwrap().ino(), content_of(file));
        image.files.insert(number, (file.try_clone().unwrap(), content));
        self.lose_power(&mut image);
    }

    fn directory_synced(&self, directory: &Path) {
        let mut image = self.image.lock();
        if directory == self.directory {
            let listing = self.list(&mut image);
            image.listings = vec![listing];
        } else {
            image.has_name = self.directory.exists();
        }
        self.lose_power(&mut image);
    }

    fn renamed(&self, to: &Path) {
        let mut image = self.image.lock();
        if to.parent() == Some(&self.directory) {
            let listing = self.list(&mut image);
            image.listings.push(listing);
        }
        self.lose_power(&mut image);
    }
}

impl SimulatedDisk {
    /// All that is in the directory now is on disk.
    pub(super) fn of(fixture: &Fixture, crash: &Crash, random: u64) -> Arc<Self> {
        let Crash { durable, recovery_point, log_start, appended, .. } = *crash;
        let image = Image { durable, recovery_point, log_start, appended, random, ..Image::default() };
        let simulated = Self { directory: fixture.directory(), image: Mutex::new(image) };
        {
            let image = &mut *simulated.image.lock();
            image.has_name = simulated.directory.exists();
            let listing = simulated.list(image);
            for (file, content) in image.files.values_mut() {
                *content = content_of(file);
            }
            image.listings.push(listing);
        }
        Arc::new(simulated)
    }

    /// What is in the directory now.
    fn list(&self, image: &mut Image) -> Listing {
        let mut listing = Listing::new();
        for entry in fs::read_dir(&self.directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let file = File::open(entry.path()).unwrap();
            let number = file.metadata().unwrap().ino();
            image.files.entry(number).or_insert((file, Vec::new()));
            listing.insert(entry.file_name().into_string().unwrap(), number);
        }
        listing
    }

    /// Builds what may be left if the power goes now: the least, the most, and something between.
    fn lose_power(&self, image: &mut Image) {
        let now = self.list(image);
        for kept in [Kept::Least, Kept::Most, Kept::Some, Kept::Some] {
            let choices = image.listings.len() as u64 + 1;
            let at = match kept {
                Kept::Least => 0,
                Kept::Most => choices - 1,
                Kept::Some => draw(&mut image.random) % choices,
            };
            let listing = image.listings.get(usize::try_from(at).unwrap()).unwrap_or(&now).clone();
            let mut random = image.random;
            let has_name = image.has_name
                || match kept {
                    Kept::Least => false,
                    Kept::Most => self.directory.exists(),
                    Kept::Some => self.directory.exists() && draw(&mut random).is_multiple_of(2),
                };
            let files = listing.into_iter().map(|(name, number)| {
                let (file, synced) = &image.files[&number];
                (name, mixed(synced, &content_of(file), kept, &mut random))
            });
            let files = has_name.then(|| files.collect());
            image.random = random;
            let Image { durable, recovery_point, log_start, appended, .. } = *image;
            image.crashes.push(Crash { files, durable, recovery_point, log_start, appended });
        }
    }

    /// From here on what is durable counts as acknowledged.
    pub(super) fn note(&self, log: &Arc<Leader>) {
        let mut image = self.image.lock();
        image.durable = image.durable.max(log.durable_end());
        image.recovery_point = log.recovery_point().unwrap_or(0);
        self.lose_power(&mut image);
    }

    /// The checkpoint of log starts is on disk from here on.
    fn note_start(&self, log_start: u64) {
        let mut image = self.image.lock();
        image.log_start = log_start;
        self.lose_power(&mut image);
    }

    pub(super) fn take(&self) -> Vec<Crash> {
        std::mem::take(&mut self.image.lock().crashes)
    }
}

fn content_of(file: &File) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut content, 0).unwrap();
    content
}

/// A file of which only some sectors have reached the disk since it was synced.
fn mixed(synced: &[u8], now: &[u8], kept: Kept, random: &mut u64) -> Vec<u8> {
    match (kept, draw(random) % 4) {
        (Kept::Least, _) | (Kept::Some, 0) => return synced.to_vec(),
        (Kept::Most, _) | (Kept::Some, 1) => return now.to_vec(),
        (Kept::Some, _) => {}
    }
    let length = if draw(random).is_multiple_of(2) { synced.len() } else { now.len() };
    let mut content = vec![0; length];
    for (at, sector) in content.chunks_mut(SECTOR).enumerate() {
        let from = if draw(random).is_multiple_of(2) { synced } else { now };
        let from = from.get(at * SECTOR..).unwrap_or_default();
        let there = sector.len().min(from.len());
        sector[..there].copy_from_slice(&from[..there]);
    }
    content
}

fn draw(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random >> 11
}

fn fixture(modes: Modes, late: bool) -> Fixture {
    let mut fixture = Fixture::new(modes, SEGMENT_BYTES);
    let bytes = Some(u64::from(SEGMENT_BYTES) / 3);
    fixture.settings.retention = Retention { deletes: true, bytes, ms: None, file_delete_delay_ms: 0 };
    if late {
        fixture.finish_late();
    }
    fixture
}

/// One thing that is done to a log. Values are those of [`append_numbered`].
fn step(log: &Arc<Leader>, simulated: &SimulatedDisk, random: &mut u64) {
    let end = log.bounds().unwrap().log_end;
    let count = draw(random) % 4 + 1;
    match draw(random) % 9 {
        0 => log.sync().unwrap(),
        // Asked for once there is a segment.
        1 if simulated.directory.exists() => log.prepare_segment().unwrap(),
        1 => {}
        2 => preallocate_now(log),
        3 => drop(log.finish_sealed().unwrap()),
        8 => {
            let (_, outcome) = retain(std::slice::from_ref(log), 0, Stint::Whole, |raised| {
                // On disk first, as by the catalog.
                for (_, to) in raised {
                    simulated.note_start(*to);
                }
                raise(raised)
            });
            outcome.unwrap();
        }
        4 => {
            simulated.image.lock().appended = end + count;
            let records: Vec<_> = (end..end + count).map(|offset| numbered(offset, VALUE)).collect();
            log.append(AppendRequest::new(
                &mut batch(&records).finish().unwrap(),
                AppendAt::End,
                Durability::Synced,
            ))
            .unwrap();
            log.await_durable(end + count).unwrap();
            assert!(log.durable_end() >= end + count);
        }
        _ => {
            simulated.image.lock().appended = end + count;
            append_numbered(log, count, VALUE).unwrap();
        }
    }
    simulated.note(log);
}

/// Opens what the power left and continues with it. Returns what a second loss may leave.
fn survive(crash: &Crash, (modes, late): (Modes, bool), random: &mut u64) -> Vec<Crash> {
    let fixture = fixture(modes, late);
    if let Some(files) = &crash.files {
        fs::create_dir(fixture.directory()).unwrap();
        for (name, content) in files {
            fs::write(fixture.directory().join(name), content).unwrap();
        }
    }
    let simulated = SimulatedDisk::of(&fixture, crash, *random | 1);
    let recovery_point = Some(crash.recovery_point).filter(|point| *point > 0);
    let log_start = crash.log_start;
    let checkpointed = Checkpointed { clean: false, recovery_point, log_start, ..Checkpointed::default() };
    let log = fixture.open_with(&Faults::observed(Arc::clone(&simulated) as Arc<dyn Observer>), checkpointed);
    log.load().unwrap();
    let end = log.bounds().unwrap().log_end;
    assert!((crash.durable..=crash.appended).contains(&end), "{end} of {crash:?}");
    assert_numbered(&log, log_start..end, VALUE);
    {
        let mut image = simulated.image.lock();
        assert!(log.durable_end() <= end);
        image.appended = end;
    }
    for _ in 0..3 {
        step(&log, &simulated, random);
    }
    simulated.take()
}

/// Returns how many states were survived, and where the log began in the end.
fn run(modes: Modes, late: bool, seed: u64) -> (usize, u64) {
    let (mut random, mut survived) = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, 0);
    let fixture = fixture(modes, late);
    let simulated = SimulatedDisk::of(&fixture, &Crash::nothing(), random);
    let faults = Faults::observed(Arc::clone(&simulated) as Arc<dyn Observer>);
    let log = fixture.open_with(&faults, Checkpointed::default());
    log.load().unwrap();
    let mut look_at = |crashes: Vec<Crash>, random: &mut u64| {
        for crash in crashes {
            let again = survive(&crash, (modes, late), random);
            survived += 1;
            // One of many, or it would never end.
            if draw(random).is_multiple_of(4) && !again.is_empty() {
                let at = usize::try_from(draw(random)).unwrap() % again.len();
                survive(&again[at], (modes, late), random);
                survived += 1;
            }
        }
    };
    for _ in 0..40 {
        step(&log, &simulated, &mut random);
        look_at(simulated.take(), &mut random);
    }
    append_numbered(&log, 1, VALUE).unwrap();
    let end = log.bounds().unwrap().log_end;
    simulated.image.lock().appended = end;
    log.close().unwrap();
    look_at(simulated.take(), &mut random);
    // After the close the least is everything, and the marker may say so.
    simulated.note(&log);
    let least = simulated.take().swap_remove(0);
    fs::remove_dir_all(fixture.directory()).unwrap();
    fs::create_dir(fixture.directory()).unwrap();
    for (name, content) in least.files.unwrap() {
        fs::write(fixture.directory().join(name), content).unwrap();
    }
    assert_eq!((least.durable, least.recovery_point), (end, end));
    fixture.check_closed();
    let log_start = least.log_start;
    let checkpointed =
        Checkpointed { clean: true, recovery_point: Some(end), log_start, ..Checkpointed::default() };
    assert_numbered(&fixture.open(checkpointed), log_start..end, VALUE);
    (survived, log_start)
}

#[test]
fn whatever_the_power_leaves_is_a_prefix_that_holds_all_that_was_durable() {
    let (mut survived, mut deleted) = (0, 0);
    for (seed, modes) in (1..).zip([MAPPED, POSITIONED, EXACT, MAPPED, POSITIONED, EXACT]) {
        let (states, log_start) = run(modes, seed % 2 == 0, seed);
        (survived, deleted) = (survived + states, deleted + log_start);
    }
    assert!(survived > 500, "{survived}");
    assert!(deleted > 50, "{deleted}");
}
