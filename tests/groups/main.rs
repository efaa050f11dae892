//! Consumer groups: who reads what, and which positions are committed.

mod announcements;
mod committing;
#[path = "../common/mod.rs"]
mod common;
mod groups;
mod start_from_end;
mod stuck_members;
