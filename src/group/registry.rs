//! The groups that have members, or are changed at the moment, by name.
//!
//! The registry's own lock is held to look a name up, to add an entry or to take one out, and for nothing else: no other lock is
//! taken and nothing is read or written under it. Whatever is done to one group is done under the lock of its entry, also
//! where it has no members, so that members of other groups do not wait for it.
//!
//! Order of locks: a group's `state`, then the registry, or a partition of `__consumer_offsets` and what that takes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::coordinator::{LiveGroup, State};

#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: Mutex<HashMap<Arc<str>, Arc<LiveGroup>>>,
}

/// A group under its lock. An entry in which there was never a member is taken out at the end.
struct Locked<'r> {
    registry: &'r Registry,
    group: &'r LiveGroup,
    state: MutexGuard<'r, State>,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if !self.state.had_members {
            self.registry.remove(self.group, &mut self.state);
        }
    }
}

impl Registry {
    pub(super) fn get(&self, group: &str) -> Option<Arc<LiveGroup>> {
        self.entries.lock().get(group).cloned()
    }

    /// All entries there are now.
    pub(super) fn all(&self) -> HashMap<Arc<str>, Arc<LiveGroup>> {
        self.entries.lock().clone()
    }

    /// Does something to a group under its lock, whether it has members or not.
    pub(super) fn with<T>(&self, group: &str, work: impl FnOnce(&Arc<LiveGroup>, &mut State) -> T) -> T {
        loop {
            let group = self.entry(group);
            let state = group.state.lock();
            // It was taken out while this call waited for the lock. Another entry has the name, or none.
            if state.is_gone {
                continue;
            }
            let mut locked = Locked { registry: self, group: &group, state };
            return work(&group, &mut locked.state);
        }
    }

    fn entry(&self, group: &str) -> Arc<LiveGroup> {
        let mut entries = self.entries.lock();
        if let Some(known) = entries.get(group) {
            return Arc::clone(known);
        }
        let new = Arc::new(LiveGroup::new(group.into()));
        entries.insert(Arc::clone(&new.name), Arc::clone(&new));
        new
    }

    /// Takes a group out, under its lock.
    pub(super) fn remove(&self, group: &LiveGroup, state: &mut State) {
        if !std::mem::replace(&mut state.is_gone, true) {
            self.entries.lock().remove(&group.name);
        }
    }
}
