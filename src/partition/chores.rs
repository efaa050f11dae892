//! What a partition leaves to the background: working ahead of its writer, and finishing sealed segments.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::PartitionLog;
use crate::sys::{Growth, Tail};

/// Work in front of the writer; must not wait for the disk.
#[derive(Debug)]
pub(crate) struct GrowAhead {
    pub(crate) growth: Arc<Growth>,
    pub(crate) tail: Arc<Tail>,
}

/// Where chores go. Without receivers a partition does what cannot be left out by itself, and leaves out the rest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chores {
    pub(crate) ahead: Option<Sender<GrowAhead>>,
    pub(crate) finish: Option<Sender<Arc<PartitionLog>>>,
}

impl Chores {
    pub(super) fn grow_ahead(&self, growth: &Arc<Growth>, tail: &Arc<Tail>) {
        if let Some(ahead) = &self.ahead
            && growth.request()
        {
            let chore = GrowAhead { growth: Arc::clone(growth), tail: Arc::clone(tail) };
            // A thread that has ended means a log that is being closed: nothing to work ahead for.
            let _ = ahead.try_send(chore);
        }
    }

    /// Has the sealed segments of `partition` finished. `false`: nobody is there to do it.
    pub(super) fn finish_sealed(&self, partition: &Arc<PartitionLog>) -> bool {
        self.finish.as_ref().is_some_and(|finish| finish.send(Arc::clone(partition)).is_ok())
    }
}
