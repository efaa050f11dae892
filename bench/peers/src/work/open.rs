//! From a directory that was closed in order until the log is open, and until a writer is there too.

use super::{Task, fill};
use crate::Result;
use crate::clock::{nanoseconds, ticks, ticks_of};
use crate::peer::{Peer, Setup};
use crate::records::Source;
use crate::results::{Figure, Spread};

const VALUE_BYTES: usize = 1024;
/// Fewer where they take long.
const OPENS: usize = 5;

pub(crate) fn run<P: Peer>(task: &Task) -> Result<Vec<Figure>> {
    let setup = Setup { value_bytes: VALUE_BYTES, is_durable: false };
    let peer = P::open(&task.directory, setup)?;
    let mut writer = peer.writer(0)?;
    let mut source = Source::new(VALUE_BYTES);
    fill(&mut writer, &mut source, 0..task.records(VALUE_BYTES), P::batch(VALUE_BYTES))?;
    drop(writer);
    peer.close()?;

    let (mut opens, mut writers) = (Vec::new(), Vec::new());
    let limit = ticks() + ticks_of(task.seconds);
    while opens.is_empty() || opens.len() < OPENS && ticks() < limit {
        let begin = ticks();
        let peer = P::open(&task.directory, setup)?;
        opens.push(nanoseconds(ticks() - begin) as f64 / 1e3);
        let writer = peer.writer(0)?;
        writers.push(nanoseconds(ticks() - begin) as f64 / 1e3);
        drop(writer);
        peer.close()?;
    }
    let median = |times| Spread::of(times).expect("some").median;
    Ok(vec![Figure::new("open µs", median(opens)), Figure::new("writer µs", median(writers))])
}
