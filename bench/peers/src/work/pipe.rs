//! A writer and a reader at once: from the first record until the reader has seen and checked the last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::{Task, WARM_UP, fill, or_end, pin};
use crate::Result;
use crate::clock::{seconds, ticks, ticks_of};
use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{Check, Source};
use crate::results::Figure;

/// What both sides know of each other.
struct Shared {
    /// Records that the reader has seen, while the writer waits for the end of the warm-up.
    seen: AtomicU64,
    /// Records in all, as soon as that is known.
    end: AtomicU64,
}

pub(crate) fn run<P: Peer>(task: &Task, value_bytes: usize) -> Result<Vec<Figure>> {
    let peer = P::open(&task.directory, Setup { value_bytes, is_durable: false })?;
    let mut writer = peer.writer(0)?;
    let mut reader = peer.reader(true)?;
    let most = if P::STORES { task.records(value_bytes) } else { u64::MAX };
    let warm_up = WARM_UP.min(task.records(value_bytes) / 8);
    let shared = Shared { seen: AtomicU64::new(0), end: AtomicU64::new(u64::MAX) };
    let (begin, end) = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut source = Source::new(value_bytes);
            let batch = P::batch(value_bytes);
            or_end(fill(&mut writer, &mut source, 0..warm_up, batch));
            while shared.seen.load(Ordering::Acquire) < warm_up {
                std::hint::spin_loop();
            }
            pin(0);
            let (begin, limit) = (ticks(), ticks_of(task.seconds));
            let mut next = warm_up;
            while next < most && ticks() - begin < limit {
                let samples = source.batch(next, batch);
                next += samples.len() as u64;
                or_end(writer.append_batch(samples));
            }
            or_end(writer.flush());
            shared.end.store(next, Ordering::Release);
            begin
        });
        let reading = scope.spawn(|| {
            let mut check = Check::new(value_bytes);
            let mut is_warm = false;
            while check.count() < shared.end.load(Ordering::Acquire) {
                if or_end(reader.poll(|key, value| check.see(key, value))) == 0 {
                    std::hint::spin_loop();
                } else if !is_warm {
                    shared.seen.store(check.count(), Ordering::Release);
                    is_warm = check.count() >= warm_up;
                    if is_warm {
                        pin(1);
                    }
                }
            }
            let end = ticks();
            or_end(check.end());
            end
        });
        (writing.join().expect("the writer"), reading.join().expect("the reader"))
    });
    drop((reader, writer));
    peer.close()?;
    let records = shared.end.into_inner() - warm_up;
    Ok(vec![Figure::new("records/s", records as f64 / seconds(end - begin))])
}
