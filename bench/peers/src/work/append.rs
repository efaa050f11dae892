//! One writer, records in batches, nothing synced.

use super::{Task, WARM_UP, fill, pin, read};
use crate::Result;
use crate::clock::{seconds, ticks, ticks_of};
use crate::peer::{Peer, Setup, Writer};
use crate::records::{Check, Source};
use crate::results::Figure;

pub(crate) fn run<P: Peer>(task: &Task, value_bytes: usize) -> Result<Vec<Figure>> {
    let peer = P::open(&task.directory, Setup { value_bytes, is_durable: false })?;
    let mut writer = peer.writer(0)?;
    let mut source = Source::new(value_bytes);
    let batch = P::batch(value_bytes);
    let end = task.records(value_bytes);
    let mut next = WARM_UP.min(end / 8);
    fill(&mut writer, &mut source, 0..next, batch)?;
    pin(0);
    let (first, begin, limit) = (next, ticks(), ticks_of(task.seconds));
    while next < end && ticks() - begin < limit {
        let samples = source.batch(next, batch);
        next += samples.len() as u64;
        writer.append_batch(samples)?;
    }
    writer.flush()?;
    let passed = seconds(ticks() - begin);
    if task.is_checked {
        read(&mut peer.reader(true)?, &mut Check::new(value_bytes), next)?;
    }
    drop(writer);
    peer.close()?;
    Ok(vec![Figure::new("records/s", (next - first) as f64 / passed)])
}
