//! The program beside others: processes that read and write at once, pipes that close, Ctrl-C, terminals, full disks.

#[path = "cli/full_disk.rs"]
mod full_disk;
#[path = "cli/processes.rs"]
mod processes;
#[path = "cli/program.rs"]
mod program;
#[cfg(unix)]
#[path = "cli/terminal.rs"]
mod terminal;
