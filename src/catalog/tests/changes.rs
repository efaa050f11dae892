//! Creating, ensuring and deleting topics, and finding them again.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::CleanupPolicy;

#[test]
fn topics_are_there_at_once_and_after_a_reopen() {
    let (dir, catalog) = fresh(&[]);
    let config = TopicConfig::new().partitions(3).cleanup(CleanupPolicy::Compact).segment_bytes(2 << 20);
    let made = catalog.create(&[("orders", config)], NOW).unwrap();
    assert_eq!(made.len(), 1);
    let config = made[0].config();
    let entries: Vec<_> = config.entries().collect();
    let expected = [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("segment.bytes", "2097152")];
    assert_eq!(entries, expected);
    assert!(made[0].settings().compacts);
    assert!(Arc::ptr_eq(&made[0], &catalog.topic("orders").unwrap()));
    assert_eq!(catalog.partitions().len(), 3);
    // Directories come with the first record.
    assert_eq!(directories(dir.path()), NO_TOPICS);
    fill(&made[0]);
    assert_eq!(directories(dir.path()), ["orders-0", "orders-1", "orders-2"]);

    let (before, identity) = (described(&catalog), catalog.identity().clone());
    catalog.close().unwrap();
    assert!(matches!(catalog.create(&[("more", TopicConfig::new())], NOW), Err(Error::Closed)));
    let catalog = open(dir.path()).unwrap();
    assert_eq!((described(&catalog), catalog.identity()), (before, &identity));
    assert!(catalog.unknown_directories().is_empty());
    assert_eq!(catalog.topic("orders").unwrap().partitions()[2].bounds().unwrap().log_end, 1);
}

#[test]
fn retention_that_was_set_is_kept_as_it_was_set() {
    let (_dir, catalog) = fresh(&[]);
    let config = TopicConfig::new().retention(None).retention_bytes(77);
    let made = ensure(&catalog, "a", config.clone()).unwrap();
    assert_eq!(made.config(), config);
    let made = ensure(&catalog, "b", TopicConfig::new().retention(Duration::from_secs(1))).unwrap();
    assert_eq!(made.config().entries().collect::<Vec<_>>(), [("retention.ms", "1000")]);
}

#[test]
fn an_open_catalog_keeps_nothing_of_topics_that_were_deleted() {
    let is_kept = |catalog: &Catalog| *catalog.changes.lock().state.removed() != removed::Removed::Forgotten;
    let (dir, catalog) = fresh(&["stays", "first"]);
    delete(&catalog, "first");
    assert!(!is_kept(&catalog));
    catalog.close().unwrap();
    let catalog = open(dir.path()).unwrap();
    assert!(!is_kept(&catalog));

    let tailing = open_to_tail(dir.path()).unwrap();
    assert!(!is_kept(&tailing));
    catalog.create(&[("second", TopicConfig::new())], NOW).unwrap();
    delete(&catalog, "second");
    tailing.refresh().unwrap();
    assert_eq!(names(&tailing), ["stays"]);
    assert!(!is_kept(&tailing));
}

#[test]
fn what_is_to_be_kept_is_returned_as_it_is() {
    let (_dir, catalog) = fresh(&["a"]);
    let existing = catalog.topic("a").unwrap();
    let ensured = ensure(&catalog, "a", TopicConfig::new().partitions(9)).unwrap();
    assert!(Arc::ptr_eq(&existing, &ensured));
    assert_eq!(ensured.partitions().len(), 1);
    assert_eq!(ensure(&catalog, "b", TopicConfig::new().partitions(2)).unwrap().partitions().len(), 2);
}

