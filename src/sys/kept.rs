//! Maps of closed files that are kept after their last reader has gone: to map a file again takes some ten system calls.
//!
//! A few a log, each with its share of the [budget](super::mapping::MapBudget); the oldest gives way. What is not kept any
//! more is returned, so that it is unmapped where no lock is held.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::mapping::Mapping;
use super::platform;

/// Most that are kept. None where a map would hold its file fast, and where there are few addresses.
const MAX_KEPT: usize =
    if platform::MAPS_PIN_FILES || cfg!(not(target_pointer_width = "64")) { 0 } else { 16 };

/// The maps that one log keeps.
#[derive(Debug, Default)]
pub(crate) struct KeptMaps(Mutex<VecDeque<KeptMap>>);

/// A map, and what was read from other files of the same segment.
#[derive(Debug)]
#[must_use = "it is unmapped when this goes, which may be under no lock"]
pub(crate) struct KeptMap {
    mapping: Arc<Mapping>,
    beside: Option<Arc<dyn Any + Send + Sync>>,
}

impl KeptMaps {
    /// Keeps a map. Returns those that give way: where the budget runs short, all.
    pub(crate) fn keep(&self, mapping: &Arc<Mapping>) -> VecDeque<KeptMap> {
        let mut kept = self.0.lock();
        if MAX_KEPT == 0 || mapping.is_budget_short() {
            return std::mem::take(&mut kept);
        }
        kept.push_back(KeptMap { mapping: Arc::clone(mapping), beside: None });
        let surplus = kept.len().saturating_sub(MAX_KEPT);
        kept.drain(..surplus).collect()
    }

    /// Whether a map is kept.
    pub(crate) fn holds(&self, mapping: &Arc<Mapping>) -> bool {
        self.0.lock().iter().any(|one| Arc::ptr_eq(&one.mapping, mapping))
    }

    /// Keeps something as long as the map. `false`: that is not kept.
    pub(crate) fn keep_beside(&self, mapping: &Arc<Mapping>, what: Arc<dyn Any + Send + Sync>) -> bool {
        let mut kept = self.0.lock();
        let found = kept.iter_mut().find(|one| Arc::ptr_eq(&one.mapping, mapping));
        found.map(|one| one.beside = Some(what)).is_some()
    }

    /// Keeps a map no longer.
    pub(crate) fn give_up(&self, mapping: &Weak<Mapping>) -> Option<KeptMap> {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|one| std::ptr::eq(Arc::as_ptr(&one.mapping), mapping.as_ptr()))?;
        kept.remove(at)
    }
}
