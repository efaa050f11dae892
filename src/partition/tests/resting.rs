//! The partitions that are appended to: which of them are known.

use super::fixture::{Fixture, POSITIONED, append_numbered};

/// Their memory would be kept for as long as the log is open.
#[test]
fn partitions_that_are_gone_do_not_add_up() {
    let fixture = Fixture::new(POSITIONED, 1000);
    let stays = fixture.open_new();
    append_numbered(&stays, 1, 10).unwrap();
    fixture.remove();
    for _ in 0..200 {
        let log = fixture.open_new();
        append_numbered(&log, 1, 10).unwrap();
        drop(log);
        fixture.remove();
        let known = stays.chores.actives.known();
        assert!((1..=40).contains(&known), "{known}");
    }
}
