//! The program beside Kafka's own tools, and the commands of `docs/kafka.md`. `STRATALOG_KAFKA` has it run: see `tests/kafka`.

mod commands;
#[path = "../../../tests/common/mod.rs"]
mod common;
#[path = "../program/cutting.rs"]
mod cutting;
mod dump;
#[path = "../program/program.rs"]
mod program;
#[path = "../../../tests/kafka/reference.rs"]
mod reference;
mod tools;
