//! One writer, one record a call, nothing synced: how long each call takes.

use super::{Task, WARM_UP, pin};
use crate::Result;
use crate::clock::{nanoseconds, ticks, ticks_of};
use crate::histogram::Histogram;
use crate::peer::{Peer, Setup, Writer};
use crate::records::Source;
use crate::results::Figure;

pub(crate) const VALUE_BYTES: usize = 100;

pub(crate) fn run<P: Peer>(task: &Task) -> Result<Vec<Figure>> {
    let peer = P::open(&task.directory, Setup { value_bytes: VALUE_BYTES, is_durable: false })?;
    let mut writer = peer.writer(0)?;
    let mut source = Source::new(VALUE_BYTES);
    let end = task.records(VALUE_BYTES);
    let limit = ticks_of(task.seconds);
    let mut next = 0;
    let begin = ticks();
    while next < WARM_UP && ticks() - begin < limit {
        writer.append(source.one(next))?;
        next += 1;
    }
    pin(0);
    let mut latencies = Histogram::new();
    let begin = ticks();
    let mut before = begin;
    while next < end && before - begin < limit {
        writer.append(source.one(next))?;
        next += 1;
        let now = ticks();
        latencies.add(nanoseconds(now - before));
        before = now;
    }
    writer.flush()?;
    drop(writer);
    peer.close()?;
    Ok(latencies.figures())
}
