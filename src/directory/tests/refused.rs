//! Calls that are refused because they are wrong, or come at the wrong time: not a byte is written.

use super::*;
use crate::config::CleanupPolicy;
use crate::error::{Error, Remedy};

type Call = fn(&Scene) -> Result<()>;

const REFUSED: [(&str, Call); 23] = [
    ("a topic that exists", |scene| scene.log.create_topic("t", TopicConfig::new()).map(drop)),
    ("one of several exists", |scene| {
        scene.log.create_topics([("new", TopicConfig::new()), ("t", TopicConfig::new())]).map(drop)
    }),
    ("a name", |scene| scene.log.create_topic("not a name", TopicConfig::new()).map(drop)),
    ("a reserved name", |scene| scene.log.ensure_topic("__transaction_state", TopicConfig::new()).map(drop)),
    ("a setting", |scene| {
        scene.log.create_topic("new", TopicConfig::new().set("retention.ms", "soon")).map(drop)
    }),
    ("no partitions", |scene| scene.log.ensure_topic("new", TopicConfig::new().partitions(0)).map(drop)),
    ("delete what is not there", |scene| scene.log.delete_topic("nothing")),
    ("delete Kafka's own", |scene| scene.log.delete_topic("__consumer_offsets")),
    ("alter", |scene| scene.topic("t").alter_config(|now| now.set("segment.ms", "never"))),
    ("fewer partitions", |scene| scene.topic("t").add_partitions(1)),
    ("a partition that is not there", |scene| scene.topic("t").partition(2).map(drop)),
    ("delete past the end", |scene| scene.topic("t").partition(0)?.delete_records(4).map(drop)),
    ("a record that is too large", |scene| {
        let value = vec![0; 2 << 20];
        scene.producer(Durability::Synced).send(&scene.topic("u"), Record::new(&value)).map(drop)
    }),
    ("a batch that is too large", |scene| {
        let value = vec![0; 600_000];
        let records = [Record::new(&value), Record::new(&value)];
        scene.producer(Durability::Synced).send_batch(&scene.topic("t").partition(1)?, records).map(drop)
    }),
    ("another end", |scene| {
        let to = scene.topic("u").partition(0)?;
        scene.producer(Durability::Synced).send_batch_at(&to, 9, [Record::new("x")]).map(drop)
    }),
    ("another end of what is empty", |scene| {
        let to = scene.topic("t").partition(1)?;
        scene.producer(Durability::Synced).send_batch_at(&to, 9, [Record::new("x")]).map(drop)
    }),
    ("another partition", |scene| {
        let to = scene.topic("t").partition(0)?;
        scene.producer(Durability::Synced).send_batch(&to, [Record::new("x").partition(1)]).map(drop)
    }),
    ("commit past the end", |scene| {
        let mut consumer = scene.log.consumer("g")?;
        consumer.assign(scene.topic("t").partitions())?;
        consumer.commit_to([Position::new(("t", 1), 0), Position::new(("t", 0), 4)])
    }),
    ("commit what is not assigned", |scene| {
        let mut consumer = scene.log.consumer("g")?;
        consumer.assign(scene.topic("t").partitions())?;
        consumer.commit_to([Position::new(("t", 1), 0), Position::new(("u", 0), 0)])
    }),
    ("set past the end", |scene| {
        scene.log.group("g")?.set_committed([Position::new(("t", 0), 0), Position::new(("u", 0), 2)])
    }),
    ("set where nothing is", |scene| {
        scene.log.group("g")?.set_committed([Position::new(("t", 0), 0), Position::new(("v", 0), 0)])
    }),
    ("delete a group that is not there", |scene| scene.log.group("absent")?.delete()),
    ("a name for a group", |scene| scene.log.group("").map(drop)),
];

#[test]
fn what_is_refused_writes_not_a_byte() {
    let closed = closed();
    let scene = Scene::of(&closed, Operation::Write, ErrorKind::Other, false);
    for (name, call) in REFUSED {
        let before = bytes(scene.dir.path());
        let failure = call(&scene).err().unwrap_or_else(|| panic!("{name} is taken"));
        assert!(matches!(failure.remedy(), Remedy::FixTheCall | Remedy::Retry), "{name}: {failure:?}");
        let after = bytes(scene.dir.path());
        let differ = |name: &&String| before.get(*name) != after.get(*name);
        let different: Vec<_> = before.keys().chain(after.keys()).filter(differ).collect();
        assert!(different.is_empty(), "{name}: {different:?}");
    }
}

#[test]
fn what_a_group_with_members_refuses_writes_not_a_byte() {
    let closed = closed();
    let scene = Scene::of(&closed, Operation::Write, ErrorKind::Other, false);
    let mut member = scene.log.consumer("g").unwrap();
    member.subscribe(["t"]).unwrap();
    let _ = member.poll(Duration::ZERO).unwrap();
    let mut outsider = scene.log.consumer("g").unwrap();
    outsider.assign(scene.topic("u").partitions()).unwrap();
    let before = bytes(scene.dir.path());
    let group = scene.log.group("g").unwrap();
    let refused = [
        group.set_committed([Position::new(("u", 0), 0)]),
        group.remove_committed([("u", 0)]),
        group.delete(),
        outsider.commit_to([Position::new(("u", 0), 0)]),
        member.commit_to([Position::new(("u", 0), 0)]),
    ];
    for outcome in refused {
        assert!(
            matches!(outcome, Err(Error::GroupNotEmpty { .. } | Error::FencedGeneration { .. })),
            "{outcome:?}"
        );
    }
    assert!(bytes(scene.dir.path()) == before);
}

#[test]
fn a_log_that_is_only_read_writes_not_a_byte() {
    let closed = closed();
    let before = bytes(closed.path());
    let log = EventLog::open_read_only(closed.path()).unwrap();
    let t = log.topic("t").unwrap();
    let group = log.group("g").unwrap();
    let refused = [
        log.create_topic("new", TopicConfig::new()).map(drop),
        log.ensure_topic("new", TopicConfig::new().cleanup(CleanupPolicy::Compact)).map(drop),
        log.delete_topic("t"),
        t.alter_config(|now| now.set("segment.ms", "77")),
        t.add_partitions(9),
        t.partition(0).unwrap().delete_records(1).map(drop),
        t.partition(0).unwrap().sync(),
        log.sync(),
        log.run_maintenance().map(drop),
        log.producer().map(drop),
        group.set_committed([Position::new(("t", 0), 0)]),
        group.remove_committed([("t", 0)]),
        group.delete(),
        log.handover(&crate::handover::HandoverOptions::new()).map(drop),
    ];
    for outcome in refused {
        assert!(matches!(outcome, Err(Error::ReadOnly)), "{outcome:?}");
    }
    log.close().unwrap();
    assert!(bytes(closed.path()) == before);
}
