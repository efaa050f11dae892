//! Consumer groups: who reads which partition, and how far each group has come.
//!
//! | file | what |
//! |---|---|
//! | [`membership`] | one group's members, and the way to a new assignment: a pure value |
//! | [`assignor`] | Kafka's rules for dealing partitions out: pure functions |
//! | [`beginning`] | where partitions begin that have no committed position |
//! | [`claims`] | positions that transactions commit |
//! | [`coordinator`] | the groups of an open directory, and the members of each |
//! | [`registry`] | which groups there are, and the order of locks |
//! | [`offsets`] | committed positions, kept in `__consumer_offsets` |
//! | [`deletions`] | topics that are made and deleted, together with what groups have committed in them |
//! | [`describe`], [`administration`] | what is seen of groups and done to them from outside |

mod administration;
mod assignor;
mod beginning;
mod claims;
mod coordinator;
mod deletions;
mod describe;
mod membership;
mod offsets;
mod registry;
#[cfg(test)]
mod tests;

pub(crate) use administration::refuse_beyond_end;
pub(crate) use beginning::Since;
pub(crate) use claims::GroupCommit;
pub(crate) use coordinator::{Coordinator, GroupMember, check_name};
pub(crate) use deletions::Deletions;
pub use describe::{GroupDescription, GroupPartition, GroupState, MemberDescription};
pub(crate) use membership::OwnershipChange;
#[cfg(any(fuzzing, test))]
pub(crate) use offsets::replay;
pub(crate) use offsets::{Commit, CommittedOffsets, PARTITIONS as OFFSETS_PARTITIONS};
