//! Threads that append one record each time it is on the disk. Peers write for several threads at once, if they can.

use std::sync::Barrier;
use std::thread;

use super::send::VALUE_BYTES;
use super::{Task, or_end};
use crate::Result;
use crate::clock::{nanoseconds, seconds, ticks, ticks_of};
use crate::histogram::Histogram;
use crate::peer::{Peer, Setup, Writer};
use crate::records::Source;
use crate::results::Figure;

/// Of each thread: its first one may make files.
const WARM_UP: u64 = 3;

pub(crate) fn run<P: Peer>(task: &Task, threads: usize) -> Result<Vec<Figure>> {
    let peer = P::open(&task.directory, Setup { value_bytes: VALUE_BYTES, is_durable: true })?;
    let barrier = Barrier::new(threads);
    let limit = ticks_of(task.seconds);
    let (mut latencies, mut per_second) = (Histogram::new(), 0.0);
    thread::scope(|scope| {
        let mut running = Vec::new();
        for thread in 0..threads {
            let mut writer = or_end(peer.writer(thread));
            let barrier = &barrier;
            running.push(scope.spawn(move || {
                let mut source = Source::new(VALUE_BYTES);
                let mut latencies = Histogram::new();
                for number in 0..WARM_UP {
                    or_end(writer.append(source.one(number)));
                }
                barrier.wait();
                let begin = ticks();
                let (mut next, mut before) = (WARM_UP, begin);
                while before - begin < limit {
                    or_end(writer.append(source.one(next)));
                    next += 1;
                    let now = ticks();
                    latencies.add(nanoseconds(now - before));
                    before = now;
                }
                ((next - WARM_UP) as f64 / seconds(before - begin), latencies)
            }));
        }
        for thread in running {
            let (more, of_thread) = thread.join().expect("a writer");
            per_second += more;
            latencies.merge(&of_thread);
        }
    });
    peer.close()?;
    Ok(vec![
        Figure::new("records/s", per_second),
        Figure::new("p50 µs", latencies.percentile(0.5) as f64 / 1e3),
        Figure::new("p99 µs", latencies.percentile(0.99) as f64 / 1e3),
    ])
}
