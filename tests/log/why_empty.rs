//! A poll that returned nothing says why.

use std::time::Duration;

use stratalog::{
    Consumer, ConsumerConfig, EventLog, Position, Record, Records, Topic, TopicConfig, WaitStrategy, WhyEmpty,
};

fn open() -> (tempfile::TempDir, EventLog, Topic) {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    (dir, log, topic)
}

fn why(consumer: &mut Consumer, timeout: Duration) -> Option<WhyEmpty> {
    let records = consumer.poll(timeout).unwrap();
    assert_eq!(records.why_empty().is_some(), records.is_empty());
    records.why_empty()
}

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn each_reason_is_given_whichever_way_the_consumer_waits() {
    for strategy in [WaitStrategy::Spin, WaitStrategy::SpinThenPark, WaitStrategy::Park] {
        for read_only in [false, true] {
            let (dir, log, topic) = open();
            let reading = read_only.then(|| EventLog::open_read_only(dir.path()).unwrap());
            let reading = reading.as_ref().unwrap_or(&log);
            let mut reader = reading.consumer_with(ConsumerConfig::new().wait(strategy)).unwrap();
            reader.assign([("t", 0), ("t", 1)]).unwrap();
            assert_eq!(why(&mut reader, Duration::ZERO), Some(WhyEmpty::CaughtUp));
            assert_eq!(why(&mut reader, MOMENT), Some(WhyEmpty::TimedOut));
            reader.waker().wake();
            assert_eq!(why(&mut reader, Duration::MAX), Some(WhyEmpty::Woken));
            reader.pause([("t", 0)]).unwrap();
            assert_eq!(why(&mut reader, MOMENT), Some(WhyEmpty::TimedOut), "one is read");
            reader.pause([("t", 1)]).unwrap();
            assert_eq!(why(&mut reader, Duration::ZERO), Some(WhyEmpty::Paused));
            assert_eq!(why(&mut reader, MOMENT), Some(WhyEmpty::Paused));
            reader.waker().wake();
            assert_eq!(why(&mut reader, Duration::MAX), Some(WhyEmpty::Woken));
            reader.resume([("t", 0), ("t", 1)]).unwrap();
            reader.seek(Position::new(("t", 0), 7)).unwrap();
            reader.poll(Duration::ZERO).unwrap_err();
            assert_eq!(why(&mut reader, Duration::ZERO), Some(WhyEmpty::Failing));
            reader.seek(Position::new(("t", 0), 0)).unwrap();
            log.producer().unwrap().send(&topic, Record::new("x")).unwrap();
            assert_eq!(why(&mut reader, Duration::from_secs(60)), None);
        }
    }
}

#[test]
fn a_change_of_the_assignment_is_a_reason_of_its_own() {
    let (_dir, log, _topic) = open();
    let mut member = log.consumer("g").unwrap();
    member.subscribe(["t"]).unwrap();
    assert_eq!(why(&mut member, Duration::MAX), Some(WhyEmpty::AssignmentChanged), "assigned");
    assert_eq!(why(&mut member, Duration::ZERO), Some(WhyEmpty::CaughtUp));
    let mut other = log.consumer("g").unwrap();
    other.subscribe(["t"]).unwrap();
    assert_eq!(why(&mut other, MOMENT), Some(WhyEmpty::TimedOut), "it has no partition yet");
    assert_eq!(why(&mut member, Duration::MAX), Some(WhyEmpty::AssignmentChanged), "revoked");
    log.delete_topic("t").unwrap();
    assert_eq!(why(&mut member, Duration::MAX), Some(WhyEmpty::AssignmentChanged), "lost");
}

#[test]
fn records_are_their_own_reason() {
    let (_dir, log, topic) = open();
    log.producer().unwrap().send(&topic, Record::new("x")).unwrap();
    let mut member = log.consumer("g").unwrap();
    member.subscribe(["t"]).unwrap();
    let records = member.poll(Duration::ZERO).unwrap();
    assert_eq!((records.assigned().len(), records.len(), records.why_empty()), (2, 1, None));
    assert_eq!(Records::default().why_empty(), None, "no poll returned it");
}
