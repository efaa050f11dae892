//! Settings of topics that are kept for a broker and change nothing here.

use super::topic::TopicConfig;

/// By Kafka's name, each with the reason.
const WITHOUT_EFFECT: [(&str, &str); 5] = [
    ("compression.lz4.level", "lz4 is always its fast compressor, which has no levels"),
    ("min.insync.replicas", "there is one replica"),
    ("preallocate", "the file of a segment grows in steps"),
    ("segment.index.bytes", "an index has room for all of its segment"),
    ("unclean.leader.election.enable", "there is one replica"),
];

impl TopicConfig {
    /// Settings in this configuration that change nothing here, sorted by name, each with the reason. They are recorded
    /// with the topic, for a broker that takes the directory over. Making or altering a topic with one is
    /// [`Event::SettingWithoutEffect`](crate::Event::SettingWithoutEffect).
    ///
    /// ```
    /// use stratalog::TopicConfig;
    /// let config = TopicConfig::new().set("min.insync.replicas", "2").set("flush.messages", "1");
    /// let (setting, reason) = config.without_effect().next().unwrap();
    /// assert_eq!((setting, reason), ("min.insync.replicas", "there is one replica"));
    /// assert_eq!(config.without_effect().count(), 1);
    /// ```
    pub fn without_effect(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        WITHOUT_EFFECT.into_iter().filter(|(name, _)| self.entry(name).is_some())
    }
}
