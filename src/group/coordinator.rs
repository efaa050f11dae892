//! The coordinator of the groups of one open directory.
//!
//! | state | held by | lock |
//! |---|---|---|
//! | which groups have members | [`Registry`] | its own, for a look-up |
//! | a group's members | [`LiveGroup`] | `state`, before the registry's and any partition's |
//! | whether a member has a pending change | [`MemberState`], read with every poll | none |
//!
//! A poll of a member without a pending change takes no lock. There are no call-backs: a member with a change finds a flag, and
//! is woken if it sleeps. Nothing runs by itself: members that do not poll for too long are noticed by the polls of others,
//! which check one number for that, the earliest moment at which anything is due ([`LiveGroup::check_at`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::beginning::{Since, Starts};
use super::membership::{Known, Membership, OwnershipChange};
use super::offsets::CommittedOffsets;
use super::registry::Registry;
use crate::catalog::Catalog;
use crate::clock::{Clock, Moment, Pace, SystemClock, time_of};
use crate::config::{Assignor, Durability};
use crate::error::{Error, Result};
use crate::events::{Announcer, Event};
use crate::format::group_metadata::GroupMetadata;
use crate::position::{Position, TopicPartition};
use crate::sys::Birth;
use crate::wait::Sleepers;

/// After so long members that partitions wait for, and that do not poll, are an event.
const PATIENCE: Duration = Duration::from_secs(10);
/// In [`LiveGroup::check_at`]: nothing is due.
const NEVER: u64 = u64::MAX;
/// In [`MemberState::poll_by`]: the member polls at present.
const POLLS: u64 = u64::MAX;
/// What Kafka's consumers call their protocol in the record of a group.
const PROTOCOL_TYPE: &str = "consumer";
/// A group's name comes after two bytes of length in Kafka's records.
const MAX_NAME: usize = i16::MAX as usize;

/// Groups, members and committed offsets.
#[derive(Debug)]
pub(crate) struct Coordinator {
    catalog: Arc<Catalog>,
    offsets: CommittedOffsets,
    events: Announcer,
    pace: Pace,
    /// None: the system's.
    clock: Option<Arc<dyn Clock>>,
    pub(super) registry: Registry,
    joined: AtomicU64,
}

/// A group with members, or one that is being changed.
#[derive(Debug)]
pub(super) struct LiveGroup {
    pub(super) name: Arc<str>,
    /// Held while the group's committed positions are read or written: only this group's members wait for that.
    pub(super) state: Mutex<State>,
    /// Whether there are any. Written under `state`.
    has_members: AtomicBool,
    /// When members are to be checked next: no member has to poll, and no event is due, before this moment. In
    /// nanoseconds. Written under `state`; read without it by each poll. Members only move their own moment later.
    check_at: AtomicU64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) membership: Membership,
    /// Since when the group has positions.
    pub(super) since: Since,
    pub(super) starts: Starts,
    member_states: BTreeMap<Arc<str>, Arc<MemberState>>,
    /// Since when partitions wait to be released, and whether that was reported.
    rebalancing: Option<(Moment, bool)>,
    /// Whether a member has joined since the entry was made.
    pub(super) had_members: bool,
    /// The registry has it no more: no consumer joins here.
    pub(super) is_gone: bool,
}

/// What a member and its group share.
#[derive(Debug)]
struct MemberState {
    /// The member has something to do. Set under the group's lock, before it is woken.
    has_pending_change: AtomicBool,
    sleepers: Sleepers,
    /// How long it may go without a poll.
    interval: Option<Duration>,
    /// When it has to poll again, in nanoseconds, or [`POLLS`]. Written by the member alone, read by others. Without an
    /// interval it means nothing.
    poll_by: AtomicU64,
}

/// What a member brings when it joins.
struct Joining {
    /// Sorted.
    topics: Vec<Arc<str>>,
    assignor: Assignor,
    now: Moment,
}

/// A consumer's membership. Dropping it leaves the group.
#[derive(Debug)]
pub(crate) struct GroupMember {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) group: Arc<LiveGroup>,
    id: Arc<str>,
    shared: Arc<MemberState>,
    birth: Birth,
}

