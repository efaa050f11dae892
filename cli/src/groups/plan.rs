//! Which partitions of a group are meant.

use stratalog::{EventLog, Group, TopicPartition};

use super::Groups;
use crate::{Failure, Outcome};

/// Those of `--topic`, or all that the group has committed.
pub(super) fn partitions(options: &Groups, log: &EventLog, group: &Group) -> Outcome<Vec<TopicPartition>> {
    if options.topic.is_empty() && !options.all_topics {
        return Err(Failure::usage("which topics? give --topic or --all-topics"));
    }
    let mut found: Vec<TopicPartition> = Vec::new();
    if options.all_topics {
        found.extend(group.committed()?.iter().map(|position| position.topic_partition().clone()));
    }
    for text in &options.topic {
        let (name, numbers) = parse(text)?;
        let topic = log.topic(name)?;
        if numbers.is_empty() {
            found.extend(topic.partitions().into_iter().map(TopicPartition::from));
        }
        for number in numbers {
            found.push(topic.partition(number)?.into());
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// `orders`, or `orders:0,1`.
pub(super) fn parse(text: &str) -> Outcome<(&str, Vec<u32>)> {
    let Some((topic, list)) = text.split_once(':') else { return Ok((text, Vec::new())) };
    let numbers = list.split(',').map(|number| number.trim().parse::<u32>()).collect::<Result<_, _>>();
    let numbers = numbers
        .map_err(|_| Failure::usage(format!("{text:?} names no partitions; give topic or topic:0,1")))?;
    Ok((topic, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_with_and_without_partitions() {
        assert_eq!(parse("orders").unwrap(), ("orders", vec![]));
        assert_eq!(parse("orders:0,12").unwrap(), ("orders", vec![0, 12]));
        for text in ["orders:", "orders:a", "orders:0-3", "orders:0,"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
