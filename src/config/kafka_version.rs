//! The Kafka that is to take a directory over, and what differs between versions.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// A version of Kafka, as far as it matters to a handover of a log directory to a broker.
///
/// ```
/// use stratalog::KafkaVersion;
/// assert_eq!("4.1.0".parse::<KafkaVersion>()?, KafkaVersion::V4_1);
/// assert_eq!(KafkaVersion::V3_9.to_string(), "3.9");
/// # Ok::<(), stratalog::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KafkaVersion {
    /// 3.9, the oldest that is tried.
    V3_9,
    /// 4.0
    V4_0,
    /// 4.1
    V4_1,
    /// 4.2
    V4_2,
    /// 4.3
    V4_3,
    /// 4.4, the newest that is known.
    V4_4,
}

const ALL: [(KafkaVersion, &str, i16); 6] = [
    (KafkaVersion::V3_9, "3.9", 21),
    (KafkaVersion::V4_0, "4.0", 25),
    (KafkaVersion::V4_1, "4.1", 27),
    (KafkaVersion::V4_2, "4.2", 29),
    (KafkaVersion::V4_3, "4.3", 30),
    (KafkaVersion::V4_4, "4.4", 33),
];

impl KafkaVersion {
    fn row(self) -> &'static (Self, &'static str, i16) {
        ALL.iter().find(|(version, ..)| *version == self).unwrap_or(&ALL[0])
    }

    /// The highest `metadata.version` that brokers of this version start with.
    pub(crate) fn highest_metadata_level(self) -> i16 {
        self.row().2
    }

    /// The smallest `segment.bytes` that does not keep a broker of this version from starting.
    pub(crate) fn least_segment_bytes(self) -> u32 {
        if self < Self::V4_0 { 14 } else { 1 << 20 }
    }

    /// Whether there are share groups, whose topic needs settings of its own on a single node.
    pub(crate) fn has_share_groups(self) -> bool {
        self >= Self::V4_0
    }
}

impl fmt::Display for KafkaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1)
    }
}

impl FromStr for KafkaVersion {
    type Err = Error;

    /// Takes `4.1`, and `4.1.0` with whatever comes after the second dot.
    fn from_str(text: &str) -> Result<Self, Error> {
        let same =
            |name: &str| text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let known = ALL.iter().find(|(_, name, _)| same(name));
        known.map(|(version, ..)| *version).ok_or_else(|| {
            let names: Vec<_> = ALL.iter().map(|(_, name, _)| *name).collect();
            let reason = format!("{text:?} is not known; give one of {}", names.join(", "));
            Error::invalid("Kafka version", reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_written() {
        for (version, name, _) in ALL {
            assert_eq!(version.to_string(), name);
            for text in [name.to_owned(), format!("{name}.0"), format!("{name}.17")] {
                assert_eq!(text.parse::<KafkaVersion>().unwrap(), version);
            }
        }
        for text in ["", "4", "4.10", "5.0", "3.9x"] {
            let refused = text.parse::<KafkaVersion>().unwrap_err().to_string();
            assert!(refused.contains("is not known; give one of 3.9, 4.0"), "{refused}");
        }
    }

    /// The levels are `MetadataVersion.LATEST_PRODUCTION` of each release; `tests/kafka/choices.rs` asks the version at hand.
    #[test]
    fn each_version_has_the_level_and_the_limits_of_its_release() {
        let facts = |version: KafkaVersion| {
            let (level, least) = (version.highest_metadata_level(), version.least_segment_bytes());
            (version.to_string(), level, least, version.has_share_groups())
        };
        let all = ALL.map(|(version, ..)| facts(version));
        let release = |name: &str, level, least, share| (name.to_owned(), level, least, share);
        assert_eq!(
            all,
            [
                release("3.9", 21, 14, false),
                release("4.0", 25, 1 << 20, true),
                release("4.1", 27, 1 << 20, true),
                release("4.2", 29, 1 << 20, true),
                release("4.3", 30, 1 << 20, true),
                release("4.4", 33, 1 << 20, true),
            ]
        );
        assert!(ALL.is_sorted_by(|a, b| a.0 < b.0 && a.2 < b.2));
    }
}