impl Coordinator {
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        offsets: CommittedOffsets,
        events: Announcer,
        pace: Pace,
        clock: Option<Arc<dyn Clock>>,
    ) -> Arc<Self> {
        let (registry, joined) = (Registry::default(), AtomicU64::new(0));
        Arc::new(Self { catalog, offsets, events, pace, clock, registry, joined })
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    pub(crate) fn offsets(&self) -> &CommittedOffsets {
        &self.offsets
    }

    /// Takes a consumer into a group. `topics` is sorted. `interval`: how long it may go without a poll.
    pub(crate) fn join(
        self: &Arc<Self>,
        group: &str,
        topics: Vec<Arc<str>>,
        assignor: Assignor,
        interval: Option<Duration>,
    ) -> Result<GroupMember> {
        check_name(group)?;
        // Before anything is changed: it may be a clock of the user's, which may panic.
        let now = self.pace.now();
        // Padded, so that members are in the order in which they came.
        let id: Arc<str> = format!("consumer-{:08}", self.joined.fetch_add(1, Ordering::Relaxed)).into();
        let shared = Arc::new(MemberState {
            has_pending_change: AtomicBool::new(false),
            sleepers: Sleepers::default(),
            interval,
            poll_by: AtomicU64::new(POLLS),
        });
        shared.is_idle_from(now);
        let group = self.registry.with(group, |group, state| {
            self.join_as(&id, &shared, group, state, Joining { topics, assignor, now })?;
            Ok(Arc::clone(group))
        })?;
        Ok(GroupMember { coordinator: Arc::clone(self), group, id, shared, birth: Birth::now() })
    }

    fn join_as(
        &self,
        id: &Arc<str>,
        shared: &Arc<MemberState>,
        group: &LiveGroup,
        state: &mut State,
        Joining { topics, assignor, now }: Joining,
    ) -> Result<()> {
        if !state.had_members {
            state.membership = Membership::after(self.last_generation(&group.name)?);
        }
        if state.membership.is_empty() {
            // Before topics are looked up: what is made in between is newer.
            (state.since, state.starts) = (self.stored_since(&group.name)?, Starts::default());
        }
        let present = state.membership.assignor();
        if !state.membership.is_empty() && present != assignor {
            let (present, assignor) = (present.kafka_word(), assignor.kafka_word());
            let name = &group.name;
            let reason =
                format!("the members of group {name:?} use {present}, this one {assignor}; use the same");
            return Err(Error::invalid("assignor", reason));
        }
        state.had_members = true;
        state.member_states.insert(Arc::clone(id), Arc::clone(shared));
        state.membership.join(Arc::clone(id), topics, assignor, |name| self.known(name));
        let sleeping: Vec<_> = state.member_states.values().cloned().collect();
        group.finish_change(state, now);
        // Each of them has one more member to look after.
        for shared in &sleeping {
            shared.sleepers.wake_all();
        }
        Ok(())
    }

    /// The generation in which a group had members last, here or in a broker's hands.
    fn last_generation(&self, group: &str) -> Result<u32> {
        let record = self.offsets.group_record(group)?;
        Ok(record.and_then(|record| u32::try_from(record.generation).ok()).unwrap_or(0))
    }

    fn known(&self, topic: &str) -> Option<Known> {
        let entry = self.catalog.topic(topic)?;
        Some(Known { id: entry.id(), partitions: entry.partitions().len() })
    }

    /// Does something to a group while it has no members and gets none.
    pub(super) fn while_empty<T>(&self, group: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let now = self.pace.now();
        self.registry.with(group, |live, state| {
            self.evict(live, state, now);
            if !state.membership.is_empty() {
                return Err(Error::GroupNotEmpty { group: group.into() });
            }
            work()
        })
    }

    /// Evicts members whose poll is overdue.
    fn evict(&self, group: &LiveGroup, state: &mut State, now: Moment) {
        let overdue = |shared: &MemberState| shared.due(now).is_some_and(|by| by <= now);
        let overdue =
            state.member_states.iter().filter(|(_, shared)| overdue(shared)).map(|(id, _)| Arc::clone(id));
        let overdue: Vec<_> = overdue.collect();
        for id in &overdue {
            state.remove(id);
            self.events.emit(|| Event::MemberEvicted { group: (*group.name).into(), member: (**id).into() });
        }
        if !overdue.is_empty() {
            group.finish_change(state, now);
        }
    }

    fn leave(&self, group: &LiveGroup, id: &str) {
        let now = self.pace.now_or_start();
        let mut state = group.state.lock();
        state.remove(id);
        group.finish_change(&mut state, now);
        if state.membership.is_empty() && !state.is_gone {
            // Only the expiry of its commits depends on it; without it, they expire by the last commit.
            let _ = self.record_empty(group, &state);
            self.registry.remove(group, &mut state);
        }
    }

    /// Notes that a group has no members from now on, as a broker does.
    fn record_empty(&self, group: &LiveGroup, state: &State) -> Result<()> {
        if !self.offsets.may_have_record(&group.name)? {
            return Ok(());
        }
        // A consumer that is dropped by a panic must not panic again: without the user's clock the system's will do.
        let now = time_of(self.clock.as_deref()).unwrap_or_else(|| SystemClock.now()).as_millis().max(0);
        let record = GroupMetadata { state_since: Some(now), ..state.record() };
        self.offsets.write_group(&group.name, &record, now)
    }
}

