//! Which broker takes the log over.

use std::time::Duration;

use crate::config::KafkaVersion;

/// What the broker is like to which [`EventLog::handover`](crate::EventLog::handover) gives a log.
///
/// ```
/// use stratalog::{HandoverOptions, KafkaVersion};
/// let options = HandoverOptions::new().kafka(KafkaVersion::V4_1).listener("10.0.0.5", 9092).dry_run(true);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "options have no effect until a log is handed over with them"]
pub struct HandoverOptions {
    pub(super) kafka: KafkaVersion,
    pub(super) listener: (String, u16),
    pub(super) controller: (String, u16),
    pub(super) node_id: Option<i32>,
    pub(super) cluster_id: Option<String>,
    pub(super) offsets_retention: Duration,
    pub(super) dry_run: bool,
}

impl HandoverOptions {
    /// A broker of the newest Kafka that is known, on this machine, with Kafka's usual ports.
    pub fn new() -> Self {
        Self {
            kafka: KafkaVersion::V4_4,
            listener: ("localhost".to_owned(), 9092),
            controller: ("localhost".to_owned(), 9093),
            node_id: None,
            cluster_id: None,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            dry_run: false,
        }
    }

    /// The broker's version. Default: the newest that is known.
    pub fn kafka(mut self, version: KafkaVersion) -> Self {
        self.kafka = version;
        self
    }

    /// Host and port for clients. Default: `localhost` and 9092. Kafka's `listeners`.
    pub fn listener(mut self, host: &str, port: u16) -> Self {
        self.listener = (host.to_owned(), port);
        self
    }

    /// Host and port of the controller, which is part of the same process. Default: `localhost` and 9093. A directory in which
    /// the quorum is recorded keeps the recorded address.
    pub fn controller(mut self, host: &str, port: u16) -> Self {
        self.controller = (host.to_owned(), port);
        self
    }

    /// The `node.id` that the broker is configured with. Default: whatever the directory says. Another one than the
    /// directory's is an [`HandoverObstacle`](crate::HandoverObstacle).
    pub fn node_id(mut self, id: i32) -> Self {
        self.node_id = Some(id);
        self
    }

    /// The `cluster.id` that the broker's other log directories have. Default: whatever the directory says.
    pub fn cluster_id(mut self, id: impl Into<String>) -> Self {
        self.cluster_id = Some(id.into());
        self
    }

    /// How long the broker keeps committed offsets of groups without members. Commits that would be older a day from now
    /// are written again, as of now. Default: seven days, as Kafka's own `offsets.retention.minutes`.
    pub fn offsets_retention(mut self, time: Duration) -> Self {
        self.offsets_retention = time;
        self
    }

    /// Changes nothing, leaves the log open and says what would be done, obstacles included. Default: `false`.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

impl Default for HandoverOptions {
    /// The same as [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}
