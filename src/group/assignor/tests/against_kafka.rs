//! The assignors of Kafka's own client, asked about the same groups.
//!
//! `STRATALOG_KAFKA` has it run, with Java, and Maven to fetch Kafka on first use, like `tests/kafka`.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

/// How many groups Kafka is asked about at a time.
const GROUPS: usize = 1000;

/// Whether Kafka is not to be asked; says so past the harness, which shows nothing of tests that pass.
fn kafka_is_not_asked() -> bool {
    let is_asked = std::env::var_os("STRATALOG_KAFKA").is_some_and(|wanted| !wanted.is_empty());
    if !is_asked {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        let line = format!("skipped {name}: STRATALOG_KAFKA=short has Kafka asked\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    !is_asked
}

fn word(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

/// The group as `tests/kafka/Assign.java` wants it.
fn case(group: &Group) -> String {
    let mut text = String::new();
    for (name, count) in &group.topics {
        // Kafka's assignors are only given topics that a member subscribes to.
        if group.members.iter().any(|member| member.subscribes(name)) {
            writeln!(text, "topic {name} {count}").unwrap();
        }
    }
    for member in &group.members {
        let topics = word(member.topics.iter().map(ToString::to_string));
        let owned = word(member.owned.iter().map(|one| format!("{}:{}", one.topic(), one.partition())));
        writeln!(text, "member {} {} {topics} {owned}", member.id, member.generation).unwrap();
    }
    text + "go\n"
}

/// A line of the answer, for members in the order of their ids; `None` if Kafka's assignor failed.
fn lists(line: &str, assignor: Assignor) -> Option<Lists> {
    let rest = line.strip_prefix(assignor.kafka_word()).unwrap();
    if rest == " failed" {
        return None;
    }
    let list = |word: &str| -> Vec<TopicPartition> {
        let (_, list) = word.split_once('=').unwrap();
        let partitions = list.split(',').filter_map(|one| one.split_once(':'));
        partitions.map(|(topic, number)| (topic, number.parse().unwrap()).into()).collect()
    };
    Some(rest.split_whitespace().map(list).collect())
}

/// What Kafka's assignors say of each group, in the order of [`ALL`].
fn ask(groups: &[Group]) -> Vec<[Option<Lists>; 4]> {
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "kafka", "kafka-assign"].iter().collect();
    let mut command = Command::new(script);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if std::env::var_os("KAFKA_TIMEOUT").is_none() {
        // Other tests run beside this one, and Kafka may have to be fetched first.
        command.env("KAFKA_TIMEOUT", "300");
    }
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let cases: String = groups.iter().map(case).collect();
    let writer = std::thread::spawn(move || input.write_all(cases.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kafka-assign: {errors}");
    writer.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4 * groups.len());
    let answer = |four: &[&str]| std::array::from_fn(|place| lists(four[place], ALL[place]));
    lines.chunks(4).map(answer).collect()
}

/// Kafka's score of an assignment: the differences of all pairs of members.
fn score(lists: &Lists) -> usize {
    let counts: Vec<_> = lists.iter().map(Vec::len).collect();
    let of_one =
        |place: usize| counts[..place].iter().map(|other| other.abs_diff(counts[place])).sum::<usize>();
    (0..counts.len()).map(of_one).sum()
}

/// A group without what Kafka's assignors do not accept: members that subscribe to nothing (they may be given something),
/// and claims to partitions that do not exist or to the same one twice.
fn some_tidy_group(dice: &mut Dice, equal: bool, claims: Claims) -> Group {
    let members = 1 + dice.below(12);
    let Group { mut members, topics } = some_group(dice, members, equal, claims);
    members.retain(|member| !member.topics.is_empty());
    for Member { owned, .. } in &mut members {
        owned.sort();
        owned.dedup();
        owned.retain(|one| topics.get(one.topic()).is_none_or(|&count| one.partition() < count));
        let turn = dice.below(owned.len());
        owned.rotate_left(turn);
    }
    Group { members, topics }
}

fn some_tidy_groups(equal: bool, claims: Claims) -> Vec<Group> {
    let mut dice = Dice(11);
    let groups = std::iter::repeat_with(|| some_tidy_group(&mut dice, equal, claims));
    groups.filter(|group| !group.members.is_empty()).take(GROUPS).collect()
}

/// With equal subscriptions each partition goes where Kafka has it go.
#[test]
fn equal_subscriptions_are_assigned_exactly_as_by_kafka() {
    if kafka_is_not_asked() {
        return;
    }
    for claims in [Claims::Orderly, Claims::Wild] {
        let groups = some_tidy_groups(true, claims);
        let answers = ask(&groups);
        for (group, answers) in groups.iter().zip(answers) {
            for (assignor, answer) in ALL.into_iter().zip(answers) {
                assert_eq!(Some(group.assign(assignor)), answer, "{assignor:?}\n{}", case(group));
            }
        }
    }
}

/// With differing subscriptions sticky assignments nearly always are the same, never less balanced, and where the balance
/// is the same no more partitions move. Only where generations are at odds the order of the moves may also be to Kafka's
/// advantage, as rarely as to ours.
#[test]
fn differing_subscriptions_are_assigned_as_well_as_by_kafka() {
    if kafka_is_not_asked() {
        return;
    }
    for claims in [Claims::Orderly, Claims::Wild] {
        let groups = some_tidy_groups(false, claims);
        let (mut compared, mut same, mut worse) = (0, 0, 0);
        let answers = ask(&groups);
        for (group, [range, round_robin, sticky, cooperative]) in groups.iter().zip(answers) {
            assert_eq!(Some(group.assign(Assignor::Range)), range, "{}", case(group));
            assert_eq!(Some(group.assign(Assignor::RoundRobin)), round_robin, "{}", case(group));
            // Kafka's fails where a former owner cannot take part in balancing.
            let Some(sticky) = sticky else { continue };
            let ours = group.assign(Assignor::Sticky);
            compared += 1;
            if ours == sticky {
                same += 1;
                // Claims at odds are held back by us from everybody: by Kafka not from those who claim.
                let cooperative = cooperative.filter(|_| claims == Claims::Orderly);
                let ours = group.assign(Assignor::CooperativeSticky);
                assert!(cooperative.is_none_or(|kafka| ours == kafka), "{}", case(group));
            }
            let worth = |lists: &Lists| (Reverse(score(lists)), group.kept(lists));
            if worth(&ours) < worth(&sticky) {
                worse += 1;
                let both = format!("{}ours  {ours:?}\nkafka {sticky:?}", case(group));
                assert!(claims == Claims::Wild, "{both}");
            }
        }
        assert!(compared * 100 >= GROUPS * 98, "{compared}");
        assert!(same * 100 >= compared * 95 && worse * 100 <= compared * 2, "{same}, {worse}, {compared}");
    }
}
