//! The hash that puts a record with a key into its partition. Every Kafka client with the default partitioner
//! computes the same one, so records of one key keep their partition with either producer.

use std::num::NonZeroU32;

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;

/// The 32-bit murmur2 hash of `key`. Signed, as the JVM's clients print it.
pub(crate) fn murmur2(key: &[u8]) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "the hash takes the length modulo 2^32")]
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for &word in words {
        let mut k = u32::from_le_bytes(word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !tail.is_empty() {
        let word = tail.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        hash = (hash ^ word).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

/// The partition, of so many, that records with this key go to. An empty key counts as a key.
pub(crate) fn partition_for_key(key: &[u8], partitions: NonZeroU32) -> u32 {
    (murmur2(key).cast_unsigned() & 0x7fff_ffff) % partitions
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::table;

    #[test]
    fn table_of_hashes_and_partitions() {
        for row in table("murmur2")["rows"].as_array().unwrap() {
            let key = STANDARD.decode(row["key_b64"].as_str().unwrap()).unwrap();
            assert_eq!(i64::from(murmur2(&key)), row["murmur2_signed"].as_i64().unwrap(), "{key:?}");
            for (partitions, expected) in row["partition"].as_object().unwrap() {
                let partition = partition_for_key(&key, partitions.parse().unwrap());
                assert_eq!(u64::from(partition), expected.as_u64().unwrap(), "{key:?} of {partitions}");
            }
        }
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn partition_exists(key: Vec<u8>, partitions: NonZeroU32) {
            prop_assert!(partition_for_key(&key, partitions) < partitions.get());
        }
    }
}
