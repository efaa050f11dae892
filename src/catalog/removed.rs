//! Topics that were deleted, as far as the metadata log names them: what an open needs to recognize directories that they left.

use std::collections::BTreeMap;

use crate::format::uuid::Uuid;

/// Deleted topics. An open log has compared them with its directories and keeps none: its memory does not grow with the number of
/// topics that ever were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Removed {
    Kept {
        /// With the name, if the topic was known.
        names: BTreeMap<Uuid, Option<String>>,
        ids: BTreeMap<String, Uuid>,
    },
    Forgotten,
}

impl Default for Removed {
    fn default() -> Self {
        Self::Kept { names: BTreeMap::new(), ids: BTreeMap::new() }
    }
}

impl Removed {
    pub(super) fn add(&mut self, id: Uuid, name: Option<String>) {
        if let Self::Kept { names, ids } = self {
            if let Some(name) = &name {
                ids.insert(name.clone(), id);
            }
            names.insert(id, name);
        }
    }

    /// A topic with this id exists again.
    pub(super) fn take_back(&mut self, id: Uuid) {
        if let Self::Kept { names, ids } = self
            && let Some(Some(name)) = names.remove(&id)
            && ids.get(&name) == Some(&id)
        {
            ids.remove(&name);
        }
    }

    pub(super) fn contains(&self, id: Uuid) -> bool {
        matches!(self, Self::Kept { names, .. } if names.contains_key(&id))
    }

    pub(super) fn name_of(&self, id: Uuid) -> Option<&str> {
        match self {
            Self::Kept { names, .. } => names.get(&id)?.as_deref(),
            Self::Forgotten => None,
        }
    }

    /// The topic of this name that was deleted last.
    pub(super) fn id_of(&self, name: &str) -> Option<Uuid> {
        match self {
            Self::Kept { ids, .. } => ids.get(name).copied(),
            Self::Forgotten => None,
        }
    }
}
