//! Compaction as users see it: what stays, what goes and when, and who notices.

mod common;
#[path = "compaction/model.rs"]
mod model;
