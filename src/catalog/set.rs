//! Directories that other nodes have a part in: one of a stopped cluster's, opened alone.
//!
//! Nodes compare logs by leader epochs. Two batches with the same epoch and offset are taken for the same batch, in the
//! metadata log and in every partition. A node that appends alone must therefore use epochs that no other node can have used:
//! otherwise a broker dies of the difference at each start, or keeps it for ever without noticing. Nodes that elect
//! leaders without this one raise their epochs by one each time; a million is more than they come to.

use std::collections::BTreeSet;

use super::Changes;
use super::log_dir::LogDir;
use super::state::State;
use crate::error::{Error, Result};
use crate::format::file_names::{METADATA_DIRECTORY, QUORUM_STATE};
use crate::format::metadata_record::MetadataRecord;
use crate::format::properties::MetaProperties;
use crate::format::quorum_state::{self, QuorumState};

/// Far more than the file ever holds.
const MAX_BYTES: u64 = 1 << 20;
/// By how much epochs are raised.
const RAISE: u32 = 1_000_000;

/// Refuses to write to a directory that other nodes have a part in or, if what comes of it is accepted, makes this node
/// the leader of what is here before anything else is written.
pub(super) fn refuse_or_claim(
    changes: &mut Changes,
    dir: &LogDir,
    identity: &MetaProperties,
    accept_data_loss: bool,
    now: i64,
) -> Result<()> {
    let path = dir.path(METADATA_DIRECTORY).join(QUORUM_STATE);
    let quorum = dir.disk().read_small(&path, MAX_BYTES)?.and_then(|file| quorum_state::parse(&file));
    let (node, others) = (identity.node_id, other_nodes(&changes.state, identity.node_id, quorum.as_ref()));
    if others.is_empty() {
        return Ok(());
    }
    if !accept_data_loss {
        return Err(Error::PartOfCluster {
            path: dir.root().into(),
            node,
            others: others.into_iter().collect(),
        });
    }
    changes.refuse_foreign()?;
    let written = changes.state.epoch();
    if written > RAISE && quorum.as_ref().is_some_and(|quorum| quorum.leader_epoch < written) {
        // Raised before, and no broker has run here since: what is written continues with what this node has written.
        return Ok(());
    }
    let promised = quorum.map_or(0, |quorum| quorum.leader_epoch);
    // What was raised and has not come into the log counts as used all the same.
    changes.log.bump_epoch(raised(changes.log.epoch().max(written).max(promised))?)?;
    let records = claims(&changes.state, node)?;
    changes.write(records, now)
}

/// Nodes beside this one that have copies of partitions or a vote about the metadata.
fn other_nodes(state: &State, node: i32, quorum: Option<&QuorumState>) -> BTreeSet<i32> {
    let partitions = state.topics().flat_map(|(_, topic)| topic.partitions.values());
    let replicas = partitions.flat_map(|partition| partition.replicas.iter().copied());
    let noted = state.voters().iter().map(|voter| voter.node_id);
    let configured = quorum.into_iter().flat_map(|quorum| quorum.voters.iter().copied());
    replicas.chain(noted).chain(configured).filter(|other| *other != node).collect()
}

/// The records that make a node the leader of all partitions that it shares, alone in sync, and leader of the log itself:
/// the first one changes nothing but carries the epoch.
fn claims(state: &State, node: i32) -> Result<Vec<MetadataRecord>> {
    let mut records = vec![MetadataRecord::nothing()];
    for (topic_id, topic) in state.topics() {
        for (number, partition) in &topic.partitions {
            let replicas = &partition.replicas;
            if !replicas.contains(&node) || replicas.iter().all(|replica| *replica == node) {
                continue;
            }
            let leader_epoch = raised(partition.leader_epoch)?.cast_signed();
            let mut directories = partition.directories.clone();
            if directories.len() != replicas.len() {
                // A broker finds out by itself.
                directories.clear();
            }
            records.push(MetadataRecord::Partition {
                partition: *number,
                topic_id,
                replicas: replicas.clone(),
                isr: vec![node],
                leader: node,
                leader_epoch,
                partition_epoch: partition.partition_epoch.saturating_add(1),
                directories,
            });
        }
    }
    Ok(records)
}

