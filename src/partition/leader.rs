//! The leader of a partition: this process alone appends to it.

use std::ops::Deref;
use std::sync::Arc;

use super::cleanup::Cleanup;
use super::core::PartitionCore;
use super::locks::{Lock, Rank};
use super::point::Keeping;
use super::settings::PartitionSettings;
use super::transactions::Producers;
use super::view::{LogView, Numbered};
use super::writer::Writer;
use super::writer::beginning::Beginning;
use super::{Bounds, PartitionOpening};
use crate::error::Result;

/// A partition that this process appends to. Its directory is made at the first append.
///
/// Its methods are in the files of the parts whose state they change; no file touches the state of another sub-room but by
/// that part's own methods. One type, because what they do is done under locks of several parts: a
/// roll takes the appender, the queue of sealed segments and the preallocated file; a finished segment needs the state of
/// producers. The order of these locks is at the head of [`partition`](super).
#[derive(Debug)]
pub(crate) struct Leader {
    core: Arc<PartitionCore>,
    pub(super) writer: Writer,
    pub(super) producers: Producers,
    pub(super) cleanup: Cleanup,
    /// Held while the checkpoint of leader epochs is brought up to date.
    pub(super) epochs: Lock<Beginning>,
    pub(super) keeping: Keeping,
}

impl Deref for Leader {
    type Target = PartitionCore;

    #[inline]
    fn deref(&self) -> &PartitionCore {
        &self.core
    }
}

impl Leader {
    pub(crate) fn new(opening: PartitionOpening<'_>) -> Arc<Self> {
        let writer = Writer::new(opening.context.background_sync);
        let core = PartitionCore::new(opening);
        Arc::new(Self {
            writer,
            producers: Producers::default(),
            cleanup: Cleanup::default(),
            epochs: Lock::new(Rank::Epochs, Beginning::default()),
            keeping: Keeping::at(&core.directory),
            core,
        })
    }

    pub(super) fn core(&self) -> &Arc<PartitionCore> {
        &self.core
    }

    /// The view as it is now, loading the partition if need be. An error if it was closed or deleted.
    pub(crate) fn present(self: &Arc<Self>) -> Result<Numbered<LogView>> {
        if !self.is_loaded() {
            self.load()?;
        }
        self.loaded_view()
    }

    /// Offsets as they are now, loading the partition if need be.
    pub(crate) fn bounds(self: &Arc<Self>) -> Result<Bounds> {
        Ok(self.bounds_of(&*self.present()?))
    }

    /// Goes by other settings from now on.
    pub(crate) fn set_settings(self: &Arc<Self>, settings: PartitionSettings) {
        self.take_settings(settings);
        self.ask_for_flush();
    }
}
