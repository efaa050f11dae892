//! The log itself: a table of contents.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::background::MaintenanceReport;
use crate::config::{ConsumerConfig, Mismatch, TopicConfig};
use crate::consumer::Consumer;
use crate::directory::{Group, Metrics, OpenDirectory, OpenOptions, RecoveryReport, Topic};
use crate::error::Result;
use crate::events::Events;
use crate::group::check_name;
use crate::handover::{self, HandoverOptions, HandoverReport};
use crate::producer::{Producer, ProducerConfig, TransactionalProducer, check_id};
use crate::snapshot::{self, Snapshot};
use crate::transaction::TransactionalId;

/// An open log directory. Cheap to clone, shared by any number of threads.
///
/// The directory is a Kafka log directory: a stock broker takes it over once it is closed, and stratalog takes it back.
/// It is closed by [`close`](Self::close), or when the last handle of any kind made from it is dropped.
///
/// ```
/// use stratalog::{EventLog, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// let log = EventLog::open(dir.path().join("data"))?;
/// let orders = log.ensure_topic("orders", TopicConfig::new().partitions(3))?;
/// log.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EventLog {
    directory: Arc<OpenDirectory>,
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").field("directory", &self.directory.root()).finish_non_exhaustive()
    }
}

/// Here because options are settings of a directory, which knows nothing of the face.
impl OpenOptions {
    /// Opens the log. See [`EventLog::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<EventLog> {
        EventLog::open_with(path.as_ref(), self)
    }
}

