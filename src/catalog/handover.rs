//! What a broker that takes the log over must find in it.

use super::state::METADATA_VERSION;
use super::{Catalog, WRITTEN_LEVEL};
use crate::format::control::Voter;

impl Catalog {
    /// The level that a broker must know to start on this log.
    pub(crate) fn metadata_level(&self) -> i16 {
        self.changes.lock().state.feature(METADATA_VERSION).unwrap_or(WRITTEN_LEVEL)
    }

    /// The members of the quorum, if the log itself notes them. A broker on it must listen where they are said to.
    pub(crate) fn voters(&self) -> Vec<Voter> {
        self.changes.lock().state.voters().to_vec()
    }
}
