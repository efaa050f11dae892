//! What a program asks of a topic that may exist already, and what is otherwise there.

use super::topic::{TopicConfig, check_entry};
use super::topic_setting::{self as table, DefaultRetention};
use crate::error::{Error, Result, SettingMismatch};

impl TopicConfig {
    /// Checks what a call asks of a topic that exists. What is there already may be of a broker's making and unknown here.
    pub(crate) fn validate_asked(&self, found: &Self) -> Result<()> {
        self.validate_partitions()?;
        if self.replication_factor != 1 && self.replication_factor != found.replication_factor {
            let reason = format!("is {} and cannot be altered", found.replication_factor);
            return Err(Error::invalid("replication factor", reason));
        }
        let mut new = self.entries().filter(|(name, value)| found.entry(name) != Some(value));
        new.try_for_each(|(name, value)| check_entry(name, value))
    }

    /// What is named here and has another value in `found`, a topic of a log with these defaults.
    pub(crate) fn differing(&self, found: &Self, retention: DefaultRetention) -> Vec<SettingMismatch> {
        let mismatch = |setting: &str, wanted: &str, found: &str| SettingMismatch {
            setting: setting.into(),
            wanted: wanted.into(),
            found: found.into(),
        };
        let count = found.partition_count();
        let partitions = self.partitions.filter(|wanted| *wanted != count);
        let partitions =
            partitions.map(|wanted| mismatch("partitions", &wanted.to_string(), &count.to_string()));
        let settings = self.entries().filter_map(|(name, wanted)| {
            let found = table::in_effect(found, name, retention);
            (!table::is_same(name, wanted, &found)).then(|| mismatch(name, wanted, &found))
        });
        partitions.into_iter().chain(settings).collect()
    }

    /// The same with everything that `asked` sets, but for the number of partitions. What has the value that is asked for
    /// stays as it is written.
    pub(crate) fn brought_to(self, asked: &Self) -> Self {
        asked.entries().fold(self, |config, (name, value)| match config.entry(name) {
            Some(found) if table::is_same(name, found, value) => config,
            _ => config.set(name, value),
        })
    }

    /// What is set here and is not the same in `before`.
    pub(crate) fn without(&self, before: &Self) -> Self {
        let new = self.entries().filter(|(name, value)| before.entry(name) != Some(value));
        new.fold(Self::new(), |config, (name, value)| config.set(name, value))
    }

    /// The number of partitions, if one was asked for.
    pub(crate) fn asked_partitions(&self) -> Option<u32> {
        self.partitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(asked: &TopicConfig, found: &TopicConfig, log: &TopicConfig) -> Vec<[String; 3]> {
        let differing = asked.differing(found, DefaultRetention::of(log));
        let texts = |one: SettingMismatch| [one.setting, one.wanted, one.found].map(|text| text.to_string());
        differing.into_iter().map(texts).collect()
    }

    #[test]
    fn only_what_is_asked_for_is_compared() {
        let new = TopicConfig::new;
        let found =
            TopicConfig::from_entries(3, [("retention.ms", "-1"), ("cleanup.policy", "compact,delete")]);
        for same in [
            new(),
            new().partitions(3),
            new().retention(None).set("cleanup.policy", "delete,compact"),
            // Defaults that the topic does not record.
            new().retention_bytes(None).segment_bytes(1 << 30).set("preallocate", "FALSE"),
        ] {
            assert_eq!(differing(&same, &found, &new()), [[""; 3]; 0], "{same:?}");
        }
        let asked =
            new().partitions(2).set("segment.ms", "5").set("cleanup.policy", "delete").retention(None);
        let expected = [
            ["partitions", "2", "3"],
            ["cleanup.policy", "delete", "compact,delete"],
            ["segment.ms", "5", "604800000"],
        ];
        assert_eq!(differing(&asked, &found, &new()), expected);
    }

    #[test]
    fn a_topic_that_does_not_say_has_the_default_of_the_log() {
        let (silent, log) =
            (TopicConfig::new(), TopicConfig::new().set("retention.ms", "5").retention_bytes(6));
        let asked = TopicConfig::new().retention(None).retention_bytes(None);
        assert_eq!(differing(&asked, &silent, &TopicConfig::new()), [[""; 3]; 0]);
        let expected = [["retention.bytes", "-1", "6"], ["retention.ms", "-1", "5"]];
        assert_eq!(differing(&asked, &silent, &log), expected);
    }

    #[test]
    fn what_is_brought_about_is_all_that_was_asked_for() {
        let found = TopicConfig::from_entries(3, [("cleanup.policy", "compact,delete"), ("flush.ms", "5")]);
        let asked = TopicConfig::new().partitions(9).set("cleanup.policy", "delete,compact").retention(None);
        let brought = found.brought_to(&asked);
        let expected = [("cleanup.policy", "compact,delete"), ("flush.ms", "5"), ("retention.ms", "-1")];
        assert!(brought.entries().eq(expected), "{brought:?}");
        assert_eq!(brought.partition_count(), 3);
    }

    #[test]
    fn what_makes_no_sense_is_refused_unless_it_is_there() {
        let found = TopicConfig::from_entries(1, [("remote.storage.enable", "x")]).replication_factor(3);
        for fine in [TopicConfig::new(), found.clone(), TopicConfig::new().replication_factor(3)] {
            fine.validate_asked(&found).unwrap();
        }
        for (asked, reason) in [
            (TopicConfig::new().set("remote.storage.enable", "y"), "is not a setting of topics"),
            (TopicConfig::new().partitions(0), "0 were asked for"),
            (TopicConfig::new().replication_factor(2), "is 3 and cannot be altered"),
            (TopicConfig::new().set("retention.ms", "soon"), "retention.ms is \"soon\""),
        ] {
            let text = asked.validate_asked(&found).unwrap_err().to_string();
            assert!(text.contains(reason), "{text}");
        }
    }
}
