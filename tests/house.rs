//! The rules of the house that a machine can keep: rooms, unsafe, the operating system, sizes, leftovers.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the ground up. A room may use those before it and itself.
const ROOMS: [&[&str]; 15] = [
    &["error", "clock", "position"],
    &["events"],
    &["config"],
    &["format"],
    &["sys"],
    &["wait"],
    &["segment"],
    &["partition"],
    &["upkeep"],
    &["catalog"],
    &["group"],
    &["directory"],
    &["handover"],
    &["producer", "consumer"],
    &["inspect"],
];

/// Names that stand for things of any room: the face may use all, and ground types are re-exported at the root.
const FACE: [&str; 3] = ["lib", "event_log", "fuzzing"];

/// The command line program: another crate, which has the public face of this one and nothing else.
const PROGRAM: [&str; 2] = ["bin", "cli"];

/// Where the program may reach for files of the user's: what it reads and writes besides the log.
const PROGRAM_FILES: &str = "cli/files.rs";

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path =
                    path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().to_owned();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 40, "only {} files found", found.len());
    found
}

/// What is shipped: without test modules and without comments.
fn shipped(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

fn room_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn level(room: &str) -> Option<usize> {
    ROOMS.iter().position(|level| level.contains(&room))
}

#[test]
fn rooms_depend_downwards_only() {
    for (path, text) in sources() {
        let room = room_of(&path);
        if FACE.contains(&room.as_str()) || PROGRAM.contains(&room.as_str()) || is_test(&path) {
            continue;
        }
        let own = level(&room).unwrap_or_else(|| panic!("{} is in no room of the table", path.display()));
        let code = shipped(&text);
        for used in code.split("crate::").skip(1) {
            let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(other) = level(&name) {
                assert!(other <= own, "{} uses {name}, which is above it", path.display());
            }
        }
    }
}

#[test]
fn the_program_stands_on_the_public_face() {
    let mut seen = 0;
    for (path, text) in sources() {
        if !PROGRAM.contains(&room_of(&path).as_str()) {
            continue;
        }
        seen += 1;
        for line in text.lines().filter(|line| line.contains("#[path")) {
            // The system is reached in its room alone, also by the program.
            let allowed = ["\"../cli/", "\"../../sys/terminal.rs\""].iter().any(|path| line.contains(path));
            assert!(allowed, "{} pulls in another room: {line}", path.display());
        }
        for used in shipped(&text).split("crate::").skip(1) {
            assert!(
                used.starts_with("cli"),
                "{} uses crate::{}",
                path.display(),
                used.lines().next().unwrap()
            );
        }
        // The exit code is the one answer of a command, and output can fail: see `cli/output.rs`.
        for word in ["println!(", "print!(", "eprintln!(", "eprint!(", ".unwrap()", ".expect(", "panic!("] {
            assert!(!shipped(&text).contains(word), "{} holds {word:?}", path.display());
        }
    }
    assert!(seen > 5, "only {seen} files of the program found");
}

#[test]
fn unsafe_and_the_operating_system_stay_in_their_room() {
    for (path, text) in sources() {
        if room_of(&path) == "sys" || path == Path::new(PROGRAM_FILES) || is_test(&path) {
            continue;
        }
        let code = shipped(&text);
        for word in
            ["unsafe ", "std::fs", "fs::", "File::", "memmap2", "libc::", "target_os", "(unix)", "(windows)"]
        {
            let mut found = code.match_indices(word);
            // Not as the end of another name.
            let alone = |(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            assert!(!found.any(alone), "{} reaches for {word:?}", path.display());
        }
    }
}

#[test]
fn files_are_one_concept_long() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: two concepts?", path.display());
    }
}

/// The crash tests are read to be believed: small files, and `unsafe` only where libc's names are defined or its calls made.
#[test]
fn the_crash_tests_keep_to_the_house() {
    const UNSAFE: [&str; 4] = ["interpose.rs", "libc_names.rs", "disk.rs", "session.rs"];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("crash/src");
    let mut seen = 0;
    for folder in [source.clone(), source.join("drivers")] {
        for path in
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
        {
            seen += 1;
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            assert!(lines <= 400, "{} has {lines} lines: two concepts?", path.display());
            let may = UNSAFE.iter().any(|name| path.ends_with(name));
            assert!(may || !shipped(&text).contains("unsafe {"), "{} is unsafe", path.display());
            for leftover in
                ["todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME", "thread::sleep", "dead_code"]
            {
                assert!(!text.contains(leftover), "{} holds {leftover:?}", path.display());
            }
        }
    }
    assert!(seen > 15, "only {seen} files of the crash tests found");
}

#[test]
fn nothing_is_left_over() {
    for (path, text) in sources() {
        let code = if is_test(&path) { text } else { shipped(&text) };
        for leftover in ["todo!(", "unimplemented!(", "dbg!(", "thread::sleep", "TODO", "FIXME", "#[ignore]"]
        {
            assert!(!code.contains(leftover), "{} holds {leftover:?}", path.display());
        }
    }
}

/// Segments roll and records expire by their age, so a test that opens a recorded directory by the system's clock finds
/// something else each year.
#[test]
fn recorded_directories_are_opened_at_the_time_of_the_recording() {
    let mut seen = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|suffix| suffix != "rs") || path.ends_with("house.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for function in text.split("\nfn ").skip(1) {
            if !["Expected", "logdir\""].iter().any(|recorded| function.contains(recorded)) {
                continue;
            }
            seen += 1;
            let name = function.split('(').next().unwrap();
            for opening in ["EventLog::open(", "mode.open("] {
                let is_used = function.contains(opening);
                assert!(!is_used, "{}: {name} uses {opening}..): see common::recorded", path.display());
            }
        }
    }
    assert!(seen > 10, "only {seen} functions open recorded directories");
}

#[test]
fn no_dependency_opens_a_socket() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let own = lock.split("[dev-dependencies]").next().unwrap();
    for network in ["tokio", "mio", "socket2", "hyper", "reqwest", "async-std"] {
        assert!(!own.contains(network), "{network} is a dependency");
    }
    for (path, text) in sources() {
        assert!(!shipped(&text).contains("std::net"), "{} opens a socket", path.display());
    }
}