/// Refuses what cannot be the name of a group.
pub(crate) fn check_name(group: &str) -> Result<()> {
    let reason = match group.len() {
        0 => "is empty; give the group a name".into(),
        length if length > MAX_NAME => {
            format!("has {length} bytes; at most {MAX_NAME} fit into Kafka's records")
        }
        _ => return Ok(()),
    };
    Err(Error::invalid("group name", reason))
}

impl LiveGroup {
    pub(super) fn new(name: Arc<str>) -> Self {
        let state = State {
            membership: Membership::default(),
            since: Since::Unknown,
            starts: Starts::default(),
            member_states: BTreeMap::new(),
            rebalancing: None,
            had_members: false,
            is_gone: false,
        };
        let (has_members, check_at) = (AtomicBool::new(false), AtomicU64::new(NEVER));
        Self { name, state: Mutex::new(state), has_members, check_at }
    }

    pub(super) fn has_members(&self) -> bool {
        self.has_members.load(Ordering::Relaxed)
    }

    /// Ends every change: flags and wakes the members that have something to do.
    fn finish_change(&self, state: &mut State, now: Moment) {
        self.has_members.store(!state.membership.is_empty(), Ordering::Relaxed);
        let stable = state.membership.is_stable();
        state.rebalancing = if stable { None } else { Some((now, false)) };
        self.schedule_check(state, now);
        for (id, member) in state.membership.members() {
            if state.membership.has_pending_change(member)
                && let Some(shared) = state.member_states.get(id)
            {
                shared.mark_pending();
            }
        }
    }
}

impl LiveGroup {
    /// Notes when members are to be checked next.
    fn schedule_check(&self, state: &State, now: Moment) {
        // A member alone has no other to check it, and no other that wants its partitions.
        let watched = state.member_states.values().filter(|_| state.member_states.len() > 1);
        let tell =
            state.rebalancing.filter(|(_, reported)| !reported).and_then(|(since, _)| since.after(PATIENCE));
        let due = watched.filter_map(|shared| shared.due(now)).chain(tell).min();
        self.check_at.store(due.map_or(NEVER, Moment::as_nanos), Ordering::Relaxed);
    }

    fn next_check(&self) -> Option<Moment> {
        Some(self.check_at.load(Ordering::Relaxed)).filter(|at| *at != NEVER).map(Moment::from_nanos)
    }
}

impl State {
    /// Has all members reconcile.
    pub(super) fn mark_all_pending(&self) {
        self.member_states.values().for_each(|shared| shared.mark_pending());
    }

    /// The group's record. It names no members: those of a process that is gone are not to be waited for.
    pub(super) fn record(&self) -> GroupMetadata {
        self.since.record_in(GroupMetadata {
            protocol_type: PROTOCOL_TYPE.to_owned(),
            generation: i32::try_from(self.membership.generation()).unwrap_or(0),
            ..GroupMetadata::default()
        })
    }

    fn remove(&mut self, id: &str) {
        self.membership.leave(id);
        if let Some(shared) = self.member_states.remove(id) {
            // It finds out at its next poll.
            shared.mark_pending();
        }
    }
}

impl MemberState {
    /// Has the member reconcile.
    fn mark_pending(&self) {
        self.has_pending_change.store(true, Ordering::Release);
        self.sleepers.wake_all();
    }

    /// The member does not poll from now on.
    fn is_idle_from(&self, now: Moment) {
        let by = self.interval.and_then(|interval| now.after(interval));
        self.poll_by.store(by.map_or(POLLS, Moment::as_nanos), Ordering::Relaxed);
    }

    /// When it has to poll again, if ever. Who polls at the moment may stop doing so right after.
    fn due(&self, now: Moment) -> Option<Moment> {
        let interval = self.interval?;
        match self.poll_by.load(Ordering::Relaxed) {
            POLLS => now.after(interval),
            by => Some(Moment::from_nanos(by)),
        }
    }
}

