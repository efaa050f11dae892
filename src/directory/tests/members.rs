//! Members of groups whose polls fail on the disk.

use super::*;
use crate::error::Error;

#[test]
fn a_member_whose_poll_failed_in_its_own_commit_is_evicted_in_time() {
    let closed = closed();
    let scene = Scene::of(&closed, Operation::Write, ErrorKind::StorageFull, true);
    let interval = Duration::from_secs(30);
    let member = |commits| {
        let config = ConsumerConfig::new().group("new").max_poll_interval(interval).commit_on_poll(commits);
        let mut consumer = scene.log.consumer_with(config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        consumer
    };
    let mut failing = member(true);
    assert_eq!(failing.poll(Duration::ZERO).unwrap().len(), 3);
    let mut other = member(false);
    scene.faults.arm(0);
    let failed = failing.poll(Duration::ZERO);
    assert!(matches!(failed, Err(Error::StorageFull { .. })), "{failed:?}");
    scene.faults.heal();
    assert_eq!(other.poll(Duration::ZERO).unwrap().assigned().len(), 0);
    scene.clock.advance(interval);
    let records = other.poll(Duration::ZERO).unwrap();
    assert_eq!((records.assigned().len(), records.len()), (2, 3), "nothing was committed");
}
