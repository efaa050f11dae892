//! The rules of the house that a machine can keep: rooms, unsafe, the operating system, sizes, leftovers.

use std::fs;
use std::path::Path;

use crate::rooms::{PROGRAM, room_of};
use crate::source::{files, holds, is_test, shipped};

/// Where the program may reach for files of the user's: what it reads and writes besides the log.
const PROGRAM_FILES: &str = "cli/files.rs";

#[test]
fn the_program_stands_on_the_public_face() {
    let mut seen = 0;
    for (path, text) in files("src") {
        if !PROGRAM.contains(&room_of(&path).as_str()) {
            continue;
        }
        seen += 1;
        let (code, path) = (shipped(&text), path.display());
        for line in text.lines().filter(|line| line.contains("#[path")) {
            // The system is reached in its room alone, also by the program.
            let allowed = ["\"../cli/", "\"../../sys/terminal.rs\""].iter().any(|path| line.contains(path));
            assert!(allowed, "{path} pulls in another room: {line}");
        }
        for used in code.windows(3).filter(|words| words[0].text == "crate" && words[1].text == "::") {
            assert_eq!(used[2].text, "cli", "{path}");
        }
        // The exit code is the one answer of a command, and output can fail: see `cli/output.rs`.
        for output in
            ["println !", "print !", "eprintln !", "eprint !", ". unwrap (", ". expect (", "panic !"]
        {
            assert!(!holds(&code, output), "{path} holds {output:?}");
        }
    }
    assert!(seen > 5, "only {seen} files of the program found");
}

/// What the room of the system alone may reach for, or nothing.
fn of_the_system(text: &str) -> Option<&'static str> {
    let code = shipped(text);
    let reached = [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe extern",
        "std :: fs",
        "fs ::",
        "File ::",
        "memmap2",
        "libc",
        "target_os",
        "target_family",
        "( unix )",
        "( windows )",
        "unix ,",
        "windows ,",
        "std :: os",
    ];
    reached.into_iter().find(|one| holds(&code, one))
}

#[test]
fn unsafe_and_the_operating_system_stay_in_their_room() {
    for (path, text) in files("src") {
        if room_of(&path) == "sys" || path == Path::new(PROGRAM_FILES) || is_test(&path) {
            continue;
        }
        let reached = of_the_system(&text);
        assert!(reached.is_none(), "{} reaches for {reached:?}", path.display());
    }
    for breach in [
        "fn read() { unsafe { of() } }",
        "unsafe impl Send for Segment {}",
        "use std::fs;",
        "use std::{fs, io};\nfn read() { fs::read(path) }",
        "#[cfg(unix)]\nfn of() {}",
        "#[cfg(not(windows))]\nfn of() {}",
        "#[cfg(target_os = \"linux\")]\nfn of() {}",
        "fn of() -> bool { cfg!(windows) }",
        "#[cfg(test)]\nmod tests;\nfn map() -> memmap2::Mmap { loop {} }",
    ] {
        assert!(of_the_system(breach).is_some(), "{breach}");
    }
    assert!(of_the_system("/// See `std::fs`.\n#[cfg(test)]\nmod tests { use std::fs; }").is_none());
}

#[test]
fn files_are_one_concept_long() {
    for (path, text) in files("src") {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: two concepts?", path.display());
    }
}

/// The crash tests are read to be believed: small files, and `unsafe` only where libc's names are defined or its calls made.
#[test]
fn the_crash_tests_keep_to_the_house() {
    const UNSAFE: [&str; 6] =
        ["interpose.rs", "libc_names.rs", "disk.rs", "session.rs", "media.rs", "soak.rs"];
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
            assert!(may || !holds(&shipped(&text), "unsafe {"), "{} is unsafe", path.display());
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
    for (path, text) in files("src") {
        let code = shipped(&text);
        for leftover in ["todo !", "unimplemented !", "dbg !", "thread :: sleep"] {
            assert!(is_test(&path) || !holds(&code, leftover), "{} holds {leftover:?}", path.display());
        }
        for leftover in ["todo!(", "dbg!(", "TODO", "FIXME", "#[ignore]"] {
            assert!(!text.contains(leftover), "{} holds {leftover:?}", path.display());
        }
    }
}

/// Segments roll and records expire by their age, so a test that opens a recorded directory by the system's clock finds
/// something else each year.
#[test]
fn recorded_directories_are_opened_at_the_time_of_the_recording() {
    let mut seen = 0;
    for (path, text) in files("tests") {
        if path.starts_with("house") {
            continue;
        }
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
