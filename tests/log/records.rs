//! What a poll returns: views, owned records, and sending them on.

use std::time::Duration;

use crate::common::{in_every_mode, read};
use stratalog::{
    EventLog, Header, Record, RecordCopy, RecordView, Records, Timestamp, TimestampType, Topic, TopicConfig,
};

fn everything(log: &EventLog, topic: &Topic) -> Records {
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign(topic.partitions()).unwrap();
    reader.poll(Duration::ZERO).unwrap()
}

type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);

fn fields(record: RecordView<'_>) -> Fields {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = record.headers().map(|header| (header.name().to_owned(), owned(header.value())));
    (owned(record.key()), owned(record.value()), headers.collect(), record.timestamp().as_millis())
}

/// A topic whose segments do not end by time, however far apart the records are.
fn of_any_time() -> TopicConfig {
    TopicConfig::new().segment_age(Duration::MAX)
}

/// One record of every shape.
fn shapes() -> Vec<(Record<'static>, Fields)> {
    const HEADERS: [Header<'static>; 0] = [];
    let time = |millis| Timestamp::from_millis(millis);
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let header = |name: &str, value| (name.to_owned(), value);
    vec![
        (Record::new("value").timestamp(time(5)), (None, text("value"), vec![], 5)),
        (Record::new("").key("").timestamp(time(0)), (text(""), text(""), vec![], 0)),
        (Record::tombstone("key").timestamp(time(7)), (text("key"), None, vec![], 7)),
        (
            Record::new(&[0, 255, 10]).key(&[0; 300]).timestamp(time(i64::from(u32::MAX))).headers(&HEADERS),
            (Some(vec![0; 300]), Some(vec![0, 255, 10]), vec![], i64::from(u32::MAX)),
        ),
        (
            Record::new("v").key("k").header("a", "1").header("b", "").header("a", "2").timestamp(time(1)),
            (
                text("k"),
                text("v"),
                vec![header("a", text("1")), header("b", text("")), header("a", text("2"))],
                1,
            ),
        ),
        (
            Record::tombstone("k").header("größe", "x").timestamp(time(3)),
            (text("k"), None, vec![header("größe", text("x"))], 3),
        ),
    ]
}

#[test]
fn every_field_comes_back_as_it_was_sent() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", of_any_time()).unwrap();
        let (producer, to) = (log.producer().unwrap(), topic.partition(0).unwrap());
        for (record, _) in shapes() {
            producer.send(&topic, record).unwrap();
        }
        producer.send_batch(&to, shapes().into_iter().map(|(record, _)| record)).unwrap();
        let mut buffered = producer.buffered();
        for (record, _) in shapes() {
            buffered.enqueue(&topic, record).unwrap();
        }
        buffered.flush().unwrap();

        let records = everything(&log, &topic);
        let wanted: Vec<_> = shapes().into_iter().map(|(_, fields)| fields).collect();
        assert_eq!(records.len(), 3 * wanted.len());
        for (offset, record) in records.iter().enumerate() {
            assert_eq!(fields(record), wanted[offset % wanted.len()]);
            assert_eq!((record.topic(), record.partition(), record.offset()), ("t", 0, offset as u64));
            assert_eq!(record.timestamp_type(), TimestampType::CreateTime);
            assert_eq!(record.leader_epoch(), Some(0));
            let next = record.next_position();
            assert_eq!(
                (next.offset(), next.topic_partition().to_string()),
                (offset as u64 + 1, "t-0".into())
            );
        }
        let with_headers = records.iter().nth(4).unwrap();
        assert_eq!(with_headers.headers().len(), 3);
        assert_eq!(with_headers.header("a"), Some(&b"2"[..]));
        assert_eq!((with_headers.header("b"), with_headers.header("c")), (Some(&b""[..]), None));
    });
}

#[test]
fn null_headers_are_not_empty_ones() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", of_any_time()).unwrap();
    let headers = [Header::null("gone"), Header::new("empty", ""), Header::null("empty")];
    log.producer().unwrap().send(&topic, Record::new("v").headers(&headers)).unwrap();
    let records = everything(&log, &topic);
    let record = records.iter().next().unwrap();
    assert_eq!(
        record.headers().map(|h| h.value().map(<[u8]>::len)).collect::<Vec<_>>(),
        [None, Some(0), None]
    );
    assert_eq!(record.header("empty"), None, "the last one counts");
}

