use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const GROUPS: [&str; 4] = ["g", "h", "my-group", "группа"];
const TOPICS: [&str; 3] = ["t", "t2", "u"];

#[derive(Debug, Clone)]
enum Step {
    Commit { group: usize, positions: Vec<(usize, u32, u64)>, synced: bool },
    Remove { group: usize, of: Vec<(usize, u32)> },
    DeleteGroup(usize),
    WriteGroup(usize, i32),
    ForgetTopic(usize),
    Clamp { topic: usize, end: u64 },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let of = || (0..TOPICS.len(), 0..3_u32);
    let group = || 0..GROUPS.len();
    let position = (0..TOPICS.len(), 0..3_u32, 0..6_u64);
    let step = prop_oneof![
        8 => (group(), prop::collection::vec(position, 0..4), prop::bool::weighted(0.1))
            .prop_map(|(group, positions, synced)| Step::Commit { group, positions, synced }),
        2 => (group(), prop::collection::vec(of(), 0..3)).prop_map(|(group, of)| Step::Remove { group, of }),
        1 => group().prop_map(Step::DeleteGroup),
        2 => (group(), 0..5).prop_map(|(group, generation)| Step::WriteGroup(group, generation)),
        1 => (0..TOPICS.len()).prop_map(Step::ForgetTopic),
        1 => (0..TOPICS.len(), 0..4_u64).prop_map(|(topic, end)| Step::Clamp { topic, end }),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

/// The records of some generations are those of a group that never had members.
fn only_commits(generation: i32) -> bool {
    generation % 2 == 0
}

#[derive(Debug, Default)]
struct Model {
    offsets: BTreeMap<(&'static str, &'static str, u32), u64>,
    generations: BTreeMap<&'static str, i32>,
}

impl Model {
    fn check(&self, fixture: &Fixture) {
        for group in GROUPS {
            let of_group = self.offsets.iter().filter(|((of, ..), _)| *of == group);
            let expected: Vec<_> = of_group
                .map(|((_, topic, partition), offset)| format!("{topic}-{partition}: {offset}"))
                .collect();
            assert_eq!(fixture.all_of(group), expected);
            let record = fixture.offsets.group_record(group).unwrap();
            assert_eq!(record.map(|record| record.generation), self.generations.get(group).copied());
        }
        let named = self.offsets.keys().map(|(group, ..)| *group).chain(self.generations.keys().copied());
        let named: BTreeSet<_> = named.map(str::to_owned).collect();
        assert_eq!(fixture.offsets.groups().unwrap(), named.into_iter().collect::<Vec<_>>());
    }

    fn apply(&mut self, step: &Step, fixture: &Fixture) {
        let offsets = &fixture.offsets;
        match step {
            Step::Commit { group, positions, synced } => {
                let positions: Vec<_> =
                    positions.iter().map(|(topic, n, at)| (TOPICS[*topic], *n, *at)).collect();
                for (topic, partition, at) in &positions {
                    self.offsets.insert((GROUPS[*group], topic, *partition), *at);
                }
                let positions: Vec<_> =
                    positions.iter().map(|(topic, n, at)| Position::new((*topic, *n), *at)).collect();
                let level = if *synced { Durability::Synced } else { Durability::Buffered };
                offsets.commit(GROUPS[*group], &positions, NOW, level).unwrap();
            }
            Step::Remove { group, of } => {
                let mut removed = false;
                for (topic, partition) in of {
                    removed |= self.offsets.remove(&(GROUPS[*group], TOPICS[*topic], *partition)).is_some();
                }
                // With its last commit a group ends that only ever committed.
                let is_empty = self.offsets.keys().all(|(of, ..)| *of != GROUPS[*group]);
                if removed
                    && is_empty
                    && self
                        .generations
                        .get(GROUPS[*group])
                        .is_some_and(|generation| only_commits(*generation))
                {
                    self.generations.remove(GROUPS[*group]);
                }
                let of: Vec<_> = of.iter().map(|(topic, n)| (TOPICS[*topic], *n).into()).collect();
                offsets.remove(GROUPS[*group], &of, NOW).unwrap();
            }
            Step::DeleteGroup(group) => {
                self.offsets.retain(|(of, ..), _| *of != GROUPS[*group]);
                self.generations.remove(GROUPS[*group]);
                offsets.delete_group(GROUPS[*group], NOW).unwrap();
            }
            Step::WriteGroup(group, generation) => {
                self.generations.insert(GROUPS[*group], *generation);
                let protocol_type = if only_commits(*generation) { "" } else { "consumer" }.to_owned();
                let record =
                    GroupMetadata { generation: *generation, protocol_type, ..GroupMetadata::default() };
                offsets.write_group(GROUPS[*group], &record, NOW).unwrap();
            }
            Step::ForgetTopic(topic) => {
                self.offsets.retain(|(_, of, _), _| *of != TOPICS[*topic]);
                offsets.forget_topic(TOPICS[*topic], NOW).unwrap();
            }
            Step::Clamp { topic, end } => {
                let of_topic = self.offsets.iter_mut().filter(|((_, of, _), _)| *of == TOPICS[*topic]);
                let beyond: Vec<_> = of_topic.map(|(_, at)| at).filter(|at| **at > *end).collect();
                let ends = |of: &TopicPartition| (of.topic() == TOPICS[*topic]).then_some(*end);
                assert_eq!(offsets.clamp(ends, NOW).unwrap(), beyond.len());
                for at in beyond {
                    *at = *end;
                }
            }
            Step::Reopen => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::fuzzing::cases(60), ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_the_last_of_it_counts(steps in steps()) {
        let mut fixture = Fixture::new();
        let mut model = Model::default();
        for step in &steps {
            model.apply(step, &fixture);
            if matches!(step, Step::Reopen) {
                fixture = fixture.reopened();
            }
            model.check(&fixture);
        }
        model.check(&Fixture::read_only(Arc::clone(&fixture.dir)));
        model.check(&fixture.reopened());
    }
}
