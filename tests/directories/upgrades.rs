//! Directories that earlier versions have written, and files that later ones may write.
//!
//! `tests/vectors/versions/VERSION` holds directories as that version has left them: closed, killed, and with a writer that
//! is running. Every later version must open them. A version gets its vector once, by
//!
//! ```sh
//! cargo test --test directories -- --ignored write_the_vector_of_this_version
//! ```
//!
//! which never writes over one that is there.

mod newer;
mod vector;

use std::fs;
use std::path::{Path, PathBuf};

use crate::common;
use stratalog::inspect::{VerifyOptions, verify};
use stratalog::{EventLog, Record};
use vector::{State, described, laid_out, options, states};

fn versions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/versions")
}

/// All states of all versions.
fn all() -> Vec<State> {
    let mut found = Vec::new();
    for version in fs::read_dir(versions()).unwrap() {
        let version = version.unwrap().path();
        let of_version = states(&version);
        assert_eq!(of_version.len(), 3, "{}", version.display());
        found.extend(of_version);
    }
    found
}

#[test]
#[ignore = "it writes a new vector, once for each version"]
fn write_the_vector_of_this_version() {
    vector::write(&versions().join(env!("CARGO_PKG_VERSION")));
}

#[test]
fn this_version_has_a_vector() {
    let vector = versions().join(env!("CARGO_PKG_VERSION"));
    assert!(vector.is_dir(), "see the top of this file: {} is missing", vector.display());
}

#[test]
fn what_an_earlier_version_has_left_is_read_as_it_was() {
    for state in all() {
        let dir = laid_out(&state);
        let before = common::tree(dir.path());
        let log = options().read_only(true).open(dir.path()).unwrap();
        assert_eq!(described(&log).unwrap(), state.expected, "{}", state.path.display());
        drop(log);
        assert!(common::tree(dir.path()) == before, "{}: reading has changed a file", state.path.display());
    }
}

#[test]
fn what_an_earlier_version_has_left_is_written_on() {
    for state in all() {
        let dir = laid_out(&state);
        let log = options().open(dir.path()).unwrap();
        assert_eq!(described(&log).unwrap(), state.expected, "{}", state.path.display());
        // What a kill has torn is cut, and nothing else is.
        assert_eq!(log.recovery().bytes_truncated(), state.torn, "{}", state.path.display());
        let mut sent = Vec::new();
        for topic in log.topics().unwrap().iter().filter(|topic| !topic.name().starts_with("__")) {
            let record = Record::new("later").key("later").partition(0);
            let at = log.producer().unwrap().send(topic, record).unwrap().offset;
            let expected = &state.expected["topics"][topic.name()]["partitions"][0]["end"];
            assert_eq!(expected.as_u64(), Some(at), "{} {}", state.path.display(), topic.name());
            sent.push((topic.name().to_owned(), at));
        }
        assert!(sent.len() >= 9, "{sent:?}");
        log.run_maintenance().unwrap();
        log.close().unwrap();
        let mut problems = Vec::new();
        verify(dir.path(), VerifyOptions::new(), |problem| problems.push(problem.to_string())).unwrap();
        assert_eq!(problems, [""; 0], "{}", state.path.display());
        let log = EventLog::open_read_only(dir.path()).unwrap();
        for (topic, at) in sent {
            assert_eq!(log.topic(&topic).unwrap().partition(0).unwrap().offsets().unwrap().log_end, at + 1);
        }
    }
}

/// A program of an earlier version writes, and a reader of this one follows it by the words of its `stratalog.live`.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn a_reader_believes_the_live_file_of_an_earlier_version() {
    use std::os::unix::fs::FileExt;
    let mut seen = 0;
    for state in all().into_iter().filter(|state| state.path.ends_with("running")) {
        let dir = laid_out(&state);
        let words = fs::read(dir.path().join("stratalog.live")).unwrap();
        // This process holds the file, as that program does, and shows in it what that program has shown.
        let writer = options().open(dir.path()).unwrap();
        let live = fs::OpenOptions::new().write(true).open(dir.path().join("stratalog.live")).unwrap();
        assert_eq!(live.metadata().unwrap().len(), words.len() as u64, "the layout has changed");
        live.write_all_at(&words, 0).unwrap();
        let reader = options().read_only(true).open(dir.path()).unwrap();
        assert_eq!(described(&reader).unwrap(), state.expected);
        drop((reader, writer));
        seen += 1;
    }
    assert!(seen > 0);
}