impl GroupMember {
    pub(crate) fn sleepers(&self) -> &Sleepers {
        &self.shared.sleepers
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Whether reconciling would change something. One load.
    #[inline]
    pub(crate) fn has_pending_change(&self) -> bool {
        self.shared.has_pending_change.load(Ordering::Acquire)
    }

    /// Reconciles: see [`Membership::reconcile`].
    pub(crate) fn reconcile(
        &self,
        held: &[TopicPartition],
        reported: &[TopicPartition],
    ) -> Option<OwnershipChange> {
        let now = self.coordinator.pace.now();
        self.shared.has_pending_change.store(false, Ordering::Relaxed);
        let mut state = self.group.state.lock();
        let Some(change) = state.membership.reconcile(&self.id, held, reported) else {
            // It has been evicted, and will not be flagged again: it finds out again until it has joined anew.
            self.shared.has_pending_change.store(true, Ordering::Relaxed);
            return None;
        };
        if !change.released.is_empty() || !change.claimed.is_empty() {
            self.group.finish_change(&mut state, now);
        }
        Some(change)
    }

    /// Says what the member wants to read, and has the group look which topics there are.
    pub(crate) fn subscribe(&self, topics: Vec<Arc<str>>) {
        let now = self.coordinator.pace.now();
        let mut state = self.group.state.lock();
        let before = state.membership.generation();
        state.membership.subscribe(&self.id, topics, |name| self.coordinator.known(name));
        if state.membership.generation() != before {
            // Partitions of topics that are gone were taken without reconciling.
            state.member_states.values().for_each(|shared| shared.mark_pending());
            self.group.finish_change(&mut state, now);
        }
    }

    /// Commits positions, all of partitions that this member owns or none. The group's first commit notes since when it has
    /// positions, even if there are none.
    pub(crate) fn commit(&self, positions: &[Position], now: i64, level: Durability) -> Result<()> {
        // Held until it is in the log: else the next owner could commit before.
        let mut state = self.group.state.lock();
        let owns = |position: &Position| state.membership.owner(position.topic_partition()) == Some(&self.id);
        if !positions.iter().all(owns) {
            return Err(Error::FencedGeneration { group: self.group.name.as_ref().into() });
        }
        let record = matches!(state.since, Since::Fresh(_)).then(|| state.record());
        let (offsets, name) = (&self.coordinator.offsets, &self.group.name);
        let committed = offsets.append(name, positions, record.as_ref(), now, level)?;
        if let Since::Fresh(since) = state.since {
            state.since = Since::Noted(since);
        }
        drop(state);
        committed.wait()
    }

    /// The member polls: it is not evicted meanwhile.
    pub(crate) fn begin_poll(&self) {
        self.shared.poll_by.store(POLLS, Ordering::Relaxed);
    }

    /// The member does not poll any more, and has to do it again in time. Also called while it unwinds.
    pub(crate) fn end_poll(&self) {
        if self.shared.interval.is_some()
            && let Some(now) = self.coordinator.pace.now_unless_panicked()
        {
            self.shared.is_idle_from(now);
        }
    }

    /// Evicts members that had to poll by now, and reports those that partitions wait for.
    pub(crate) fn check_others(&self) {
        let Some(look) = self.group.next_check() else { return };
        let now = self.coordinator.pace.now();
        if now < look {
            return;
        }
        let mut state = self.group.state.lock();
        self.coordinator.evict(&self.group, &mut state, now);
        if let State { membership, rebalancing: Some((since, reported @ false)), .. } = &mut *state
            && since.after(PATIENCE).is_some_and(|until| until <= now)
        {
            let idle = membership.waited_for(&self.id);
            // If there are none, this member is the one: it reconciles now.
            (*since, *reported) = (now, !idle.is_empty());
            for member in idle {
                self.coordinator.events.emit(|| Event::MemberNotPolling {
                    group: (*self.group.name).into(),
                    member: (**member).into(),
                });
            }
        }
        self.group.schedule_check(&state, now);
    }

    /// When to look after others again, if nothing happens before.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        self.coordinator.pace.instant_of(self.group.next_check()?)
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        if !self.birth.is_of_this_process() {
            // The member lives on in the parent.
            return;
        }
        self.coordinator.leave(&self.group, &self.id);
    }
}
