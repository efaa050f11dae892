//! Where the records of a transaction end: a header of ours on the record of `__transaction_state` that says that it counts. Brokers
//! do not read headers there.
//!
//! For each partition of the transaction, in the order in which the record lists them: the topic's id and an offset.

use super::Malformed;
use super::varint::Input;
use super::wire::push_i64;

/// The name of the header.
pub(crate) const HEADER: &str = "stratalog.ends";

const ENTRY_BYTES: usize = 16 + 8;

/// In one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransactionEnd {
    pub(crate) topic_id: [u8; 16],
    /// The offset after the last record.
    pub(crate) offset: u64,
}

/// The value of the header.
pub(crate) fn encode(ends: &[TransactionEnd]) -> Vec<u8> {
    let mut value = Vec::with_capacity(ends.len() * ENTRY_BYTES);
    for end in ends {
        value.extend_from_slice(&end.topic_id);
        push_i64(i64::try_from(end.offset).unwrap_or(i64::MAX), &mut value);
    }
    value
}

pub(crate) fn decode(value: &[u8]) -> Result<Vec<TransactionEnd>, Malformed> {
    let mut input = Input::new(value);
    let mut ends = Vec::new();
    while !input.is_empty() {
        let topic_id = input.array()?;
        let offset =
            u64::try_from(input.i64()?).map_err(|_| Malformed("the end of a transaction is negative"))?;
        ends.push(TransactionEnd { topic_id, offset });
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_come_back() {
        let ends =
            [(1, 0), (2, u64::MAX >> 1)].map(|(id, offset)| TransactionEnd { topic_id: [id; 16], offset });
        let value = encode(&ends);
        assert_eq!(value.len(), 48);
        assert_eq!(decode(&value), Ok(ends.to_vec()));
        assert_eq!(decode(&[]), Ok(Vec::new()));
        assert_eq!(decode(&value[..47]), Err(Malformed("ends early")));
        assert_eq!(decode(&[0xff; 24]), Err(Malformed("the end of a transaction is negative")));
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn garbage_is_refused_or_read(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