/// Kafka's clients write names that are empty, and those in other languages names that are no text.
#[test]
fn names_of_headers_are_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let topic = log.create_topic("t", of_any_time()).unwrap();
    let to = topic.partition(0).unwrap();
    let no_text = [0xff, 0x00, b'x'];
    let headers = [Header::new("", "a"), Header::null(""), Header::new(&no_text, "b"), Header::null("ü")];
    let record = || Record::new("v").headers(&headers);
    let producer = log.producer().unwrap();
    producer.send(&topic, record()).unwrap();
    producer.send_batch(&to, [record(), record()]).unwrap();
    producer.send_batch_at(&to, 3, [record()]).unwrap();
    producer.send_copies(&to, [RecordCopy::new(4, record())]).unwrap();
    let mut buffered = producer.buffered();
    buffered.enqueue(&topic, record()).unwrap();
    let one_by_one = Record::new("v").header("", "a").null_header("").header(&no_text, "b").null_header("ü");
    buffered.enqueue(&topic, one_by_one).unwrap();
    buffered.flush().unwrap();
    for record in &everything(&log, &topic) {
        for same in [record.detach(), record.share()] {
            assert!(same.view().headers().eq(headers), "{same:?}");
        }
        assert_eq!(
            record.headers().map(|header| header.name()).collect::<Vec<_>>(),
            ["", "", "\u{fffd}", "ü"]
        );
        assert_eq!((record.header(""), record.header("\u{fffd}")), (None, None));
        // As it continues to another topic.
        producer.send(&topic, Record::from(record)).unwrap();
    }
    let records = everything(&log, &topic);
    assert_eq!(records.len(), 14);
    assert!(records.iter().all(|record| record.headers().eq(headers)));
}

#[test]
fn shared_detached_and_owned_records_are_the_same_record() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", of_any_time()).unwrap();
        let producer = log.producer().unwrap();
        for (record, _) in shapes() {
            producer.send(&topic, record).unwrap();
        }
        let records = everything(&log, &topic);
        drop((log, topic, producer));
        let mut kept = Vec::new();
        for record in &records {
            kept.push([
                record.share(),
                record.detach(),
                record.share().view().detach(),
                record.detach().clone(),
            ]);
        }
        let by_value: Vec<_> = records.into_iter().collect();
        assert_eq!(by_value.len(), shapes().len());
        for ((copies, owned), (_, wanted)) in kept.iter().zip(&by_value).zip(shapes()) {
            for copy in copies.iter().chain([owned]) {
                assert_eq!(fields(copy.view()), wanted);
                assert_eq!(copy.key().map(|key| key.to_vec()), wanted.0);
                assert_eq!(copy.value().map(|value| value.to_vec()), wanted.1);
                assert_eq!(copy.view().next_position(), owned.view().next_position());
                assert_eq!(format!("{copy:?}"), format!("{:?}", owned.view()));
            }
        }
    });
}

#[test]
fn records_are_grouped_by_partition() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let topic = log.create_topic("t", TopicConfig::new().partitions(3)).unwrap();
        let producer = log.producer().unwrap();
        for (number, partition) in (0_u8..).zip([2, 0, 2, 2, 0]) {
            producer.send(&topic, Record::new(&[number]).partition(partition)).unwrap();
        }
        let records = everything(&log, &topic);
        let values = |of: stratalog::RecordIter<'_>| of.map(|r| r.value().unwrap()[0]).collect::<Vec<_>>();
        let groups: Vec<_> = records
            .partitions()
            .map(|group| {
                assert_eq!((group.len(), group.is_empty()), (group.iter().len(), false));
                assert!(group.iter().all(|record| record.partition() == group.topic_partition().partition()));
                (group.topic_partition().to_string(), values(group.iter()))
            })
            .collect();
        assert_eq!(groups, [("t-0".to_owned(), vec![1, 4]), ("t-2".to_owned(), vec![0, 2, 3])]);
        assert_eq!(values(records.iter()), [1, 4, 0, 2, 3]);
        let mut walked = records.iter();
        assert_eq!(walked.by_ref().take(2).count(), 2);
        assert_eq!((walked.len(), walked.clone().count()), (3, 3));
    });
}

#[test]
fn a_view_is_sent_on_as_it_is() {
    in_every_mode(|mode, dir| {
        let log = mode.open(dir);
        let from = log.create_topic("from", TopicConfig::new()).unwrap();
        let to = log.create_topic("to", TopicConfig::new().partitions(2)).unwrap();
        let producer = log.producer().unwrap();
        for (record, _) in shapes() {
            producer.send(&from, record).unwrap();
        }
        let records = everything(&log, &from);
        for record in &records {
            producer.send(&to, Record::from(record).partition(0)).unwrap();
        }
        producer.send_batch(&to.partition(1).unwrap(), records.iter().map(Record::from)).unwrap();
        let (first, second) = (read(&log, [("to", 0)]), read(&log, [("to", 1)]));
        for (((copy, batched), original), _) in first.iter().zip(&second).zip(&records).zip(shapes()) {
            assert_eq!(fields(copy.view()), fields(original));
            assert_eq!(fields(batched.view()), fields(original));
        }
        assert_eq!((first.len(), second.len()), (records.len(), records.len()));
    });
}
