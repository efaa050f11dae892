//! Processes that are killed, limited or share a directory, and devices that are full or gone.
//!
//! What a test does to a process, it does to a child: this program once more, with the name of one test ([`test_path`]). So all
//! run in one program, however many descriptors or signals one of them wants to itself.
//!
//! [`test_path`]: common::test_path

#[path = "../common/mod.rs"]
mod common;
mod descriptors;
mod file_size_limit;
mod full_disk;
mod full_disk_calls;
mod group_kill;
mod kill;
mod locked;
mod memory;
mod other_processes;
mod signals;
mod small;
