//! Tests of the state machine, without files.

mod membership;
