//! One partition of an internal compacted topic, and the state that its records add up to.
//!
//! Kafka keeps the state of a coordinator in such topics: `__consumer_offsets`, `__transaction_state`. The log is the truth. The
//! state is what remains when all of its records are replayed, where the last record of each key counts.
//!
//! | field | changed by | read by |
//! |---|---|---|
//! | `writer` | the thread that appends to the log or replays it, under its lock | the same |
//! | `state` | the same, once the records are in the log | any thread; it waits for no append |
//!
//! `writer` is locked before `state` and before the locks of the partition. A log that this process writes is replayed once, and
//! each append updates the state. A log that another process may write is replayed further at each call for the state.
//!
//! What the records mean is not known here: [`Replay`] adds them up, [`Entry`] encodes them.

mod append;

use std::sync::Arc;

use parking_lot::{MappedRwLockReadGuard, Mutex, MutexGuard, RwLock, RwLockReadGuard};

pub(crate) use append::{Entry, WriteOptions, Writer};

use crate::config::ReadUpTo;
use crate::error::{Error, Result};
use crate::format::batch::Batch;
use crate::partition::{Cursor, FetchLimits, PartitionLog};

const FETCH: FetchLimits = FetchLimits { bytes: 1 << 20, records: usize::MAX };
/// How often a replay begins again because the start of the log is gone.
const MAX_RESTARTS: usize = 8;

/// The state that records add up to.
pub(crate) trait Replay: Default {
    /// Applies the records of an uncompressed batch from the offset `from` on. Reports each record that it leaves out.
    fn apply(&mut self, batch: &Batch<'_>, from: u64, skipped: &mut dyn FnMut(Skipped));

    /// Batches from this offset on are damaged and left out.
    fn leave_out(&mut self, _from: u64) {}
}

/// A record that does not count in the state, or the first of several.
#[derive(Debug, Clone)]
pub(crate) struct Skipped {
    pub(crate) offset: u64,
    pub(crate) reason: Box<str>,
}

/// One partition of an internal topic.
#[derive(Debug)]
pub(crate) struct KeyedLog<S> {
    log: Arc<PartitionLog>,
    writer: Mutex<Writer>,
    /// `None` until the log has been replayed.
    state: RwLock<Option<S>>,
}

impl<S: Replay> KeyedLog<S> {
    pub(crate) fn new(log: &Arc<PartitionLog>) -> Self {
        Self { log: Arc::clone(log), writer: Mutex::default(), state: RwLock::default() }
    }

    pub(crate) fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// The state at the end of the log.
    pub(crate) fn state(&self, skipped: &dyn Fn(Skipped)) -> Result<MappedRwLockReadGuard<'_, S>> {
        loop {
            if self.log.leader().is_ok()
                && let Ok(state) = RwLockReadGuard::try_map(self.state.read(), Option::as_ref)
            {
                return Ok(state);
            }
            self.replay(&mut self.writer.lock(), skipped)?;
            if let Ok(state) = RwLockReadGuard::try_map(self.state.read(), Option::as_ref) {
                return Ok(state);
            }
        }
    }

    /// The right to append. The log has been replayed when it returns.
    pub(crate) fn writer(&self, skipped: &dyn Fn(Skipped)) -> Result<MutexGuard<'_, Writer>> {
        self.log.leader()?;
        let mut writer = self.writer.lock();
        if self.state.read().is_none() {
            self.replay(&mut writer, skipped)?;
        }
        Ok(writer)
    }

    /// Replays the log from its start, or from where the last replay ended.
    fn replay(&self, writer: &mut Writer, skipped: &dyn Fn(Skipped)) -> Result<()> {
        let continues = self.log.tailing().is_some();
        let mut stored = self.state.write();
        let (mut cursor, mut state) = match (writer.cursor.take(), stored.take()) {
            // Another thread was faster.
            (_, known @ Some(_)) if !continues => {
                *stored = known;
                return Ok(());
            }
            (Some(cursor), Some(state)) => (cursor, state),
            _ => {
                let start = self.log.bounds()?.log_start;
                let cursor = Cursor::new(Arc::clone(&self.log), start, ReadUpTo::Visible);
                (cursor.with_markers(), S::default())
            }
        };
        let outcome =
            self.log.refresh_end().and_then(|()| self.replay_to_end(&mut cursor, &mut state, skipped));
        if continues {
            writer.cursor = Some(cursor);
            *stored = Some(state);
        } else if outcome.is_ok() {
            *stored = Some(state);
        }
        outcome
    }

    fn replay_to_end(&self, cursor: &mut Cursor, state: &mut S, skipped: &dyn Fn(Skipped)) -> Result<()> {
        let mut restarts = 0;
        loop {
            let failure = match cursor.fetch(FETCH) {
                Ok(None) => return Ok(()),
                Ok(Some(fetched)) => {
                    let mut bytes = fetched.bytes.as_ref();
                    while let Some((batch, next)) = Batch::take_checked(bytes) {
                        state.apply(&batch, fetched.from, &mut |record| skipped(record));
                        bytes = next;
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            let at = cursor.offset();
            match failure {
                Error::Corrupt(damage) => {
                    let resume = damage.resume_at().map(|position| position.offset());
                    let next = match resume.filter(|next| *next > at) {
                        Some(next) => next,
                        None => self.log.bounds()?.log_end,
                    };
                    if next <= at {
                        return Err(Error::Corrupt(damage));
                    }
                    state.leave_out(at);
                    skipped(Skipped { offset: at, reason: damage.to_string().into() });
                    cursor.seek(next);
                }
                // Records at the start were deleted meanwhile, or another process has made a new log under this name.
                Error::OffsetOutOfRange { valid, .. } if restarts < MAX_RESTARTS => {
                    restarts += 1;
                    if at > valid.end {
                        *state = S::default();
                    }
                    cursor.seek(valid.start);
                }
                other => return Err(other),
            }
        }
    }
}
