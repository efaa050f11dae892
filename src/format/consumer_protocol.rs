//! What members of a classic group of consumers write for the coordinator: the topics that they subscribe to.
//!
//! Versions 0 to 3 are read, and of newer ones the fields of version 3: newer versions only append.

use super::{Malformed, schema};

/// The topics in a member's subscription, all of which must be valid.
pub(crate) fn subscribed_topics(subscription: &[u8]) -> Result<Vec<&str>, Malformed> {
    let fields = schema::subscription(subscription)?;
    for owned in fields.list("ownedPartitions")?.into_iter().flat_map(schema::List::structs) {
        let negative = |_| Malformed("a partition's number is negative");
        owned?
            .the_list("partitions")?
            .ints::<u32>()
            .try_for_each(|number| number.map(drop))
            .map_err(negative)?;
    }
    fields.the_list("topics")?.texts().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::coordinator_record::CoordinatorKey;
    use crate::format::group_metadata::GroupMetadata;
    use crate::format::tests::{hex, records, table, vectors_with_suffix};

    /// Version 3: topics a and b, user data, a-0 and a-3 owned and nothing of b, generation 7, rack r.
    const NEWEST_BYTES: &[u8] = b"\0\x03\0\0\0\x02\0\x01a\0\x01b\0\0\0\x02\x01\x02\
        \0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x03\0\x01b\0\0\0\0\0\0\0\x07\0\x01r";

    #[test]
    fn version_0_of_the_table() {
        let rows = table("coordinator_records");
        assert_eq!(subscribed_topics(&hex(&rows["rows"]["subscription_v0"])), Ok(vec!["orders"]));
    }

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn what_java_clients_wrote_is_read() {
        let mut seen = 0;
        for (path, log) in vectors_with_suffix("broker", ".log") {
            if !path.to_str().unwrap().contains("__consumer_offsets") {
                continue;
            }
            for record in records(&log).into_iter().filter(|record| !record.control) {
                let key = record.key.unwrap();
                let Ok(CoordinatorKey::Group { .. }) = CoordinatorKey::decode(&key) else { continue };
                let Some(value) = record.value else { continue };
                for member in GroupMetadata::decode(&value).unwrap().unwrap().members {
                    assert!(!subscribed_topics(&member.subscription).unwrap().is_empty());
                    seen += 1;
                }
            }
        }
        assert!(seen > 0);
    }

    #[test]
    fn each_version_adds_a_field() {
        let owned = 4 + (2 + 1 + 4 + 8) + (2 + 1 + 4);
        for (version, without) in [(3, 0), (2, 3), (1, 7), (0, 7 + owned)] {
            let mut bytes = NEWEST_BYTES[..NEWEST_BYTES.len() - without].to_vec();
            bytes[1] = version;
            assert_eq!(subscribed_topics(&bytes), Ok(vec!["a", "b"]), "{version}");
        }
        // What a newer one appends is not known; what it has before that is.
        let mut newer = [NEWEST_BYTES, &[1, 2, 3]].concat();
        assert_eq!(subscribed_topics(&newer), Err(Malformed("bytes are left after the last field")));
        newer[1] = 4;
        assert_eq!(subscribed_topics(&newer), Ok(vec!["a", "b"]));
    }

    #[test]
    #[cfg_attr(miri, ignore = "tries each bit of a batch or record, which takes Miri minutes")]
    fn damage_is_refused_or_read() {
        for cut in 0..NEWEST_BYTES.len() {
            assert!(subscribed_topics(&NEWEST_BYTES[..cut]).is_err());
        }
        for bit in 0..NEWEST_BYTES.len() * 8 {
            let mut flipped = NEWEST_BYTES.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = subscribed_topics(&flipped);
        }
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn garbage_is_refused_or_read(version in 0_i16..5, mut bytes: Vec<u8>) {
            bytes.splice(0..0, version.to_be_bytes());
            let _ = subscribed_topics(&bytes);
        }
    }
}
