//! What is measured: the workloads, who takes part in each, and by which figures they are compared.

/// A workload, with what varies of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Bytes of a value.
    Append(usize),
    Send,
    /// Bytes of a value.
    Pipe(usize),
    Latency,
    /// Bytes of a value.
    Replay(usize),
    /// Threads.
    Synced(usize),
    Open,
    Sizes,
    Partitions,
    Consumers,
    Segments,
}

/// What a participant does with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    /// In files.
    Stores,
    /// In memory that the process takes with it.
    InMemory,
    /// No participant: what the machine does.
    Limit,
}

/// A figure by which participants are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) is_more_better: bool,
}

pub(crate) const EMPTY_LOOP: &str = "empty loop";
pub(crate) const OURS: &str = "stratalog";
/// Those that run in a JVM.
pub(crate) const OF_JAVA: [&str; 2] = ["Aeron IPC", "Chronicle Queue"];

/// A peer that stores its records and reads none of them from there.
pub(crate) const KEEPS_ALL_IN_MEMORY: &str = "mrecordlog";

const PER_SECOND: &[Measure] = &[Measure { name: "records/s", is_more_better: true }];
const LATENCIES: &[Measure] = &[
    Measure { name: "p50 ns", is_more_better: false },
    Measure { name: "p99 ns", is_more_better: false },
    Measure { name: "p99.9 ns", is_more_better: false },
    Measure { name: "max ns", is_more_better: false },
];
const OPEN: &[Measure] = &[
    Measure { name: "open µs", is_more_better: false },
    Measure { name: "writer µs", is_more_better: false },
];

/// Bytes of a record in a large batch of stratalog, with a key of 8 bytes and a value of so many.
pub(crate) fn stored_bytes(value_bytes: usize) -> usize {
    if value_bytes > 256 { value_bytes + 19 } else { value_bytes + 18 }
}

pub(crate) fn kind(participant: &str) -> Kind {
    match participant {
        "crossbeam-channel" | "disruptor" | "Aeron IPC" => Kind::InMemory,
        EMPTY_LOOP => Kind::Limit,
        _ if participant.starts_with("limit:") => Kind::Limit,
        _ if participant.starts_with(OURS) => Kind::Ours,
        _ => Kind::Stores,
    }
}

impl Workload {
    pub(crate) const ALL: [Self; 16] = [
        Self::Append(100),
        Self::Append(1024),
        Self::Send,
        Self::Pipe(100),
        Self::Pipe(1024),
        Self::Latency,
        Self::Replay(100),
        Self::Replay(1024),
        Self::Synced(1),
        Self::Synced(4),
        Self::Synced(16),
        Self::Open,
        Self::Sizes,
        Self::Partitions,
        Self::Consumers,
        Self::Segments,
    ];

    /// On the command line and in the results.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Append(bytes) => format!("append-{bytes}"),
            Self::Send => "send".into(),
            Self::Pipe(bytes) => format!("pipe-{bytes}"),
            Self::Latency => "latency".into(),
            Self::Replay(bytes) => format!("replay-{bytes}"),
            Self::Synced(threads) => format!("synced-{threads}"),
            Self::Open => "open".into(),
            Self::Sizes => "sizes".into(),
            Self::Partitions => "partitions".into(),
            Self::Consumers => "consumers".into(),
            Self::Segments => "segments".into(),
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    pub(crate) fn title(self) -> String {
        let size = |bytes| if bytes == 1024 { "1 KiB".to_owned() } else { format!("{bytes} bytes") };
        match self {
            Self::Append(bytes) => format!("Append in batches, {}", size(bytes)),
            Self::Send => "Append one by one, 100 bytes: latency of a call".into(),
            Self::Pipe(bytes) => format!("Pipe from a producer to a consumer, {}", size(bytes)),
            Self::Latency => "Latency at 100,000 records a second, the consumer spins".into(),
            Self::Replay(bytes) => format!("Replay, {}", size(bytes)),
            Self::Synced(1) => "Each record on the disk, 1 thread".into(),
            Self::Synced(threads) => format!("Each record on the disk, {threads} threads"),
            Self::Open => "Open after an orderly close".into(),
            Self::Sizes => "Over the size of a record".into(),
            Self::Partitions => "Over partitions, in turn".into(),
            Self::Consumers => "Over consumers of one partition".into(),
            Self::Segments => "Over segments of a partition".into(),
        }
    }

    /// Ours first. The order in which they run, round after round.
    pub(crate) fn participants(self) -> &'static [&'static str] {
        match self {
            Self::Append(_) => &[
                "stratalog enqueue",
                "stratalog send_batch",
                "commitlog",
                "yaque",
                "khata-rs",
                "mrecordlog",
                "Chronicle Queue",
                "limit: pwrite",
                "limit: memcpy",
            ],
            Self::Send => &["stratalog", "commitlog", "yaque", "khata-rs", "Chronicle Queue", EMPTY_LOOP],
            Self::Pipe(_) => &[
                "stratalog enqueue",
                "stratalog send_batch",
                "commitlog",
                "yaque",
                "khata-rs",
                "crossbeam-channel",
                "disruptor",
                "Aeron IPC",
                "limit: pwrite",
                "limit: memcpy",
            ],
            Self::Latency => &[
                "stratalog",
                "commitlog",
                "khata-rs",
                "crossbeam-channel",
                "disruptor",
                "Aeron IPC",
                "Chronicle Queue",
                EMPTY_LOOP,
            ],
            Self::Replay(_) => &[
                "stratalog",
                "commitlog",
                "yaque",
                "khata-rs",
                "mrecordlog",
                "Chronicle Queue",
                "limit: sum of a mapping",
            ],
            Self::Synced(_) => &["stratalog", "okaywal", "raft-engine", "limit: fdatasync"],
            Self::Open => &["stratalog", "commitlog", "yaque", "khata-rs", "mrecordlog"],
            Self::Sizes | Self::Partitions | Self::Consumers | Self::Segments => &[OURS],
        }
    }

    /// None of a curve, which has no peers.
    pub(crate) fn measures(self) -> &'static [Measure] {
        match self {
            Self::Append(_) | Self::Pipe(_) | Self::Replay(_) | Self::Synced(_) => PER_SECOND,
            Self::Send | Self::Latency => LATENCIES,
            Self::Open => OPEN,
            Self::Sizes | Self::Partitions | Self::Consumers | Self::Segments => &[],
        }
    }

    pub(crate) fn value_bytes(self) -> usize {
        match self {
            Self::Append(bytes) | Self::Pipe(bytes) | Self::Replay(bytes) => bytes,
            _ => 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_found_by_their_names() {
        for workload in Workload::ALL {
            assert_eq!(Workload::of(&workload.name()), Some(workload));
        }
        assert_eq!(Workload::of("append"), None);
    }

    #[test]
    fn ours_is_in_each_workload_and_first() {
        for workload in Workload::ALL {
            assert_eq!(kind(workload.participants()[0]), Kind::Ours);
            let has_peer = workload.participants().iter().any(|name| kind(name) == Kind::Stores);
            assert_eq!(has_peer, !workload.measures().is_empty(), "{workload:?}");
        }
    }
}
