//! The rules of the house that a machine can keep: rooms, unsafe, the operating system, sizes, leftovers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::rooms::room_of;
use crate::source::{files, holds, is_test, shipped};

/// Where the program may reach for files of the user's, and for the keys of a terminal.
const PROGRAM_SYSTEM: [&str; 2] = ["files.rs", "stats/terminal.rs"];

/// The sources of the library and of the program, whose public face alone the program sees.
pub(crate) fn sources() -> impl Iterator<Item = (&'static str, PathBuf, String)> {
    let of = |folder| files(folder).into_iter().map(move |(path, text)| (folder, path, text));
    of("src").chain(of("cli/src"))
}

/// The exit code is the one answer of a command, and output can fail: see `output.rs` of the program.
#[test]
fn the_program_neither_panics_nor_prints_past_its_output() {
    let mut seen = 0;
    for (path, text) in files("cli/src") {
        seen += 1;
        let code = shipped(&text);
        for output in
            ["println !", "print !", "eprintln !", "eprint !", ". unwrap (", ". expect (", "panic !"]
        {
            assert!(!holds(&code, output), "{} holds {output:?}", path.display());
        }
    }
    assert!(seen > 5, "only {seen} files of the program found");
}

/// A file that is compiled into two crates, or into another room, is seen by no rule about where it is.
#[test]
fn sources_lie_in_the_room_of_their_module() {
    for (folder, path, text) in sources() {
        assert!(
            !text.contains("#[path = \".."),
            "{folder}/{} pulls in a file from elsewhere",
            path.display()
        );
    }
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
    for (folder, path, text) in sources() {
        let may = match folder {
            "src" => room_of(&path) == "sys",
            _ => PROGRAM_SYSTEM.iter().any(|allowed| path == Path::new(allowed)),
        };
        if may || is_test(&path) {
            continue;
        }
        let reached = of_the_system(&text);
        assert!(reached.is_none(), "{folder}/{} reaches for {reached:?}", path.display());
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
    for (folder, path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{folder}/{} has {lines} lines: two concepts?", path.display());
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
    for (_, path, text) in sources() {
        let code = shipped(&text);
        for leftover in ["todo !", "unimplemented !", "dbg !", "thread :: sleep"] {
            assert!(is_test(&path) || !holds(&code, leftover), "{} holds {leftover:?}", path.display());
        }
        for leftover in ["todo!(", "dbg!(", "TODO", "FIXME", "#[ignore]"] {
            assert!(!text.contains(leftover), "{} holds {leftover:?}", path.display());
        }
    }
}

/// A parameter that is a tuple names nothing at the place of the call.
fn tuple_parameters(text: &str) -> usize {
    let code = shipped(text);
    let mut found = 0;
    for at in code.windows(2).enumerate().filter(|(_, words)| words[0].text == "fn").map(|(at, _)| at + 2) {
        // `Into` of a pair is what callers write: `("orders", 0)`.
        if code[at - 1].text == "from" {
            continue;
        }
        let (mut angles, mut depth) = (0_i32, 0_i32);
        for (place, word) in code.iter().enumerate().skip(at) {
            match &*word.text {
                "<" if depth == 0 => angles += 1,
                ">" if depth == 0 && code[place - 1].text != "-" => angles -= 1,
                "(" if angles == 0 || depth > 0 => {
                    let begins = matches!(&*code[place - 1].text, "(" | ",");
                    found += usize::from(depth == 1 && begins);
                    depth += 1;
                }
                ")" if depth > 0 => depth -= 1,
                _ => {}
            }
            if depth == 0 && angles == 0 && word.text == ")" {
                break;
            }
        }
    }
    found
}

#[test]
fn parameters_have_names() {
    for (path, text) in files("src").into_iter().chain(files("cli/src")) {
        if !is_test(&path) {
            assert_eq!(tuple_parameters(&text), 0, "{} takes a tuple by its parts", path.display());
        }
    }
    assert_eq!(tuple_parameters("fn at(&self, (base, next): (u64, u64), n: u8) {}"), 1);
    assert_eq!(tuple_parameters("fn at<F: Fn(u8) -> u8>((a, b): (u8, u8), f: F) {}"), 1);
    assert_eq!(tuple_parameters("fn at(f: impl Fn((u8, u8)), of: &[(u8, u8)]) -> (u8, u8) { (1, 2) }"), 0);
    assert_eq!(tuple_parameters("impl From<(u8, u8)> for A { fn from((a, b): (u8, u8)) -> Self { A } }"), 0);
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

/// Without these the library's own tests would be gone, and nothing would say so. What is published has tests of its own.
#[test]
fn the_library_has_its_own_tests_here_and_only_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = fs::read_to_string(root.join("build.rs")).unwrap();
    assert!(build.contains("cargo::rustc-cfg=unit_tests"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let packaged = manifest.split("\ninclude = [").nth(1).unwrap().split(']').next().unwrap();
    assert!(packaged.contains("\"!/src/**/tests/\", \"!/src/**/tests.rs\""), "{packaged}");
    assert!(packaged.contains("\"/tests/package.rs\""), "{packaged}");
    let others = packaged.replace("\"/tests/package.rs\"", "");
    for kept_out in ["build.rs", "vectors", "\"/tests"] {
        assert!(!others.contains(kept_out), "the package has {kept_out}");
    }
}