#[test]
fn ensure_from_many_threads_makes_one_topic() {
    let (_dir, catalog) = fresh(&[]);
    let ids: Vec<_> = std::thread::scope(|scope| {
        let ensure = || ensure(&catalog, "a", TopicConfig::new()).unwrap().id();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ensure)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn a_name_used_again_is_another_topic_and_empty() {
    let (dir, catalog) = fresh(&["a", "b"]);
    let first = catalog.topic("a").unwrap();
    fill(&first);
    fill(&catalog.topic("b").unwrap());
    let checkpoint = dir.path().join("recovery-point-offset-checkpoint");
    fs::write(&checkpoint, "0\n2\na 0 1\nb 0 1\n").unwrap();

    let deleted = delete(&catalog, "a");
    assert!(Arc::ptr_eq(&deleted, &first) && first.is_deleted());
    assert!(matches!(first.partitions()[0].bounds(), Err(Error::NotFound { .. })));
    assert!(catalog.topic("a").is_none());
    assert_eq!(directories(dir.path()), ["b-0"]);
    assert_eq!(fs::read_to_string(&checkpoint).unwrap(), "0\n1\nb 0 1\n");

    let second = ensure(&catalog, "a", TopicConfig::new()).unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(second.partitions()[0].bounds().unwrap().log_end, 0);
    fill(&second);
    second.partitions()[0].close().unwrap();
    let reopened = open(dir.path()).unwrap().topic("a").unwrap();
    assert_eq!((reopened.id(), reopened.partitions()[0].bounds().unwrap().log_end), (second.id(), 1));
}

#[test]
fn many_are_made_all_or_none_in_one_batch() {
    let (dir, catalog) = fresh(&["taken"]);
    let one = TopicConfig::new;
    let length =
        || fs::metadata(dir.path().join("__cluster_metadata-0/00000000000000000000.log")).unwrap().len();
    let before = length();
    let text = message(catalog.create(&[("a", one()), ("taken", one()), ("b", one())], NOW));
    assert_eq!(text, "topic \"taken\" exists already");
    assert!(catalog.create(&[("a", one()), ("b", one().partitions(0))], NOW).is_err());
    assert_eq!((names(&catalog), length()), (vec!["taken".to_owned()], before));
    assert!(catalog.create(&[], NOW).unwrap().is_empty());
    assert_eq!(length(), before);

    let made = catalog.create(&[("b", one()), ("a", one().partitions(2))], NOW).unwrap();
    assert_eq!(made.iter().map(|topic| &**topic.name()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(names(&catalog), ["a", "b", "taken"]);
    assert_eq!(names(&open(dir.path()).unwrap()), ["a", "b", "taken"]);
}

#[test]
fn topics_of_kafka_itself_are_made_by_us_alone() {
    let (_dir, catalog) = fresh(&[]);
    let config = TopicConfig::new().partitions(50).set("compression.type", "producer");
    assert!(message(ensure(&catalog, "__consumer_offsets", config.clone())).contains("is reserved"));
    let made = catalog.ensure_internal("__consumer_offsets", &config, NOW).unwrap();
    assert_eq!(made.config(), config, "what Kafka sets, and no retention of ours");
    assert!(made.is_internal() && made.describe().internal);
    assert!(message(catalog.delete("__consumer_offsets", NOW)).contains("cannot be deleted"));
}

#[derive(Debug, Clone)]
enum Step {
    Create(Vec<(usize, u32)>),
    Ensure(usize, u32),
    Delete(usize),
    Fill(usize),
    Reopen { in_order: bool },
}

const NAMES: [&str; 5] = ["a", "b", "c.d", "c_d", "e-0"];

fn any_step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        prop::collection::vec((name(), 0..4_u32), 1..3).prop_map(Step::Create),
        (name(), 1..4_u32).prop_map(|(name, partitions)| Step::Ensure(name, partitions)),
        name().prop_map(Step::Delete),
        name().prop_map(Step::Fill),
        any::<bool>().prop_map(|in_order| Step::Reopen { in_order }),
    ]
}

/// What a topic should be: partitions and records in each.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Model {
    partitions: u32,
    records: u64,
    id: Uuid,
}

fn can_be_made(model: &BTreeMap<&str, Model>, name: &str) -> bool {
    let like = |other: &str| other.replace('.', "_") == name.replace('.', "_");
    !model.keys().any(|existing| like(existing))
}

fn matches(catalog: &Catalog, model: &BTreeMap<&str, Model>) {
    assert_eq!(names(catalog), model.keys().copied().collect::<Vec<_>>());
    for topic in catalog.topics() {
        let expected = model[&**topic.name()];
        let bounds = topic.partitions().iter().map(|partition| partition.bounds().unwrap());
        assert!(bounds.into_iter().all(|bounds| bounds.log_end == expected.records));
        assert_eq!((topic.partitions().len(), topic.id()), (expected.partitions, expected.id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::fuzzing::cases(48), ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_changes_follows_the_model(steps in prop::collection::vec(any_step(), 1..25)) {
        let (dir, mut catalog) = fresh(&[]);
        let mut model: BTreeMap<&str, Model> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Create(wanted) => {
                    let mut after = model.clone();
                    let fine = wanted.iter().all(|(name, partitions)| {
                        let fine = *partitions > 0 && can_be_made(&after, NAMES[*name]);
                        let made = Model { partitions: *partitions, records: 0, id: Uuid::ZERO };
                        after.insert(NAMES[*name], made);
                        fine
                    });
                    let wanted: Vec<_> = wanted
                        .iter()
                        .map(|(name, partitions)| (NAMES[*name], TopicConfig::new().partitions(*partitions)))
                        .collect();
                    let made = catalog.create(&wanted, NOW);
                    prop_assert_eq!(made.is_ok(), fine);
                    for topic in made.into_iter().flatten() {
                        after.get_mut(&**topic.name()).unwrap().id = topic.id();
                        model = after.clone();
                    }
                }
                Step::Ensure(name, partitions) => {
                    let name = NAMES[name];
                    let fine = model.contains_key(name) || can_be_made(&model, name);
                    let ensured = ensure(&catalog, name, TopicConfig::new().partitions(partitions));
                    prop_assert_eq!(ensured.is_ok(), fine);
                    if let Ok(topic) = ensured {
                        model.entry(name).or_insert(Model { partitions, records: 0, id: topic.id() });
                    }
                }
                Step::Delete(name) => {
                    prop_assert_eq!(catalog.delete(NAMES[name], NOW).is_ok(), model.remove(NAMES[name]).is_some());
                }
                Step::Fill(name) => {
                    if let Some(topic) = catalog.topic(NAMES[name]) {
                        fill(&topic);
                        model.get_mut(NAMES[name]).unwrap().records += 1;
                    }
                }
                Step::Reopen { in_order } => {
                    if in_order {
                        catalog.close().unwrap();
                    }
                    catalog = open(dir.path()).unwrap();
                }
            }
            matches(&catalog, &model);
        }
        prop_assert!(catalog.unknown_directories().is_empty());
    }
}
