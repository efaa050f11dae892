//! Directories as they are found: of brokers, of earlier versions, incomplete, damaged, changed at random. And what `inspect` says.

mod absence;
mod absence_class;
mod broker;
#[path = "../common/mod.rs"]
mod common;
mod foreign_directories;
mod handover;
mod inspect;
mod keeping;
mod legacy;
mod mutated;
mod mutated_directories;
mod part_of_cluster;
mod salvage;
mod upgrades;
mod verify;
