//! The commands of the program, one by one: what they print, what they refuse, and with which exit code.

mod common;
#[path = "cli/consume.rs"]
mod consume;
#[path = "cli/cutting.rs"]
mod cutting;
#[path = "cli/groups.rs"]
mod groups;
#[path = "cli/handover.rs"]
mod handover;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/perf.rs"]
mod perf;
#[path = "cli/produce.rs"]
mod produce;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/set.rs"]
mod set;
#[path = "cli/settings.rs"]
mod settings;
#[path = "cli/snapshot.rs"]
mod snapshot;
#[path = "cli/stats.rs"]
mod stats;
#[path = "cli/topics.rs"]
mod topics;
