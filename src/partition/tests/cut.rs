//! Another program cuts the file of a segment that grows.

use std::sync::Arc;

use super::fixture::{ANY, EXACT, Fixture, POSITIONED, append_numbered, numbered, read};
use crate::error::{Error, Result};
use crate::partition::Leader;

const BYTES: usize = 100;

type Call = fn(&Arc<Leader>) -> Result<()>;

const CALLS: [(&str, Call); 4] = [
    ("sync", |log| log.sync()),
    ("seal", |log| log.roll_at(log.bounds()?.log_end).and_then(|_| log.finish_sealed()).map(drop)),
    ("rest", |log| if log.rest() { log.sync() } else { Ok(()) }),
    ("close", |log| log.close()),
];

#[test]
fn a_cut_is_noticed_at_the_sync_the_seal_and_the_close() {
    for (modes, appends) in [(POSITIONED, 0), (POSITIONED, 3), (EXACT, 0)] {
        for (name, call) in CALLS {
            for length in [0, 300, 1000] {
                let fixture = Fixture::new(modes, 1 << 20);
                let log = fixture.open_new();
                append_numbered(&log, 2, BYTES).unwrap();
                log.sync().unwrap();
                for _ in 0..9 {
                    append_numbered(&log, 2, BYTES).unwrap();
                }
                let what = format!("{name}, {modes:?}, {length}, {appends}");
                let file = std::fs::OpenOptions::new().write(true).open(fixture.log_file(0)).unwrap();
                file.set_len(length).unwrap();
                drop(file);
                for _ in 0..appends {
                    append_numbered(&log, 1, BYTES).unwrap();
                }
                let noticed = call(&log).unwrap_err();
                assert!(matches!(noticed, Error::Poisoned(_) | Error::Corrupt(_)), "{what}: {noticed}");
                assert!(
                    noticed.to_string().contains("another program has cut the file"),
                    "{what}: {noticed}"
                );
                assert_eq!((log.durable_end(), log.recovery_point()), (2, Some(2)), "{what}");
                assert!(append_numbered(&log, 1, BYTES).is_err() && log.sync().is_err(), "{what}");
                assert!(log.close().is_err(), "{what}");
                drop(log);
                // What was durable is missing, which is reported, or what is left is a prefix.
                let log = fixture.open_unclean(2);
                match read(&log, 0, ANY) {
                    Err(damage) => {
                        assert!(length == 0 && matches!(damage, Error::Corrupt(_)), "{what}: {damage}");
                    }
                    Ok(found) => {
                        let left = (0..found.len() as u64).map(|offset| (offset, numbered(offset, BYTES)));
                        assert!((2..20).contains(&found.len()) && found.iter().cloned().eq(left), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_cut_is_noticed_when_more_space_is_taken() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    append_numbered(&log, 1, BYTES).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(fixture.log_file(0)).unwrap();
    file.set_len(100).unwrap();
    let refused = (0..100).find_map(|_| append_numbered(&log, 1, 2000).err()).unwrap();
    assert!(
        matches!(&refused, Error::Poisoned(cause) if cause.failure.contains("has cut the file")),
        "{refused}"
    );
}
