//! The published word of a growing file: how far it may be read, in one atomic step.

use std::sync::atomic::Ordering;

use super::sync::AtomicU64;

/// Bits of the word that hold the byte position. A log file ends below 2³¹ bytes.
const POSITION_BITS: u32 = 31;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

/// Byte position up to which a file is whole, and a mark of the room above, in one word.
///
/// Written only by the file's one [`LogWriter`](super::LogWriter), or by the one reader that tails what another process
/// writes, with release order, after the bytes below the position are in place; read by anybody with acquire order.
/// The position never goes back.
#[derive(Debug)]
pub(crate) struct Tail(AtomicU64);

/// One reading of a [`Tail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TailWord {
    pub(crate) position: u64,
    /// 33 bits that mean nothing here.
    pub(crate) mark: u64,
}

impl TailWord {
    fn pack(self) -> u64 {
        debug_assert!(self.position <= POSITION_MASK && self.mark < 1 << (64 - POSITION_BITS));
        (self.mark << POSITION_BITS) | (self.position & POSITION_MASK)
    }

    fn unpack(word: u64) -> Self {
        Self { position: word & POSITION_MASK, mark: word >> POSITION_BITS }
    }
}

impl Tail {
    /// Largest position that can be published.
    pub(crate) const MAX_POSITION: u64 = POSITION_MASK;

    pub(crate) fn new(position: u64, mark: u64) -> Self {
        Self(AtomicU64::new(TailWord { position, mark }.pack()))
    }

    /// Everything below the position is in place for a caller of this.
    #[inline]
    pub(crate) fn load(&self) -> TailWord {
        TailWord::unpack(self.0.load(Ordering::Acquire))
    }

    /// What was published, as one number that distinguishes any two states of a file.
    #[inline]
    pub(crate) fn word(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// For the writer's side alone: bytes first, then this.
    #[inline]
    pub(crate) fn publish(&self, position: u64, mark: u64) {
        self.0.store(TailWord { position, mark }.pack(), Ordering::Release);
    }
}
