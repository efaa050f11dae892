//! Records on their way into another log, with the offsets and timestamps that they had.

use stratalog::{Error, Partition, Producer, RecordCopy, Topic, TopicConfig};

use super::Outcome;

/// Bytes of keys and values in a batch, about: few enough that a topic with Kafka's own limit takes it.
pub(super) const BATCH_BYTES: usize = 512 << 10;

/// Writes records in as few batches as they go into.
pub(super) fn write(producer: &Producer, to: &Partition, records: &[RecordCopy<'_>]) -> Outcome {
    let mut rest = records;
    while let Some(first) = rest.first() {
        let alike = rest.iter().position(|record| !first.shares_batch_with(record)).unwrap_or(rest.len());
        let (batch, after) = rest.split_at_checked(alike).unwrap_or((rest, &[]));
        write_alike(producer, to, batch)?;
        rest = after;
    }
    Ok(())
}

/// What is too large for a batch goes into two.
fn write_alike(producer: &Producer, to: &Partition, records: &[RecordCopy<'_>]) -> Outcome {
    match producer.send_copies(to, records.iter().cloned()) {
        Err(Error::TooLarge { .. }) if records.len() > 1 => {
            let (front, back) = records.split_at_checked(records.len() / 2).unwrap_or((records, &[]));
            write_alike(producer, to, front)?;
            write_alike(producer, to, back)
        }
        sent => Ok(sent.map(drop)?),
    }
}

/// Gives a topic the settings of another one, and no others.
pub(super) fn take_settings(topic: &Topic, wanted: &TopicConfig) -> Outcome {
    if topic.config().entries().eq(wanted.entries()) {
        return Ok(());
    }
    topic.alter_config(|now| {
        let names: Vec<String> = now.entries().map(|(name, _)| name.to_owned()).collect();
        let bare = names.iter().fold(now, |config, name| config.unset(name));
        wanted.entries().fold(bare, |config, (name, value)| config.set(name, value))
    })?;
    Ok(())
}