/// An epoch that no node can have used. Kafka's are numbers of 31 bits.
fn raised(epoch: u32) -> Result<u32> {
    let most = i32::MAX.cast_unsigned();
    epoch.checked_add(RAISE).filter(|raised| *raised <= most).ok_or_else(|| {
        let reason =
            format!("leader epoch {epoch} cannot be raised by {RAISE}: {most} is the last one there is");
        Error::invalid("accept_data_loss", reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::control::Voter;
    use crate::format::uuid::Uuid;

    const TOPIC: Uuid = Uuid::from_bytes([7; 16]);

    fn state_with(replicas: &[&[i32]]) -> State {
        let mut state = State::default();
        state.apply(MetadataRecord::Topic { name: "t".into(), id: TOPIC }).unwrap();
        for (partition, replicas) in (0..).zip(replicas) {
            let record = MetadataRecord::Partition {
                partition,
                topic_id: TOPIC,
                replicas: replicas.to_vec(),
                isr: replicas.to_vec(),
                leader: replicas[0],
                leader_epoch: 4,
                partition_epoch: 9,
                directories: vec![],
            };
            state.apply(record).unwrap();
        }
        state
    }

    fn others(state: &State, quorum: Option<&QuorumState>) -> Vec<i32> {
        other_nodes(state, 1, quorum).into_iter().collect()
    }

    #[test]
    fn a_node_with_a_copy_or_a_vote_has_a_part() {
        assert!(others(&State::default(), None).is_empty());
        assert!(others(&state_with(&[&[1], &[1]]), None).is_empty());
        assert_eq!(others(&state_with(&[&[1], &[3, 1, 2]]), None), [2, 3]);
        assert_eq!(others(&state_with(&[&[1], &[5]]), None), [5]);
        let quorum = |voters: &[i32]| QuorumState { leader_epoch: 3, voters: voters.to_vec() };
        assert!(others(&state_with(&[&[1]]), Some(&quorum(&[1]))).is_empty());
        assert_eq!(others(&state_with(&[&[1]]), Some(&quorum(&[1, 3000]))), [3000]);
        let mut state = state_with(&[&[1]]);
        let voter = |node_id| Voter { node_id, directory_id: TOPIC, endpoints: vec![] };
        state.set_voters(vec![voter(1)]);
        assert!(others(&state, None).is_empty());
        state.set_voters(vec![voter(1), voter(2)]);
        assert_eq!(others(&state, None), [2]);
    }

    #[test]
    fn a_copy_that_was_moved_here_alone_is_of_no_other_node() {
        let mut state = state_with(&[&[2, 3]]);
        let mut fields = 0_i32.to_be_bytes().to_vec();
        fields.extend(TOPIC.as_bytes());
        // Replicas: 1.
        fields.extend([1, 2, 5, 2, 0, 0, 0, 1]);
        assert_eq!(others(&state, None), [2, 3]);
        state.apply(MetadataRecord::Other { api_key: 5, version: 0, fields }).unwrap();
        assert!(others(&state, None).is_empty());
    }

    #[test]
    fn what_is_shared_is_claimed_and_nothing_else() {
        let mut state = state_with(&[&[1], &[2, 1], &[2, 3]]);
        // Two elections, by which the epochs are those of later.
        for _ in 0..2 {
            let mut fields = 1_i32.to_be_bytes().to_vec();
            fields.extend(TOPIC.as_bytes());
            fields.extend([1, 1, 4, 0, 0, 0, 2]);
            state.apply(MetadataRecord::Other { api_key: 5, version: 0, fields }).unwrap();
        }
        let records = claims(&state, 1).unwrap();
        let [
            first,
            MetadataRecord::Partition {
                partition, isr, leader, leader_epoch, partition_epoch, replicas, ..
            },
        ] = &records[..]
        else {
            panic!("{records:?}")
        };
        assert_eq!(*first, MetadataRecord::nothing());
        assert_eq!((*partition, &isr[..], *leader, &replicas[..]), (1, &[1][..], 1, &[2, 1][..]));
        assert_eq!((*leader_epoch, *partition_epoch), (1_000_006, 12));
    }

    #[test]
    fn epochs_come_to_an_end() {
        let most = i32::MAX.cast_unsigned();
        assert_eq!(raised(most - RAISE).unwrap(), most);
        assert!(raised(most - RAISE + 1).unwrap_err().to_string().contains("is the last one there is"));
        assert!(raised(u32::MAX).is_err());
    }
}
