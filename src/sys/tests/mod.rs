mod following;
mod looking;

#[cfg(target_os = "linux")]
use super::platform;

/// Numbers of processes begin anew when they are used up, so a child may have the lower one.
#[cfg(target_os = "linux")]
#[test]
fn a_lock_is_held_by_the_parent_of_a_child_that_has_its_descriptors() {
    let parent_of = |process: u32| match process {
        400 | 32_001 => Some(32_000),
        32_000 => Some(7),
        _ => None,
    };
    assert_eq!(platform::first_holder(&[400, 32_000, 32_001], parent_of), Some(32_000));
    assert_eq!(
        platform::first_holder(&[400], parent_of),
        Some(400),
        "the parent is gone, or has closed the log"
    );
    // One that has just ended has no parent to be seen.
    assert_eq!(platform::first_holder(&[399, 32_000], parent_of), Some(32_000));
    assert_eq!(platform::first_holder(&[399], parent_of), Some(399));
    assert_eq!(platform::first_holder(&[], parent_of), None);
}
