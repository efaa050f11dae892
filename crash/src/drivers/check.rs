//! Whether the instrument itself works: no call passes by unseen, what is recorded is what is there, and a disk that lies is
//! found out.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use super::fresh;
use super::power;
use crate::arguments::Arguments;
use crate::disk::{self, Density, Disk, Lie};
use crate::interpose::{self, unseen};
use crate::left::Left;
use crate::life;
use crate::random::Random;
use crate::session::Session;
use crate::tree::Tree;

/// Functions of libc that change files and are not in `interpose`. Should the library or the standard library come to use
/// one, its name is in this program, and this is where to learn of it.
const NOT_INTERPOSED: [&str; 42] = [
    "copy_file_range",
    "creat",
    "creat64",
    "fallocate",
    "fopen",
    "fopen64",
    "freopen",
    "ftruncate",
    "fwrite",
    "io_uring_enter",
    "link",
    "lio_listio64",
    "mkdirat",
    "mknod",
    "mknodat",
    "mkostemp",
    "mkostemp64",
    "mkstemp",
    "mkstemp64",
    "mremap",
    "aio_write64",
    "posix_fallocate",
    "posix_fallocate64",
    "pread",
    "preadv",
    "preadv64",
    "pwrite",
    "pwritev",
    "pwritev2",
    "pwritev64",
    "readdir",
    "readdir64_r",
    "remove",
    "renameat",
    "renameat2",
    "sendfile",
    "sendfile64",
    "splice",
    "symlink",
    "symlinkat",
    "sync_file_range",
    "truncate64",
];

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "dir"])?;
    let directory = arguments.directory()?;
    let seed: u64 = arguments.get("seed", 1)?;
    println!("check --seed {seed}");
    let mut wrong = Vec::new();
    wrong.extend(names_that_pass_by()?);
    for seed in seed..seed + 8 {
        let root = fresh(&directory.join("life"))?;
        wrong.extend(what_is_recorded_is_what_is_there(root.as_path(), seed)?);
    }
    for lie in [Lie::FileSyncs, Lie::DirectorySyncs] {
        let found = power::violations_on_a_disk_that_lies(&directory.join("lies"), lie)?;
        println!("{lie:?} that do nothing: {found} violations");
        if found == 0 {
            wrong.push(format!("{lie:?} do nothing, and no state shows it"));
        }
    }
    for reason in &wrong {
        println!("VIOLATION {reason}");
    }
    println!("check: violations {}", wrong.len());
    Ok(wrong.len() as u64)
}

fn names_that_pass_by() -> Result<Vec<String>, String> {
    let program = fs::read("/proc/self/exe").map_err(|failure| format!("this program: {failure}"))?;
    let names = undefined_names(&program).filter(|names| names.contains(&b"closedir"[..]));
    let names = names.ok_or("the names that this program takes from libc are not found")?;
    let used = NOT_INTERPOSED.iter().filter(|name| names.contains(name.as_bytes()));
    Ok(used.map(|name| format!("{name} is used and not interposed")).collect())
}

/// The names that an ELF file of 64 bits takes from its libraries.
fn undefined_names(program: &[u8]) -> Option<BTreeSet<&[u8]>> {
    const DYNAMIC_SYMBOLS: u64 = 11;
    let number = |at: usize, bytes: usize| {
        let bytes = program.get(at..at + bytes)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let place = |at: usize| Some(number(at, 8)? as usize);
    let (sections, size, count) = (place(0x28)?, number(0x3a, 2)? as usize, number(0x3c, 2)? as usize);
    let mut headers = (0..count).map(|section| sections + section * size);
    let symbols = headers.find(|header| number(header + 4, 4) == Some(DYNAMIC_SYMBOLS))?;
    let strings = place(sections + number(symbols + 0x28, 4)? as usize * size + 0x18)?;
    let (from, length) = (place(symbols + 0x18)?, place(symbols + 0x20)?);
    let undefined = (from..from + length).step_by(24).filter(|symbol| number(symbol + 6, 2) == Some(0));
    undefined
        .map(|symbol| program.get(strings + number(symbol, 4)? as usize..)?.split(|byte| *byte == 0).next())
        .collect()
}

fn what_is_recorded_is_what_is_there(root: &std::path::Path, seed: u64) -> Result<Vec<String>, String> {
    let mut session = Session::new(root, seed % 4);
    let last: Arc<Mutex<Tree>> = Arc::default();
    let sink = Arc::clone(&last);
    let keep = move |_: &'static str, left: Left, tree: Tree| {
        if left == Left::Most {
            *sink.lock().expect("no panic while it is held") = tree;
        }
    };
    disk::record(Some(Disk::of(root, seed, Density::PerMille(1000), Box::new(keep))));
    let mut random = Random::new(seed);
    let before = written_by_the_kernels_count()?.checked_sub(interpose::writes());
    for _ in 0..80 {
        session.perform(&life::next(&mut random));
    }
    session.close();
    let after = written_by_the_kernels_count()?.checked_sub(interpose::writes());
    disk::take_last_point();
    let recorded = disk::record(None);
    let there = Tree::read(root).map_err(|failure| failure.to_string())?;
    let recorded_tree = last.lock().expect("no panic while it is held").clone();
    let mut wrong = session.violations;
    wrong.extend(recorded.map(|disk| disk.unexplained).unwrap_or_default());
    wrong.extend(
        recorded_tree.differences(&there).into_iter().map(|what| format!("recorded otherwise: {what}")),
    );
    if before != after {
        wrong.push(format!(
            "the kernel counts other writes than were seen: {before:?} before, {after:?} after"
        ));
    }
    println!("seed {seed}: {} files, {} writes", there.files.len(), interpose::writes());
    Ok(wrong)
}

/// How many calls of the kinds that write this process has made.
fn written_by_the_kernels_count() -> Result<u64, String> {
    let counts = unseen(|| fs::read_to_string("/proc/self/io"))
        .map_err(|failure| format!("/proc/self/io: {failure}"))?;
    let count = counts.lines().find_map(|line| line.strip_prefix("syscw: "));
    count.and_then(|count| count.parse().ok()).ok_or("/proc/self/io counts no writes".into())
}