impl EventLog {
    /// Opens the log in a directory, which is made if it is missing.
    ///
    /// A log is made in an empty or absent directory; `lost+found` and names that begin with a dot do not count. It is not
    /// made in the directory of a partition, nor below one. A refused open changes nothing.
    ///
    /// After an unclean stop (a crash, `kill -9`) the batches past the recovery point are checked first, and a torn batch at the
    /// end is truncated: [`recovery`](Self::recovery) reports it.
    ///
    /// # Errors
    /// `Locked` if another log or a Kafka broker holds the directory, `PartOfCluster` if other nodes of a cluster share it,
    /// `InvalidInput` if the path is not a directory, leads through a link to nothing, or if the directory is not a log's and
    /// none can be made in it, `Corrupt` if what describes the log as a whole is damaged, `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Opens a log to read it, while another process with this crate or a Kafka broker writes it, or none does.
    ///
    /// Takes no lock and changes nothing in the directory, which must be there. Calls that would write or change
    /// something give [`ReadOnly`](crate::Error::ReadOnly). Records that the writer appends, and topics that it creates and
    /// deletes, appear as they come; an incomplete batch does not count. A waiting consumer sees new records about a
    /// millisecond after the append. The durable end is known as far as the writer has recorded it: at the last roll, checkpoint
    /// or close.
    ///
    /// Kafka has no counterpart: its readers ask a broker.
    ///
    /// ```
    /// use stratalog::{Error, EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?;
    ///
    /// let other = EventLog::open_read_only(dir.path())?; // in another process, as a rule
    /// log.producer()?.send(&orders, Record::new("paid"))?;
    /// assert_eq!(other.topic("orders")?.partition(0)?.offsets()?.log_end, 1);
    /// assert!(matches!(other.producer(), Err(Error::ReadOnly)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Io` if the directory does not exist, `NotFound` if no log is in it yet, `Corrupt` if what describes the log as a
    /// whole is damaged.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().read_only(true).open(path)
    }

    /// How to open a log in other ways than [`open`](Self::open) does.
    pub fn options() -> OpenOptions {
        OpenOptions::default()
    }

    pub(crate) fn open_with(path: &Path, options: OpenOptions) -> Result<Self> {
        Ok(Self { directory: OpenDirectory::open(path, options)? })
    }

    /// What opening found.
    pub fn recovery(&self) -> &RecoveryReport {
        self.directory.recovery()
    }

    /// Creates a topic. The change is fsynced when this returns; the directories of its partitions are created with their first
    /// record.
    ///
    /// Nothing of an earlier topic of the same name is left: no record, no setting, no committed position.
    ///
    /// # Errors
    /// `AlreadyExists`; `InvalidInput` for a name or a configuration that Kafka would refuse; `StorageFull` and `Io`, also if
    /// something of an earlier topic of the name is left and cannot be removed. Then no topic is made. After
    /// [`Poisoned`](crate::Error::Poisoned) it is there when the log is opened anew, or not.
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        let mut made = self.create_topics([(name, config)])?;
        made.pop().ok_or_else(|| crate::Error::not_found("topic", name))
    }

    /// Makes topics at once: all of them or, on an error, none.
    ///
    /// ```
    /// # use stratalog::{EventLog, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let topics = log.create_topics([("orders", TopicConfig::new().partitions(3)), ("audit", TopicConfig::new())])?;
    /// assert_eq!(topics.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_topics<'a>(
        &self,
        topics: impl IntoIterator<Item = (&'a str, TopicConfig)>,
    ) -> Result<Vec<Topic>> {
        self.directory.create_topics(&topics.into_iter().collect::<Vec<_>>())
    }

    /// The topic of this name, made if there is none; for the start of a program. A topic that exists must have the number
    /// of partitions and the settings that `config` names. What `config` does not name may be as it is.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stratalog::{Error, EventLog, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let orders = log.ensure_topic("orders", TopicConfig::new().partitions(3))?;
    /// assert_eq!(log.ensure_topic("orders", TopicConfig::new())?.id(), orders.id());
    ///
    /// let week = TopicConfig::new().retention(Duration::from_secs(7 * 24 * 3600));
    /// let Err(Error::TopicMismatch(differs)) = log.ensure_topic("orders", week) else { panic!() };
    /// assert_eq!(&*differs.settings[0].setting, "retention.ms");
    /// assert_eq!(&*differs.settings[0].found, "-1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicMismatch`](crate::Error::TopicMismatch), which lists what differs; `InvalidInput` for a name or a
    /// configuration that Kafka would refuse. Nothing was written then. `ReadOnly` if there is no such topic in a log that
    /// is only read.
    pub fn ensure_topic(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        self.ensure_topic_with(name, config, Mismatch::Fail)
    }

    /// The same, where `mismatch` says what happens if the topic has other settings than `config` names. Threads may call
    /// this at once: one makes the topic, the others find it.
    ///
    /// With [`Mismatch::Alter`] all of it is one change: on disk when this returns, or not made at all.
    /// From Kafka's `kafka-topics`, `--create --if-not-exists` is [`Mismatch::Keep`].
    ///
    /// ```
    /// use stratalog::{EventLog, Mismatch, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// log.create_topic("orders", TopicConfig::new())?;
    /// let wanted = TopicConfig::new().partitions(3).retention_bytes(1 << 30);
    /// let orders = log.ensure_topic_with("orders", wanted.clone(), Mismatch::Keep)?;
    /// assert_eq!(orders.partitions().len(), 1);
    /// log.ensure_topic_with("orders", wanted, Mismatch::Alter)?;
    /// assert_eq!(orders.partitions().len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`ensure_topic`](Self::ensure_topic). With [`Mismatch::Alter`] `InvalidInput` for fewer partitions than there
    /// are, and what [`alter_config`](Topic::alter_config) gives.
    pub fn ensure_topic_with(&self, name: &str, config: TopicConfig, mismatch: Mismatch) -> Result<Topic> {
        self.directory.ensure_topic(name, &config, mismatch)
    }

    /// The topic of this name, or `NotFound`.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        self.directory.topic(name)
    }

    /// All topics, by name; Kafka's internal ones among them.
    pub fn topics(&self) -> Result<Vec<Topic>> {
        let catalog = self.directory.catalog()?;
        self.directory.refresh()?;
        let entries = catalog.topics();
        Ok(entries.into_iter().map(|entry| Topic::new(Arc::clone(&self.directory), entry)).collect())
    }

    /// Deletes a topic, its records and what groups have committed in it. Works while it is read: what consumers were given
    /// stays valid; the next polls of those that were assigned it say `NotFound`, subscribed ones lose its partitions. The
    /// name can be used again at once, for a topic with another id.
    ///
    /// The topic is deleted once the deletion is fsynced in the metadata log. Its files and committed positions are removed
    /// after that. If that fails the call still returns `Ok`, and an [event](crate::Event::MaintenanceFailed) reports it.
    /// Maintenance, the close and the next open try again, and so does the creation of a topic of the same name.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for a topic that Kafka keeps for itself; `StorageFull`, `Io`. Then nothing is deleted,
    /// and nothing that groups have committed. After [`Poisoned`](crate::Error::Poisoned) the topic is there with all of it
    /// when the log is opened anew, or gone with all of it; until then it can be read, and takes no records and no commits.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.directory.delete_topic(name)
    }

    /// A producer with default settings.
    pub fn producer(&self) -> Result<Producer> {
        self.producer_with(ProducerConfig::new())
    }

    /// A producer.
    pub fn producer_with(&self, config: ProducerConfig) -> Result<Producer> {
        Producer::new(&self.directory, config)
    }

    /// A producer of transactions, with default settings. Takes the transactional id: another producer that has it is fenced, and
    /// what it has open is aborted.
    ///
    /// # Errors
    /// `InvalidInput` for an empty id or one of more than 32,767 bytes; `Corrupt` or `Unsupported` if what `__transaction_state` says
    /// of the id cannot be read; `StorageFull`, `Io`, `ReadOnly`, `Closed`.
    pub fn transactional_producer(&self, id: &str) -> Result<TransactionalProducer> {
        self.transactional_producer_with(id, ProducerConfig::new())
    }

    /// A producer of transactions. Of the configuration it goes by durability, compression, partitioner, `batch_bytes`,
    /// `buffer_bytes` and `transaction_timeout`.
    ///
    /// # Errors
    /// Those of [`transactional_producer`](Self::transactional_producer), and `InvalidInput` for a configuration that is none.
    pub fn transactional_producer_with(
        &self,
        id: &str,
        config: ProducerConfig,
    ) -> Result<TransactionalProducer> {
        TransactionalProducer::new(&self.directory, id, config)
    }

    /// The transactional ids that there are, sorted, by their last states in `__transaction_state`. A transaction of which nothing
    /// is in the log yet is not to be seen in them. Kafka's counterpart is `kafka-transactions.sh list` with `describe`.
    pub fn transactional_ids(&self) -> Result<Vec<TransactionalId>> {
        self.directory.check_open()?;
        self.directory.refresh()?;
        self.directory.transactions().describe()
    }

    /// Aborts the open transaction of an id from outside. Its producer learns of it by [`Aborted`](crate::Error::Aborted), and can
    /// begin another one. `false`: none is open. Kafka's counterpart is `kafka-transactions.sh abort`.
    ///
    /// # Errors
    /// As [`Transaction::abort`](crate::Transaction::abort).
    pub fn abort_transaction(&self, id: &str) -> Result<bool> {
        self.directory.check_writable()?;
        check_id(id)?;
        self.directory.transactions().abort(id, self.directory.now().as_millis())
    }

    /// A consumer without a group, with default settings: [`Consumer::assign`] says what it reads.
    pub fn standalone_consumer(&self) -> Result<Consumer> {
        self.consumer_with(ConsumerConfig::new())
    }

    /// A consumer in a group, with default settings: [`Consumer::subscribe`] makes it a member.
    pub fn consumer(&self, group: &str) -> Result<Consumer> {
        self.consumer_with(ConsumerConfig::new().group(group))
    }

    /// A consumer.
    pub fn consumer_with(&self, config: ConsumerConfig) -> Result<Consumer> {
        Consumer::new(&self.directory, config)
    }

    /// A group, to describe it or to set its committed positions. It need not exist yet.
    pub fn group(&self, name: &str) -> Result<Group> {
        self.directory.check_open()?;
        check_name(name)?;
        Ok(Group::new(Arc::clone(&self.directory), name))
    }

    /// All groups that have members or committed positions, by name.
    pub fn groups(&self) -> Result<Vec<Group>> {
        self.directory.check_open()?;
        self.directory.refresh()?;
        let names = self.directory.groups().group_names()?;
        Ok(names.iter().map(|name| Group::new(Arc::clone(&self.directory), name)).collect())
    }

    /// What happens in the background from now on. Each call gets a queue of its own.
    pub fn events(&self) -> Events {
        self.directory.listen()
    }

    /// Counters of what was done since the open, and of what there is. Kafka's counterparts are its JMX metrics.
    ///
    /// ```
    /// # use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?;
    /// log.producer()?.send(&orders, Record::new("paid"))?;
    /// let metrics = log.metrics();
    /// assert_eq!((metrics.topics, metrics.records_appended, metrics.records_unsynced), (1, 1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.directory.metrics()
    }

    /// Does everything that is due in the background by now, in a fixed order: lingering batches, preallocation, final forms of
    /// sealed segments, syncs, retention, checkpoints. With [`Maintenance::Manual`](crate::Maintenance::Manual) nothing else
    /// does it; beside running threads it is merely early.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stratalog::{EventLog, Maintenance, ManualClock, Record, Timestamp, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let clock = ManualClock::new(Timestamp::from_millis(0));
    /// let log = EventLog::options().clock(clock.clone()).maintenance(Maintenance::Manual).open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?;
    /// log.producer()?.send(&orders, Record::new("paid"))?;
    /// assert_eq!(log.run_maintenance()?.partitions_synced, 0);
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(log.run_maintenance()?.partitions_synced, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first thing that went wrong; everything else was done all the same, and what failed is tried again.
    pub fn run_maintenance(&self) -> Result<MaintenanceReport> {
        self.directory.run_maintenance()
    }

    /// Returns when everything appended before the call is fsynced, in all topics.
    ///
    /// The recovery points are written to their checkpoint too. Without them the next open has more to check after a crash, so
    /// if they cannot be written that is an [event](crate::Event::MaintenanceFailed) and no error.
    ///
    /// After an error the partition that failed takes no more records until the log is opened anew. The others are synced
    /// all the same.
    pub fn sync(&self) -> Result<()> {
        self.directory.sync()
    }

    /// Makes a copy of the log as it is now, in a directory of its own, while the log is in use: a backup.
    ///
    /// The snapshot is the log at one point. Everything that was acknowledged before the call is in it; a record that was
    /// sent after another one was acknowledged is not in it without the other, whatever partitions they are of. The same
    /// holds for topics, settings, and positions that groups have committed. All of it is on disk when this returns.
    /// It opens as a log that was closed cleanly, here and under a Kafka broker.
    ///
    /// Sealed segments are reflinked where the file system can do that, else hard-linked, else copied, as on another file
    /// system; the last segment of each partition is copied. So beside the log a snapshot takes little time and space.
    /// A hard link is the same file: what damages it on the disk damages both. A backup that is to outlive the disk has to be on
    /// another one. Neither log ever writes to a file that the other has too.
    ///
    /// Appends wait while the point is recorded, which touches no file. Everything else is done while appends continue. Deleted
    /// records and topics keep their space until the snapshot is made, and no compaction ends before that. One snapshot is made
    /// at a time; the next one waits for it.
    ///
    /// `to` must be absent or an empty directory, outside of every log, and its parent must be there. The snapshot is made in
    /// `to` with the ending `.stratalog-snapshot-unfinished` and renamed at the end. After an error, the death of the process
    /// or a power failure `to` is absent, empty, or the complete snapshot. What is left of one that was not finished is removed
    /// by the next one to the same directory.
    ///
    /// The snapshot has the ids of the log (`cluster.id`, `node.id`, `directory.id`, topic ids), so that it can take its place.
    /// Let no brokers of one cluster run on both. Not in it are locks, `stratalog.live`, directories that belong to no topic, and
    /// what recovery has set aside.
    ///
    /// Kafka has no counterpart: one stops the broker and copies its directory, or mirrors topics into another cluster.
    ///
    /// ```
    /// use stratalog::{EventLog, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path().join("data"))?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?;
    /// log.producer()?.send(&orders, Record::new("paid"))?;
    ///
    /// let snapshot = log.snapshot_to(dir.path().join("monday"))?;
    /// println!("{snapshot}");
    ///
    /// let copy = EventLog::open(snapshot.directory())?;
    /// assert!(copy.recovery().clean);
    /// assert_eq!(copy.topic("orders")?.partition(0)?.offsets()?.log_end, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a `to` that is not as described, which says what would be right; `ReadOnly` if the log is only read:
    /// a reader cannot make the writer wait. `Locked` if another process is making a snapshot there. `Corrupt` if a partition
    /// cannot be opened or the end of one is inconsistent; older segments are not read, and what is damaged in them is damaged
    /// in the snapshot. [`Poisoned`](crate::Error::Poisoned) after a change of topics whose outcome is unknown. `Closed` if the
    /// log is closed meanwhile. `StorageFull` and `Io`. After all of them the log is what it was.
    pub fn snapshot_to(&self, to: impl AsRef<Path>) -> Result<Snapshot> {
        snapshot::snapshot_to(&self.directory, to.as_ref())
    }

    /// Makes the directory ready for a Kafka broker, closes the log, and says what was done and how to start the broker.
    ///
    /// A closed directory is one that a broker takes over as it is. What this does beyond [`close`](Self::close) concerns what
    /// shows only later: it aborts transactions that no coordinator knows of, so that readers of committed records do not wait
    /// for ever; it commits again the offsets that the broker would expire for their age; it has the broker assign producer ids
    /// above all that are in use, so that the broker does not take new records for old ones; and it warns of records that the
    /// broker would delete for their age.
    ///
    /// Producers and consumers get [`Closed`](crate::Error::Closed) afterwards, as with [`close`](Self::close). Should
    /// the process die meanwhile, the directory is as good as before: call it again.
    ///
    /// Kafka has no counterpart. `docs/kafka.md` describes the way to a broker and back.
    ///
    /// ```
    /// use stratalog::{EventLog, HandoverOptions, KafkaVersion, Record, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path())?;
    /// let orders = log.create_topic("orders", TopicConfig::new())?;
    /// log.producer()?.send(&orders, Record::new("paid"))?;
    ///
    /// let report = log.handover(&HandoverOptions::new().kafka(KafkaVersion::V4_1))?;
    /// assert!(report.server_properties.contains("node.id=1"));
    /// println!("{report}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if something keeps that broker from starting, all of it named; then nothing was changed and the log
    /// is open. [`dry_run`](HandoverOptions::dry_run) reports it without an error. After other errors the log may be
    /// open or closed, and some of the steps above may be done; it can be opened and handed over again.
    pub fn handover(&self, options: &HandoverOptions) -> Result<HandoverReport> {
        handover::hand_over(&self.directory, options)
    }

    /// Closes the log: appends in flight finish, waiting polls end, everything is fsynced, and the directory is
    /// free for a broker or another process. Calls on handles that are left give `Closed`; records already returned
    /// stay valid. Closing twice is fine. Up to 16 partitions are fsynced at a time, by threads that end with the call; with
    /// [`Maintenance::Manual`](crate::Maintenance::Manual) the calling thread does all of it.
    ///
    /// # Errors
    /// The first thing that went wrong. The directory is free all the same and is recovered at the next open.
    pub fn close(&self) -> Result<()> {
        self.directory.close()
    }
}
