//! Records of `__transaction_state`, in which a broker notes what becomes of transactions.
//!
//! Only so much of them is read as says for which producers a coordinator will end the transaction.

use super::Malformed;
use super::varint::Input;

/// What is noted of a transactional id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransactionState {
    pub(crate) producer_id: i64,
    /// Whether a transaction is under way, so that a coordinator will end it.
    pub(crate) is_open: bool,
}

/// The transactional id that a record is about. `None`: the record is about something else.
pub(crate) fn transactional_id(key: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut key = Input::new(key);
    if key.i16()? != 0 {
        return Ok(None);
    }
    let length = usize::try_from(key.i16()?).map_err(|_| Malformed("a transactional id is null"))?;
    key.take(length).map(Some)
}

/// Reads a value of any version: what is needed is at the same place in all.
pub(crate) fn decode(value: &[u8]) -> Result<TransactionState, Malformed> {
    let mut value = Input::new(value);
    if value.i16()? < 0 {
        return Err(Malformed("the state of a transaction has a negative version"));
    }
    let producer_id = value.i64()?;
    let (_epoch, _timeout_ms) = (value.i16()?, value.i32()?);
    // Ongoing, about to be committed or aborted, or to be aborted because its producer was replaced.
    let is_open = matches!(value.i8()?, 1 | 2 | 3 | 7);
    Ok(TransactionState { producer_id, is_open })
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
