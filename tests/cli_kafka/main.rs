//! The program beside Kafka's own tools, and the commands of `docs/kafka.md`. `STRATALOG_KAFKA` has it run: see `tests/kafka`.

mod commands;
#[path = "../common/mod.rs"]
mod common;
#[path = "../cli/cutting.rs"]
mod cutting;
mod dump;
#[path = "../kafka/judge.rs"]
mod judge;
#[path = "../cli/program.rs"]
mod program;
mod tools;
