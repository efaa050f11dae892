//! What members say they own, and whom to believe.

use super::deal::Deal;

/// Who may keep each partition of a [`Deal`].
///
/// Members may come back with claims of any age. Of the claims on one partition those of the highest generation count; if
/// two members claim it in that same generation, something went wrong, and it belongs to neither. (Old clients of Kafka
/// dropped claims of older generations even where no other member contested them; those of 3.9 and 4.1 do not.)
pub(super) struct Claims {
    claims: Vec<Claim>,
    /// For partitions whose claims have an age: who had it, by the latest of the claims older than the newest generation
    /// of the whole group. Empty if all members are of the same generation.
    former: Vec<Option<Former>>,
}

#[derive(Clone, Copy)]
enum Claim {
    Unclaimed,
    Of { member: usize, generation: i32 },
    Contested { generation: i32 },
}

#[derive(Clone, Copy)]
struct Former {
    member: usize,
    generation: i32,
}

impl Claims {
    pub(super) fn new(deal: &Deal<'_>) -> Self {
        let mut claims = vec![Claim::Unclaimed; deal.partitions()];
        for (member, claimant) in deal.members().iter().enumerate() {
            for partition in deal.places(claimant.owned) {
                claims[partition] = claims[partition].beside(member, claimant.generation);
            }
        }
        Self { claims, former: former(deal) }
    }

    /// Whose it is, if the claim to it is good.
    pub(super) fn owner(&self, partition: usize) -> Option<usize> {
        match self.claims[partition] {
            Claim::Of { member, .. } => Some(member),
            Claim::Unclaimed | Claim::Contested { .. } => None,
        }
    }

    /// Whether anybody claims it, rightly or not.
    #[cfg(test)]
    pub(super) fn is_claimed(&self, partition: usize) -> bool {
        !matches!(self.claims[partition], Claim::Unclaimed)
    }

    /// Who had it in an earlier generation.
    pub(super) fn former_owner(&self, partition: usize) -> Option<usize> {
        self.former.get(partition).copied().flatten().map(|former| former.member)
    }
}

impl Claim {
    /// What becomes of it when `other` claims the same partition.
    fn beside(self, other: usize, age: i32) -> Self {
        let mine = Self::Of { member: other, generation: age };
        match self {
            Self::Unclaimed => mine,
            Self::Of { generation, .. } | Self::Contested { generation } if generation < age => mine,
            // A member that names a partition twice does not contest it.
            Self::Of { member, generation } if generation == age && member != other => {
                Self::Contested { generation }
            }
            older_loses => older_loses,
        }
    }
}

fn former(deal: &Deal<'_>) -> Vec<Option<Former>> {
    let generations = deal.members().iter().map(|member| member.generation);
    let Some(newest) = generations.clone().max() else { return Vec::new() };
    if generations.min() == Some(newest) {
        return Vec::new();
    }
    let mut former: Vec<Option<Former>> = vec![None; deal.partitions()];
    for (member, claimant) in deal.members().iter().enumerate() {
        let generation = claimant.generation;
        if generation < newest {
            for partition in deal.places(claimant.owned) {
                let known = &mut former[partition];
                if known.is_none_or(|known| known.generation < generation) {
                    *known = Some(Former { member, generation });
                }
            }
        }
    }
    former
}
