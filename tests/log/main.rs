//! A log in one process: topics, producers, consumers, and what changes under them.

mod altering;
mod bad_input;
mod buffered;
mod codecs;
#[path = "../common/mod.rs"]
mod common;
mod compaction;
mod copies;
mod delete;
mod durability;
mod events;
mod failing_partition;
mod fitting;
mod fresh_directory;
mod handles;
mod layout;
mod many_threads;
mod moved;
mod partitioning;
mod read_only;
mod reading;
mod records;
mod reopen;
mod retention;
mod snapshot;
mod sync_beside_changes;
mod user_clock;
mod waiting;
mod why_empty;
mod writing;

/// Cases of a property: so many, or as often as many as `PROPTEST_CASES` is 256.
pub(crate) fn cases(usual: u32) -> u32 {
    proptest::test_runner::Config::default().cases * usual / 256
}
