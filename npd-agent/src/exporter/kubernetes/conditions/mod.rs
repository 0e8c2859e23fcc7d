//! The conditions that the Node object must have, and which of them are not written yet. Pure: no clock,
//! no network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::node::{NodeCondition, NodeObject};
use crate::problem::{Condition, ConditionStatus};

/// The conditions, the newest of each type.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Every type that a monitor may report, now or later.
    declared: BTreeSet<Arc<str>>,
    current: BTreeMap<Arc<str>, Condition>,
    /// The server's conditions of declared types that were not reported yet.
    standing: BTreeMap<String, NodeCondition>,
    /// Types that npd-agent wrote last, but that this process does not report, and their last heartbeat.
    /// They are from an earlier config, or from another agent on this node that has another config.
    suspected: BTreeMap<String, Option<Timestamp>>,
    /// Types that no agent has written for some heartbeats. They must be removed.
    leftover: BTreeSet<String>,
    /// Counts the changes of what must be written.
    changed: u64,
    /// The value of `changed` that the server has.
    written: u64,
}

/// The body of a PATCH, and the changes that it contains.
#[derive(Debug)]
pub(super) struct Patch {
    /// A strategic merge of `nodes/status`.
    pub body: Value,
    changed: u64,
}

impl Conditions {
    /// No conditions yet. Monitors may report those of the `declared` types.
    pub(super) fn new(declared: BTreeSet<Arc<str>>) -> Self {
        Self {
            declared,
            ..Self::default()
        }
    }

