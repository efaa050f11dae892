//! How keys and values of records are shown.

use std::path::Path;

use stratalog::inspect::{
    CoordinatorTopic, InspectedRecord, decode_coordinator_record, decode_metadata_record,
};

/// What the records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// A user's: text, as far as they are text.
    Plain,
    Groups,
    Transactions,
    Metadata,
}

impl Words {
    /// By the topic that a file belongs to.
    pub(super) fn of_file(path: &Path) -> Self {
        let directory = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let topic = directory.and_then(|name| name.rsplit_once('-')).map(|(topic, _)| topic);
        let is_snapshot = path.extension().is_some_and(|suffix| suffix == "checkpoint");
        match topic {
            Some("__consumer_offsets") => Self::Groups,
            Some("__transaction_state") => Self::Transactions,
            Some("__cluster_metadata") => Self::Metadata,
            _ if is_snapshot => Self::Metadata,
            _ => Self::Plain,
        }
    }

    /// Key and value in words, with what Kafka's tool says of those that it does not understand.
    pub(super) fn of(self, record: &InspectedRecord<'_>) -> (Option<String>, Option<String>) {
        let coordinator = match self {
            Self::Plain => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                return (record.key().map(text), record.value().map(text));
            }
            Self::Metadata => return (None, Some(metadata(record))),
            Self::Groups => CoordinatorTopic::ConsumerOffsets,
            Self::Transactions => CoordinatorTopic::TransactionState,
        };
        let offset = record.offset();
        let Some(key) = record.key() else {
            return (Some(format!("Error at offset {offset}, skipping. The key is missing.")), None);
        };
        match decode_coordinator_record(coordinator, key, record.value()) {
            Ok(Some((key, value))) => (Some(key), Some(value.unwrap_or_else(|| "<DELETE>".to_owned()))),
            Ok(None) => {
                let kind = key.first_chunk().map_or(-1, |kind| i16::from_be_bytes(*kind));
                (Some(format!("Unknown record type {kind} at offset {offset}, skipping.")), None)
            }
            Err(failure) => (Some(format!("Error at offset {offset}, skipping. {failure}")), None),
        }
    }
}

fn metadata(record: &InspectedRecord<'_>) -> String {
    let offset = record.offset();
    match record.value().map(decode_metadata_record) {
        Some(Ok(words)) => words,
        Some(Err(failure)) => format!("Error at {offset}, skipping. {failure}"),
        None => format!("Error at {offset}, skipping. The value is missing."),
    }
}
