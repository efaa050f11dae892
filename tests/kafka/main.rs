//! Kafka is the reference: real brokers, Kafka's tools and the classes of its clients, asked about what is written here.
//!
//! `STRATALOG_KAFKA` has it run, with Java 17 or later, Maven (which fetches Kafka on first use) and bash; without it each test
//! says that it was not run. See `README.md` here.

mod absence;
mod brokers;
mod choices;
#[path = "../common/mod.rs"]
mod common;
mod groups;
mod large;
mod ours;
mod reference;
mod rounds;
mod topics;
mod traps;
