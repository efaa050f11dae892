//! Consumer groups: who reads which partition, and how far each group has come.

#[cfg_attr(not(test), expect(dead_code, reason = "the state machine of groups uses it"))]
mod assignor;
