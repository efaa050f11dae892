//! Where reading begins.

use std::str::FromStr;

use stratalog::{Consumer, Position};

use crate::failure::{Failure, Outcome};

/// `--offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
    At(u64),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            // Kafka's tools also take the numbers that represent them in its protocol.
            "earliest" | "-2" => Ok(Self::Earliest),
            "latest" | "-1" => Ok(Self::Latest),
            _ => text.parse().map(Self::At).map_err(|_| "give earliest, latest, or an offset".to_owned()),
        }
    }
}

/// Puts the consumer where it is to begin: an offset outside the log is reported now, not skipped.
pub(super) fn place(consumer: &mut Consumer, start: Option<Start>, from_beginning: bool) -> Outcome {
    match start {
        Some(Start::Earliest) => consumer.seek_to_beginning()?,
        Some(Start::Latest) => consumer.seek_to_end()?,
        None if from_beginning => consumer.seek_to_beginning()?,
        None => {}
        Some(Start::At(offset)) => {
            consumer.seek_to_end()?;
            let ends = consumer.positions();
            consumer.seek_to_beginning()?;
            for (position, end) in consumer.positions().into_iter().zip(ends) {
                let (first, end) = (position.offset(), end.offset());
                if !(first..=end).contains(&offset) {
                    return Err(Failure::failed(format!(
                        "offset {offset} is outside {}, which holds {first} to {end}",
                        position.topic_partition()
                    )));
                }
                consumer.seek(Position::new(position.topic_partition(), offset))?;
            }
        }
    }
    Ok(())
}
