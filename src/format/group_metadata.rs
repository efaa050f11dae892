//! Groups of the classic protocol: the values of the records in `__consumer_offsets` that say who is in a group.
//!
//! Versions 0 to 4 are read. Version 3 is written, as brokers do.

use super::Malformed;
use super::schema::{self, Values};
use super::wire::{push_bytes, push_count, push_i16, push_i32, push_i64, push_nullable_str, push_str};

/// A group, as it is after a rebalance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GroupMetadata {
    /// `consumer`; empty for a group that only ever committed.
    pub(crate) protocol_type: String,
    pub(crate) generation: i32,
    /// The assignor.
    pub(crate) protocol: Option<String>,
    /// Id of the member that assigns.
    pub(crate) leader: Option<String>,
    /// When the group came into the state it is in, in milliseconds since 1970.
    pub(crate) state_since: Option<i64>,
    pub(crate) members: Vec<GroupMember>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GroupMember {
    pub(crate) id: String,
    /// Of a static member.
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    /// As in `/127.0.0.1`.
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// Bytes of a subscription, see `consumer_protocol`, if the group's protocol type is `consumer`.
    pub(crate) subscription: Vec<u8>,
    /// Bytes of an assignment, if the group's protocol type is `consumer`.
    pub(crate) assignment: Vec<u8>,
}

/// What is before [`GroupMetadata::since`].
const SINCE: &str = "stratalog-since-";

const WRITTEN: i16 = 3;

impl GroupMetadata {
    /// Reads any known version. `None`: a newer one.
    pub(crate) fn decode(value: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(fields) = schema::group_metadata(value)? else { return Ok(None) };
        Ok(Some(Self {
            protocol_type: fields.the_text("protocolType")?.to_owned(),
            generation: fields.the_int("generation")?,
            protocol: fields.text("protocol")?.map(str::to_owned),
            leader: fields.text("leader")?.map(str::to_owned),
            state_since: fields.int("currentStateTimestamp")?.filter(|since| *since >= 0),
            members: fields
                .the_list("members")?
                .structs()
                .map(|member| GroupMember::of(&member?))
                .collect::<Result<_, _>>()?,
        }))
    }

    /// Since when the group has positions, if that is noted: an offset in the metadata log, after the records of all partitions
    /// that were there. It is in the field of the assignor, which a group without members does not need: brokers read the
    /// record, choose an assignor when members come, and forget this.
    pub(crate) fn since(&self) -> Option<u64> {
        let protocol = self.protocol.as_deref().filter(|_| self.members.is_empty())?;
        protocol.strip_prefix(SINCE)?.parse().ok()
    }

    /// The same group, with this noted.
    pub(crate) fn with_since(self, since: u64) -> Self {
        Self { protocol: Some(format!("{SINCE}{since}")), ..self }
    }

    /// Appends the value in version 3. On an error, a text that is too long, `to` is as before.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        let start = to.len();
        let outcome = self.push(to);
        if outcome.is_err() {
            to.truncate(start);
        }
        outcome
    }

    fn push(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        push_i16(WRITTEN, to);
        push_str(&self.protocol_type, to)?;
        push_i32(self.generation, to);
        push_nullable_str(self.protocol.as_deref(), to)?;
        push_nullable_str(self.leader.as_deref(), to)?;
        push_i64(self.state_since.unwrap_or(-1), to);
        push_count(self.members.len(), to);
        self.members.iter().try_for_each(|member| member.push(to))
    }
}

impl GroupMember {
    fn of(fields: &Values<'_>) -> Result<Self, Malformed> {
        let session_timeout_ms = fields.the_int("sessionTimeout")?;
        Ok(Self {
            id: fields.the_text("memberId")?.to_owned(),
            instance_id: fields.text("groupInstanceId")?.map(str::to_owned),
            client_id: fields.the_text("clientId")?.to_owned(),
            client_host: fields.the_text("clientHost")?.to_owned(),
            // Before there were two timeouts, the one meant both.
            rebalance_timeout_ms: fields.int("rebalanceTimeout")?.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: fields.bytes("subscription")?.unwrap_or_default().to_vec(),
            assignment: fields.bytes("assignment")?.unwrap_or_default().to_vec(),
        })
    }

    fn push(&self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        push_str(&self.id, to)?;
        push_nullable_str(self.instance_id.as_deref(), to)?;
        push_str(&self.client_id, to)?;
        push_str(&self.client_host, to)?;
        push_i32(self.rebalance_timeout_ms, to);
        push_i32(self.session_timeout_ms, to);
        push_bytes(&self.subscription, to);
        push_bytes(&self.assignment, to);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
