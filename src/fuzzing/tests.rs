use std::fs;
use std::path::{Path, PathBuf};

use super::*;

type Target = (&'static str, fn(&[u8]));

const ALL: [Target; 14] = [
    ("frames", frames),
    ("batch", batch),
    ("legacy_message", legacy_message),
    ("rewriting", rewriting),
    ("decompression", decompression),
    ("round_trip", round_trip),
    ("indexes", indexes),
    ("texts", texts),
    ("settings", settings),
    ("metadata", metadata),
    ("coordinator_records", coordinator_records),
    ("group_records", group_records),
    ("live_file", |data| on_a_file("stratalog.live", &live_image(data), live_file)),
    ("inspected", |data| on_a_file("00000000000000000007.log", data, inspected)),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn on_a_file(name: &str, data: &[u8], look: fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, data).unwrap();
    look(&path);
}

/// Small and fast random numbers, the same every time.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

#[test]
fn no_vector_whole_or_damaged_breaks_a_promise() {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), &mut paths);
    // Those of versions are many that are alike.
    let is_of_version = |path: &Path| path.components().any(|part| part.as_os_str() == "versions");
    paths.retain(|path| path.metadata().unwrap().len() < 20_000 && !is_of_version(path));
    assert!(paths.len() > 150, "{}", paths.len());
    let mut state = 1;
    for path in paths {
        let whole = fs::read(&path).unwrap();
        for (_, function) in ALL {
            function(&whole);
        }
        for _ in 0..6 {
            let mut damaged = whole.clone();
            for _ in 0..=next(&mut state) % 3 {
                if damaged.is_empty() {
                    break;
                }
                let at = next(&mut state) % damaged.len();
                match next(&mut state) % 3 {
                    0 => damaged[at] ^= 1 << (next(&mut state) % 8),
                    1 => damaged.truncate(at),
                    _ => damaged[at] = u8::try_from(next(&mut state) % 256).unwrap(),
                }
            }
            for (_, function) in ALL {
                function(&damaged);
            }
        }
    }
}

/// What the fuzzers have found worth keeping, by target. `fuzz/README.md` says how it is made.
#[test]
fn no_kept_input_breaks_a_promise() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        // The package that is published has no fuzzers.
        return;
    }
    for (name, function) in ALL {
        let mut paths = Vec::new();
        files(&fuzz.join("corpus").join(name), &mut paths);
        assert!(paths.len() >= 10, "{name} has {} inputs", paths.len());
        for path in paths {
            function(&fs::read(path).unwrap());
        }
    }
    let targets = fs::read_dir(fuzz.join("fuzz_targets")).unwrap().map(|entry| entry.unwrap().path());
    for target in targets {
        let name = target.file_stem().unwrap().to_str().unwrap().to_owned();
        // These are on the public face: `tests/directories/mutated_directories.rs`, and the program's own tests.
        let elsewhere = ["open_directory", "command_line"].contains(&name.as_str());
        assert!(elsewhere || ALL.iter().any(|(known, _)| *known == name), "{name} is not tried here");
    }
}
