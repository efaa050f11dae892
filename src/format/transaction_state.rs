//! Records of `__transaction_state`, in which a broker notes what becomes of transactions.
//!
//! Only so much of them is read as says for which producers a coordinator will end the transaction.

use super::{Malformed, schema};

/// What is noted of a transactional id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransactionState {
    pub(crate) producer_id: i64,
    /// Whether a transaction is under way, so that a coordinator will end it.
    pub(crate) is_open: bool,
}

/// The transactional id that a record is about. `None`: the record is about something else.
pub(crate) fn transactional_id(key: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let Some(fields) = schema::transaction_key(key)? else { return Ok(None) };
    fields.the_text("transactionalId").map(|id| Some(id.as_bytes()))
}

/// Reads a value of any version: what is needed is in all.
pub(crate) fn decode(value: &[u8]) -> Result<TransactionState, Malformed> {
    let fields = schema::transaction_state(value)?;
    // Ongoing, about to be committed or aborted, or to be aborted because its producer was replaced.
    let is_open = matches!(fields.the_int::<i8>("transactionStatus")?, 1 | 2 | 3 | 7);
    Ok(TransactionState { producer_id: fields.the_int("producerId")?, is_open })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::{records, vectors_with_suffix};

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn what_a_broker_wrote_is_read() {
        let mut seen = Vec::new();
        for (path, bytes) in vectors_with_suffix("broker/killed-4.1/logdir", ".log") {
            if !path.to_str().unwrap().contains("__transaction_state") {
                continue;
            }
            for record in records(&bytes).into_iter().filter(|record| !record.control) {
                let id = transactional_id(record.key.as_deref().unwrap()).unwrap().unwrap();
                assert!(str::from_utf8(id).is_ok_and(|id| !id.is_empty()));
                seen.push(decode(record.value.as_deref().unwrap()).unwrap());
            }
        }
        assert!(seen.iter().any(|state| state.is_open) && seen.iter().any(|state| !state.is_open));
        assert!(seen.iter().all(|state| (-1..100_000).contains(&state.producer_id)));
    }

    #[test]
    fn other_keys_are_passed_over_and_short_ones_refused() {
        assert_eq!(transactional_id(&[0, 1, 9]), Ok(None));
        assert_eq!(transactional_id(&[0, 0, 0, 1, b'a']), Ok(Some(&b"a"[..])));
        assert!(transactional_id(&[0, 0, 0, 2, b'a']).is_err());
        assert!(transactional_id(&[0, 0, 255, 255]).is_err());
        assert!(decode(&[0; 16]).is_err());
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn garbage_is_refused_or_read(bytes: Vec<u8>) {
            let _ = (transactional_id(&bytes), decode(&bytes));
        }
    }
}
