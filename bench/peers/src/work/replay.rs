//! All records of a log that was closed and opened anew, whose files are in the page cache, from the first to the last.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Task, fill, pin, read};
use crate::Result;
use crate::clock::{seconds, ticks};
use crate::peer::{Peer, Setup};
use crate::records::{Check, Source};
use crate::results::Figure;

/// A quarter of the bytes that a task may write: they fit into no cache.
const PART: u64 = 4;

pub(crate) fn run<P: Peer>(task: &Task, value_bytes: usize) -> Result<Vec<Figure>> {
    let setup = Setup { value_bytes, is_durable: false };
    let records = task.records(value_bytes) / PART;
    let peer = P::open(&task.directory, setup)?;
    let mut writer = peer.writer(0)?;
    fill(&mut writer, &mut Source::new(value_bytes), 0..records, P::batch(value_bytes))?;
    drop(writer);
    peer.close()?;
    read_files(&task.directory)?;

    let peer = P::open(&task.directory, setup)?;
    let mut check = Check::new(value_bytes);
    pin(0);
    let begin = ticks();
    let mut reader = peer.reader(false)?;
    read(&mut reader, &mut check, records)?;
    let passed = seconds(ticks() - begin);
    drop(reader);
    peer.close()?;
    Ok(vec![Figure::new("records/s", records as f64 / passed)])
}

/// So that none of them is read from the disk while it counts.
fn read_files(directory: &Path) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            read_files(&path)?;
        } else {
            let mut file = File::open(path)?;
            while file.read(&mut buffer)? > 0 {}
        }
    }
    Ok(())
}
