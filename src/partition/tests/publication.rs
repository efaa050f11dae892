//! loom runs every interleaving of what a partition publishes with what its readers load, by the shipped code. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib partition::view::`.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::{Published, Stability};
use crate::sys::Tail;

/// The mark of a tail that is sealed.
const SEALED: u64 = 1;

/// Segments by their tails, as a view has them.
struct View {
    tails: Vec<Arc<Tail>>,
}

#[test]
fn a_reader_of_a_sealed_segment_finds_the_next_one_in_the_present_view() {
    loom::model(|| {
        let (first, second) = (Arc::new(Tail::new(0, 0)), Arc::new(Tail::new(0, 0)));
        let published = Arc::new(Published::new(View { tails: vec![Arc::clone(&first)] }));
        let appender = {
            let published = Arc::clone(&published);
            thread::spawn(move || {
                first.publish(1, 0);
                // A roll, and the first append after it.
                published.replace(|view| View { tails: [&view.tails[..], &[Arc::clone(&second)]].concat() });
                first.publish(1, SEALED);
                second.publish(1, 0);
            })
        };
        let mut view = published.present();
        let mut seen = 0;
        loop {
            if view.number() != published.number() {
                let newer = published.present();
                assert!(newer.number() > view.number());
                view = newer;
            }
            assert_eq!(view.number() + 1, view.tails.len() as u64, "a number is that of its value");
            let end = view.tails[seen].load();
            if end.mark != SEALED {
                break;
            }
            if seen + 1 == view.tails.len() {
                assert_ne!(view.number(), published.number(), "a segment was sealed without a next one");
                continue;
            }
            seen += 1;
        }
        appender.join().unwrap();
    });
}

#[test]
fn the_view_is_replaced_before_files_of_its_segments_go() {
    loom::model(|| {
        let published = Arc::new(Published::new(2_u8));
        let is_gone = Arc::new(AtomicBool::new(false));
        let cleaner = {
            let (published, is_gone) = (Arc::clone(&published), Arc::clone(&is_gone));
            thread::spawn(move || {
                published.replace(|segments| segments - 1);
                is_gone.store(true, Ordering::Release);
            })
        };
        let view = published.present();
        if *view == 2 && is_gone.load(Ordering::Acquire) {
            assert_ne!(published.number(), view.number(), "a failure to open would count");
            assert_eq!(*published.present(), 1);
        }
        cleaner.join().unwrap();
    });
}

/// A segment of three bytes: a record of a transaction, the marker that aborts it, and a record of no transaction.
struct Log {
    bytes: [UnsafeCell<u8>; 3],
    tail: Tail,
    stability: Stability,
}

#[expect(unsafe_code, reason = "the cells mean mapped memory, and loom checks every access to them")]
// SAFETY: loom fails the test if an access to a cell is not ordered.
unsafe impl Sync for Log {}

impl Log {
    fn new() -> Arc<Self> {
        let bytes = [(); 3].map(|()| UnsafeCell::new(0));
        Arc::new(Self { bytes, tail: Tail::new(0, 0), stability: Stability::default() })
    }

    fn append(&self, position: usize) {
        self.bytes[position].with_mut(|byte| {
            #[expect(unsafe_code, reason = "the cell represents mapped memory")]
            // SAFETY: no reader reads before the tail is published; loom checks it.
            unsafe {
                *byte = 7;
            }
        });
        self.tail.publish(position as u64 + 1, 0);
    }

    fn read(&self, position: usize) -> u8 {
        self.bytes[position].with(|byte| {
            #[expect(unsafe_code, reason = "the cell represents mapped memory")]
            // SAFETY: the tail was published after the byte was written; loom checks it.
            unsafe {
                *byte
            }
        })
    }

    /// A transaction that is aborted, and a record after it.
    fn run_a_transaction(&self) {
        self.stability.publish(Some(0));
        self.append(0);
        self.append(1);
        self.stability.publish(None);
        self.append(2);
    }
}

/// What a reader has looked up of aborted transactions.
struct Aborted {
    version: u64,
    holds_it: bool,
}

#[test]
fn a_reader_of_committed_records_never_sees_one_of_an_open_or_aborted_transaction() {
    loom::model(|| {
        let log = Log::new();
        let appender = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.run_a_transaction())
        };
        let mut known = None;
        for _ in 0..2 {
            let readable = log.stability.readable(&log.tail);
            let end = readable.end.position;
            let aborted = match known.take() {
                Some(known @ Aborted { version, .. }) if version == readable.aborted_version => known,
                // By the markers below the end, which may have grown since.
                _ => Aborted { version: readable.aborted_version, holds_it: log.tail.load().position > 1 },
            };
            for offset in 0..end.min(readable.first_unstable) {
                assert_eq!(log.read(usize::try_from(offset).unwrap()), 7);
                assert!(offset > 0 || aborted.holds_it, "a record of an aborted transaction was shown");
            }
            known = Some(aborted);
        }
        appender.join().unwrap();
    });
}
