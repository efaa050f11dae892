//! Records of Kafka's own topics in words: the JSON that Kafka's tools print for them.

use crate::error::{Error, Result};
use crate::format::schema;

/// A record of the metadata log as `kafka-dump-log --cluster-metadata-decoder` prints it: its type, version and fields as
/// JSON. Of types that are not known, only the number is reported.
///
/// # Errors
/// `InvalidInput` if the bytes are not such a record.
pub fn decode_metadata_record(value: &[u8]) -> Result<String> {
    schema::record_words(value).map_err(|reason| Error::invalid("metadata record", reason.0))
}

/// A control record of the metadata log and its snapshots, as `kafka-dump-log` prints it, by its kind: `None` for kinds
/// that occur elsewhere or are not known, and what is invalid.
pub fn decode_control_record(key: &[u8], value: &[u8]) -> Option<String> {
    let kind = i16::from_be_bytes(*key.get(2..)?.first_chunk()?);
    schema::control_words(kind, value)
}

/// Which records [`decode_coordinator_record`] is to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoordinatorTopic {
    /// Those of `__consumer_offsets`: groups and what they have committed.
    ConsumerOffsets,
    /// Those of `__transaction_state`.
    TransactionState,
}

/// A record of `__consumer_offsets` or `__transaction_state`, its key and its value, as `kafka-dump-log
/// --offsets-decoder` and `--transaction-log-decoder` print them. `None` in place of the value for a tombstone, and of all
/// for a kind of record that is not known.
///
/// # Errors
/// `InvalidInput` if the bytes are not such a record.
///
/// ```
/// use stratalog::inspect::{CoordinatorTopic, decode_coordinator_record};
/// let key = b"\0\x02\0\x07billing";
/// let (key, value) = decode_coordinator_record(CoordinatorTopic::ConsumerOffsets, key, None)?.unwrap();
/// assert_eq!(key, r#"{"type":"2","data":{"group":"billing"}}"#);
/// assert_eq!(value, None);
/// # Ok::<(), stratalog::Error>(())
/// ```
pub fn decode_coordinator_record(
    of: CoordinatorTopic,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<Option<(String, Option<String>)>> {
    let coordinator = match of {
        CoordinatorTopic::ConsumerOffsets => schema::Coordinator::Groups,
        CoordinatorTopic::TransactionState => schema::Coordinator::Transactions,
    };
    let refused = |reason: crate::format::Malformed| Error::invalid("coordinator record", reason.0);
    let Some(key_words) = coordinator.key_words(key).map_err(refused)? else { return Ok(None) };
    let Some(value) = value else { return Ok(Some((key_words, None))) };
    Ok(coordinator.value_words(key, value).map_err(refused)?.map(|value| (key_words, Some(value))))
}
