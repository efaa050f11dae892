//! Records at an even pace, one an append, and a reader that spins: from when a record was due until the reader has it. A writer that
//! falls back shows as latency.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::send::VALUE_BYTES;
use super::{Task, or_end, pin};
use crate::clock::{nanoseconds, nanoseconds_of_a_tick, ticks, ticks_of};
use crate::histogram::Histogram;
use crate::peer::{Peer, Reader, Setup, Writer};
use crate::records::{Check, Source, word};
use crate::results::Figure;
use crate::{Failure, Result};

const RECORDS_PER_SECOND: f64 = 100_000.0;
const WARM_UP: u64 = 20_000;
/// Further back than this a peer does not keep the pace.
const LATE_SECONDS: f64 = 1.0;

pub(crate) fn run<P: Peer>(task: &Task) -> Result<Vec<Figure>> {
    let peer = P::open(&task.directory, Setup { value_bytes: VALUE_BYTES, is_durable: false })?;
    let mut writer = peer.writer(0)?;
    let mut reader = peer.reader(true)?;
    let records = WARM_UP + (task.seconds * RECORDS_PER_SECOND) as u64;
    let seen = AtomicU64::new(0);
    let latencies = thread::scope(|scope| {
        scope.spawn(|| {
            let mut source = Source::new(VALUE_BYTES);
            for number in 0..WARM_UP {
                or_end(writer.append(source.stamped(number, ticks())));
            }
            while seen.load(Ordering::Acquire) < WARM_UP {
                std::hint::spin_loop();
            }
            pin(0);
            or_end(pace(&mut writer, &mut source, WARM_UP..records));
        });
        let reading = scope.spawn(|| {
            let mut check = Check::stamped(VALUE_BYTES);
            let mut latencies = Histogram::new();
            while check.count() < records {
                let is_warm = check.count() >= WARM_UP;
                let count = or_end(reader.poll(|key, value| {
                    if is_warm {
                        latencies.add(nanoseconds(ticks().saturating_sub(word(value))));
                    }
                    check.see(key, value);
                }));
                if count == 0 {
                    std::hint::spin_loop();
                } else if !is_warm {
                    seen.store(check.count(), Ordering::Release);
                    pin(1);
                }
            }
            or_end(check.end());
            latencies
        });
        reading.join().expect("the reader")
    });
    drop((reader, writer));
    peer.close()?;
    Ok(latencies.figures())
}

fn pace(writer: &mut impl Writer, source: &mut Source, numbers: std::ops::Range<u64>) -> Result<()> {
    let step = 1e9 / RECORDS_PER_SECOND / nanoseconds_of_a_tick();
    let (begin, late) = (ticks(), ticks_of(LATE_SECONDS));
    for (turn, number) in numbers.enumerate() {
        let due = begin + (turn as f64 * step) as u64;
        while ticks() < due {
            std::hint::spin_loop();
        }
        if ticks() - due > late {
            return Err(Failure::from("does not keep the pace"));
        }
        writer.append(source.stamped(number, due))?;
    }
    writer.flush()
}