    /// Sets a condition. Returns true if it must be written.
    pub(super) fn set(&mut self, condition: &Condition) -> bool {
        let mut condition = condition.clone();
        let known = self.current.get(&condition.r#type);
        if let Some(known) = known.filter(|known| known.continues_as(&condition)) {
            // The server's transition time, from `learn`, may be before the start of this process.
            condition.transition = known.transition;
            if *known == condition {
                return false;
            }
        }
        let standing = self.standing.remove(&*condition.r#type);
        if let Some(shown) = standing
            && known.is_none()
        {
            condition.keep_transition_of(&shown);
            if condition.is_shown_as(&shown) {
                self.current
                    .insert(Arc::clone(&condition.r#type), condition);
                return false;
            }
        }
        self.suspected.remove(&*condition.r#type);
        self.leftover.remove(&*condition.r#type);
        self.current
            .insert(Arc::clone(&condition.r#type), condition);
        self.changed += 1;
        true
    }

    /// Compares with the conditions that the server has. A condition that is there and unchanged keeps its
    /// transition time, and is not written.
    pub(super) fn learn(&mut self, node: &NodeObject) {
        let mut differs = false;
        for condition in self.current.values_mut() {
            let Some(shown) = node.condition(&condition.r#type) else {
                differs = true;
                continue;
            };
            condition.keep_transition_of(shown);
            differs |= !condition.is_shown_as(shown);
        }
        if differs {
            self.changed += 1;
        } else {
            self.written = self.changed;
        }
        let unreported = self.declared.iter();
        let unreported = unreported.filter(|r#type| !self.current.contains_key(*r#type));
        self.standing = unreported
            .filter_map(|r#type| Some((r#type.to_string(), node.condition(r#type)?.clone())))
            .collect();
        self.leftover.clear();
        self.suspected = self
            .not_reported(node)
            .map(|shown| (shown.r#type.clone(), shown.last_heartbeat_time))
            .collect();
    }

    /// Whether some types may have to be removed, see [`Self::examine`].
    pub(super) fn has_suspects(&self) -> bool {
        !self.suspected.is_empty()
    }

    /// Decides which suspected types to remove. Called some heartbeats after [`Self::learn`]: if another
    /// agent reported a type, it would have written a new heartbeat by now.
    pub(super) fn examine(&mut self, node: &NodeObject) {
        let suspected = std::mem::take(&mut self.suspected);
        let abandoned = self
            .not_reported(node)
            .filter(|shown| suspected.get(&shown.r#type) == Some(&shown.last_heartbeat_time))
            .map(|shown| shown.r#type.clone())
            .collect();
        self.leftover = abandoned;
        if !self.leftover.is_empty() {
            self.changed += 1;
        }
    }

    /// The conditions that npd-agent wrote last, and that no monitor of this process may report.
    fn not_reported<'a>(&self, node: &'a NodeObject) -> impl Iterator<Item = &'a NodeCondition> {
        node.written_by_us()
            .into_iter()
            .filter(|r#type| !self.declared.contains(&**r#type))
            .filter(|r#type| !self.current.contains_key(&**r#type))
            .filter_map(|r#type| node.condition(&r#type))
    }

    /// Whether somebody has removed a condition of this agent, or has written it since.
    pub(super) fn are_lost(&self, node: &NodeObject) -> bool {
        let written = node.written_by_us();
        self.current
            .keys()
            .any(|r#type| !written.contains(&**r#type))
    }

    /// The oldest heartbeat of the conditions that the server has.
    pub(super) fn oldest_heartbeat(&self, node: &NodeObject) -> Option<Timestamp> {
        let heartbeat = |r#type: &Arc<str>| node.condition(r#type)?.last_heartbeat_time;
        self.current.keys().map(heartbeat).min().flatten()
    }

    /// Everything must be written again, because the server may have a new Node object.
    pub(super) fn forget(&mut self) {
        self.changed += 1;
    }

    /// Whether something must be written.
    pub(super) fn is_dirty(&self) -> bool {
        self.changed != self.written
    }

    /// Whether a condition does not say that the node is well.
    pub(super) fn is_sick(&self) -> bool {
        self.current
            .values()
            .any(|condition| condition.problem() != ConditionStatus::False)
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.leftover.is_empty()
    }

    /// The patch that brings the server up to date. It contains all conditions, because that costs the
    /// server no more than one, is their heartbeat, and repairs what others have changed.
    pub(super) fn patch(&self, now: Timestamp) -> Patch {
        let current = self
            .current
            .values()
            .map(|condition| json!(condition.to_core(now)));
        let leftover = self.leftover.iter().map(|r#type| removal(r#type));
        let conditions: Vec<Value> = current.chain(leftover).collect();
        Patch {
            body: json!({ "status": { "conditions": conditions } }),
            changed: self.changed,
        }
    }

    /// The server has accepted `patch`. What has changed meanwhile must still be written.
    pub(super) fn wrote(&mut self, patch: &Patch) {
        self.written = patch.changed;
        self.leftover.clear();
    }
}

/// The part of a strategic merge patch that removes a condition.
pub(super) fn removal(r#type: &str) -> Value {
    json!({ "$patch": "delete", "type": r#type })
}

impl Condition {
    /// If the condition has not changed, uses the server's transition time.
    fn keep_transition_of(&mut self, shown: &NodeCondition) {
        let is_alias = self.healthy.is_some();
        let unchanged =
            shown.status == self.status.to_string() && (is_alias || shown.reason == *self.reason);
        if let Some(began) = shown.last_transition_time.filter(|_| unchanged) {
            self.transition = began;
        }
    }

    fn is_shown_as(&self, shown: &NodeCondition) -> bool {
        let began = shown.last_transition_time.map(Timestamp::as_second);
        shown.status == self.status.to_string()
            && shown.reason == *self.reason
            && shown.message == self.message
            && began == Some(self.transition.as_second())
    }

    fn to_core(&self, now: Timestamp) -> core::NodeCondition {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        core::NodeCondition {
            type_: self.r#type.to_string(),
            status: self.status.to_string(),
            last_heartbeat_time: Some(Time::from(now)),
            last_transition_time: Some(Time::from(self.transition)),
            reason: text(&self.reason),
            message: text(&self.message),
        }
    }
}

#[cfg(test)]
mod tests;
