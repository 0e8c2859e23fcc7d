//! The parts of the Node object that the exporter reads.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Our name in `metadata.managedFields`, which shows the conditions that we wrote.
pub(super) const FIELD_MANAGER: &str = "npd-agent";

/// The Node object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeObject {
    /// `metadata`.
    pub metadata: Metadata,
    pub(super) status: NodeStatusRead,
}

/// `metadata` of any object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    /// Changes when the object is deleted and created again.
    pub uid: String,
    managed_fields: Vec<ManagedFields>,
}

/// The fields that one manager owns, because it was the last to write them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ManagedFields {
    manager: String,
    fields_v1: OwnedFields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OwnedFields {
    #[serde(rename = "f:status")]
    status: OwnedStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OwnedStatus {
    #[serde(rename = "f:conditions")]
    conditions: BTreeMap<String, OwnedCondition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OwnedCondition {
    #[serde(rename = "f:lastHeartbeatTime")]
    heartbeat: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatusRead {
    pub(super) conditions: Vec<NodeCondition>,
}

/// A condition, as the API server shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeCondition {
    /// Its type.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When it was last written.
    pub last_heartbeat_time: Option<Timestamp>,
    /// Since when it has its status.
    pub last_transition_time: Option<Timestamp>,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl NodeObject {
    /// The condition of this type.
    pub(super) fn condition(&self, r#type: &str) -> Option<&NodeCondition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.r#type == r#type)
    }

    /// The types of the conditions that npd-agent was the last to write: it owns their `lastHeartbeatTime`,
    /// because the server makes the last writer of a field its owner. Needs only `metadata`.
    pub(super) fn written_by_us(&self) -> BTreeSet<String> {
        self.metadata
            .managed_fields
            .iter()
            .filter(|owned| owned.manager == FIELD_MANAGER)
            .flat_map(|owned| &owned.fields_v1.status.conditions)
            .filter(|(_, fields)| fields.heartbeat.is_some())
            .filter_map(|(key, _)| condition_type(key))
            .collect()
    }
}

/// The type in a key such as `k:{"type":"KernelDeadlock"}`.
fn condition_type(key: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Key {
        r#type: String,
    }
    let key: Key = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
    Some(key.r#type)
}
