//! When each task is due: a heap of deadlines.
//!
//! A task that is single is due at the earliest moment that was asked for, however often that was. Others are about one
//! partition each, and are done as often as they were asked for.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use super::tasks::Task;
use crate::clock::Moment;

/// Tasks and their deadlines.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    deadlines: BinaryHeap<Reverse<Deadline>>,
    /// When the single task of a rank is due. Another deadline of it in the heap is void.
    single: BTreeMap<u8, Moment>,
    added: u64,
}

#[derive(Debug)]
struct Deadline {
    due: Moment,
    /// Tasks with the same deadline are taken in the order in which they were added.
    number: u64,
    task: Task,
}

/// The tasks of a round in the order in which they are done: by rank, then by deadline.
#[derive(Debug, Default)]
pub(super) struct Due(BTreeMap<(u8, Moment, u64), Task>);

impl Due {
    pub(super) fn take_first(&mut self) -> Option<Task> {
        self.0.pop_first().map(|(_, task)| task)
    }
}

impl Schedule {
    /// Has the task done at this moment. `None` is never.
    pub(super) fn add(&mut self, due: impl Into<Option<Moment>>, task: Task) {
        let Some(due) = due.into() else { return };
        if task.is_single() {
            let rank = task.rank();
            if self.single.get(&rank).is_some_and(|known| *known <= due) {
                return;
            }
            self.single.insert(rank, due);
        }
        self.added += 1;
        self.deadlines.push(Reverse(Deadline { due, number: self.added, task }));
    }

    /// Whether a single task has a deadline.
    pub(super) fn holds(&self, task: &Task) -> bool {
        self.single.contains_key(&task.rank())
    }

    /// Everything is due.
    #[cfg(test)]
    pub(super) fn hasten(&mut self, now: Moment) {
        for Reverse(Deadline { task, .. }) in std::mem::take(&mut self.deadlines) {
            self.single.remove(&task.rank());
            self.add(now, task);
        }
    }

    #[cfg(test)]
    pub(super) fn due(&self, task: &Task) -> Option<Moment> {
        self.single.get(&task.rank()).copied()
    }

    /// When the next task is due.
    pub(super) fn next(&mut self) -> Option<Moment> {
        while self.deadlines.peek().is_some_and(|Reverse(first)| self.is_void(first)) {
            self.deadlines.pop();
        }
        self.deadlines.peek().map(|Reverse(first)| first.due)
    }

    fn is_void(&self, deadline: &Deadline) -> bool {
        let Deadline { task, due, .. } = deadline;
        task.is_single() && self.single.get(&task.rank()) != Some(due)
    }

    /// Moves the tasks that are due at `now` and rank from `from` on to those of the round. Others stay for the next round.
    pub(super) fn take_due(&mut self, now: Moment, from: u8, round: &mut Due) {
        let mut later = Vec::new();
        while self.next().is_some_and(|next| next <= now) {
            let Some(Reverse(first)) = self.deadlines.pop() else { break };
            let rank = first.task.rank();
            if rank < from {
                later.push(Reverse(first));
            } else {
                self.single.remove(&rank);
                round.0.insert((rank, first.due, first.number), first.task);
            }
        }
        self.deadlines.extend(later);
    }
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Deadline {}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> Moment {
        Moment::from_nanos(0).after(Duration::from_secs(second)).unwrap()
    }

    /// The ranks of what is done in a round at this second.
    fn round(schedule: &mut Schedule, second: u64) -> Vec<u8> {
        let (mut due, mut done) = (Due::default(), Vec::new());
        schedule.take_due(at(second), 0, &mut due);
        while let Some(task) = due.take_first() {
            done.push(task.rank());
        }
        done
    }

    #[test]
    fn the_earliest_deadline_of_a_single_task_counts() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.next(), None);
        for second in [9, 5, 7] {
            schedule.add(at(second), Task::Retain);
        }
        schedule.add(None, Task::WriteCheckpoints);
        assert_eq!(schedule.next(), Some(at(5)));
        assert!(schedule.holds(&Task::Retain) && !schedule.holds(&Task::WriteCheckpoints));
        assert!(round(&mut schedule, 4).is_empty());
        assert_eq!(round(&mut schedule, 5), [Task::Retain.rank()]);
        assert_eq!((schedule.next(), round(&mut schedule, 9)), (None, vec![]), "the others are void");
        schedule.add(at(9), Task::Retain);
        assert_eq!(round(&mut schedule, 9), [Task::Retain.rank()]);
    }

    #[test]
    fn a_round_goes_by_rank_and_does_each_partition() {
        let mut schedule = Schedule::default();
        schedule.add(at(1), Task::WriteCheckpoints);
        schedule.add(at(2), Task::CloseIdle(Weak::new()));
        schedule.add(at(3), Task::Retain);
        schedule.add(at(2), Task::CloseIdle(Weak::new()));
        let close = Task::CloseIdle(Weak::new()).rank();
        let expected = [Task::Retain.rank(), close, close, Task::WriteCheckpoints.rank()];
        assert_eq!(round(&mut schedule, 3), expected);
    }

    #[test]
    fn what_a_task_asks_for_at_once_is_done_in_the_same_round_if_it_ranks_higher() {
        let (mut schedule, mut due) = (Schedule::default(), Due::default());
        let retain = Task::Retain.rank();
        schedule.add(at(1), Task::Retain);
        schedule.take_due(at(1), 0, &mut due);
        assert_eq!(due.take_first().map(|task| task.rank()), Some(retain));
        schedule.add(at(1), Task::Retain);
        schedule.add(at(1), Task::WriteCheckpoints);
        schedule.take_due(at(1), retain + 1, &mut due);
        assert_eq!(due.take_first().map(|task| task.rank()), Some(Task::WriteCheckpoints.rank()));
        assert!(due.take_first().is_none());
        assert_eq!(round(&mut schedule, 1), [retain], "in the next round");
    }
}
