//! A segment that cannot be opened: its readers get the error, and no other is stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fixture::{ANY, Fixture, MAPPED, POSITIONED, append_numbered, assert_numbered, numbered, read};
use crate::error::Error;
use crate::partition::Checkpointed;
use crate::sys::faults::{Faults, NameKeeper};

/// Refuses to open one file, as a wrong owner or a failing disk does.
#[derive(Debug)]
struct Closed(PathBuf);

impl NameKeeper for Closed {
    fn before_open(&self, path: &Path) -> io::Result<()> {
        if path == self.0 { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    fn before_rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn before_remove(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn before_list(&self, _directory: &Path) {}
}

const BYTES: usize = 100;

#[test]
fn one_unreadable_old_segment_stops_no_append() {
    for modes in [POSITIONED, MAPPED] {
        let fixture = Fixture::new(modes, 1000);
        let log = fixture.open_new();
        for _ in 0..20 {
            append_numbered(&log, 2, BYTES).unwrap();
        }
        log.close().unwrap();
        let (files, bases) = (fixture.files(), fixture.bases());
        assert!(bases.len() > 3);
        for (&base, &next) in bases.iter().zip(bases.iter().skip(1)) {
            // Closed in order; or killed, with a recovery point at the end, or a segment after the one in question.
            let after = bases.iter().copied().find(|other| *other > next).unwrap_or(40);
            for (clean, point) in [(true, 40), (false, 40), (false, after)] {
                fixture.restore(&files);
                let what = format!("{modes:?} {base} {clean} {point}");
                let faults = Faults::by_names(Arc::new(Closed(fixture.log_file(base))));
                let known = Checkpointed { clean, recovery_point: Some(point), ..Checkpointed::default() };
                let log = fixture.open_with(&faults, known);
                assert!(!log.survey().unwrap(), "{what}");
                assert_eq!(append_numbered(&log, 1, BYTES).unwrap(), 40, "{what}");
                log.sync().unwrap();
                let refused = read(&log, base, ANY).unwrap_err();
                assert!(
                    matches!(&refused, Error::Io(failure) if failure.path == fixture.log_file(base)),
                    "{what}: {refused}"
                );
                let rest: Vec<_> = (next..41).map(|offset| (offset, numbered(offset, BYTES))).collect();
                assert_eq!(read(&log, next, ANY).unwrap(), rest, "{what}");
                log.close().unwrap();
                assert_numbered(&fixture.open_clean(41), 0..41, BYTES);
            }
        }
    }
}
