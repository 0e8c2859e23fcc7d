//! The node's conditions as they are to stand in the Node object, and what of that is not written
//! yet. Pure: no clock, no network.

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
    /// Types that this agent wrote once and does not report now, with the time of the last
    /// heartbeat. Another agent on this node, with another config, may be reporting them.
    suspected: BTreeMap<String, Option<Timestamp>>,
    /// Types that no agent reports any more: to be removed.
    leftover: BTreeSet<String>,
    /// Counts changes of what is to stand there.
    changed: u64,
    /// The value of `changed` that the server has.
    written: u64,
}

/// The body of a PATCH, and what it brings the server up to.
#[derive(Debug)]
pub(super) struct Patch {
    /// A strategic merge of `nodes/status`.
    pub body: Value,
    upto: u64,
}

impl Conditions {
    /// No conditions yet; those of the `declared` types may come.
    pub(super) fn new(declared: BTreeSet<Arc<str>>) -> Self {
        Self {
            declared,
            ..Self::default()
        }
    }

    /// Takes a condition in. True if that is to be written.
    pub(super) fn set(&mut self, condition: &Condition) -> bool {
        let mut condition = condition.clone();
        let known = self.current.get(&condition.r#type);
        if let Some(known) = known.filter(|known| known.same_state(&condition)) {
            // What was learned from the server may have begun before this process.
            condition.transition = condition.transition.min(known.transition);
            if *known == condition {
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

    /// Compares with what the server has: what stands there unchanged keeps its transition time and
    /// need not be written.
    pub(super) fn learn(&mut self, node: &NodeObject) {
        let mut differs = false;
        for condition in self.current.values_mut() {
            let Some(shown) = node.condition(&condition.r#type) else {
                differs = true;
                continue;
            };
            let began = shown.last_transition_time.unwrap_or(condition.transition);
            if shown.status == condition.status.to_string() && shown.reason == *condition.reason {
                condition.transition = condition.transition.min(began);
            }
            differs |= !condition.is_shown_as(shown);
        }
        if differs {
            self.changed += 1;
        } else {
            self.written = self.changed;
        }
        self.leftover.clear();
        self.suspected = self
            .not_reported(node)
            .map(|shown| (shown.r#type.clone(), shown.last_heartbeat_time))
            .collect();
    }

    /// Whether there may be something to remove.
    pub(super) fn has_suspects(&self) -> bool {
        !self.suspected.is_empty()
    }

    /// Looks again, after a time in which any agent would have written a heartbeat: what nobody
    /// has written since is to be removed.
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

    /// What this agent was the last to write, and no monitor of it may report.
    fn not_reported<'a>(&self, node: &'a NodeObject) -> impl Iterator<Item = &'a NodeCondition> {
        node.written_by_us()
            .into_iter()
            .filter(|r#type| !self.declared.contains(&**r#type))
            .filter(|r#type| !self.current.contains_key(&**r#type))
            .filter_map(|r#type| node.condition(&r#type))
    }

    /// Whether somebody has removed or taken over what this agent wrote.
    pub(super) fn are_lost(&self, node: &NodeObject) -> bool {
        let written = node.written_by_us();
        self.current
            .keys()
            .any(|r#type| !written.contains(&**r#type))
    }

    /// When the server last heard of the condition that it has not heard of for the longest time.
    pub(super) fn heard_of(&self, node: &NodeObject) -> Option<Timestamp> {
        let heard = |r#type: &Arc<str>| node.condition(r#type)?.last_heartbeat_time;
        self.current.keys().map(heard).min().flatten()
    }

    /// Everything is to be written, whatever the server has: it may be another Node object.
    pub(super) fn forget(&mut self) {
        self.changed += 1;
    }

    /// Whether the server has something else.
    pub(super) fn is_dirty(&self) -> bool {
        self.changed != self.written
    }

    /// Whether something is wrong with the node.
    pub(super) fn is_sick(&self) -> bool {
        self.current
            .values()
            .any(|condition| condition.status != ConditionStatus::False)
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.leftover.is_empty()
    }

    /// What brings the server up to date. It has all conditions: that costs the server no more than
    /// one, counts as their heartbeat, and mends what others have changed.
    pub(super) fn patch(&self, now: Timestamp) -> Patch {
        let current = self
            .current
            .values()
            .map(|condition| json!(condition.to_core(now)));
        let leftover = self.leftover.iter().map(|r#type| removal(r#type));
        let conditions: Vec<Value> = current.chain(leftover).collect();
        Patch {
            body: json!({ "status": { "conditions": conditions } }),
            upto: self.changed,
        }
    }

    /// The server has taken `patch`. What changed meanwhile is still to be written.
    pub(super) fn wrote(&mut self, patch: &Patch) {
        self.written = patch.upto;
        self.leftover.clear();
    }
}

/// Removes a condition in a strategic merge.
pub(super) fn removal(r#type: &str) -> Value {
    json!({ "$patch": "delete", "type": r#type })
}

impl Condition {
    fn same_state(&self, other: &Self) -> bool {
        self.status == other.status && self.reason == other.reason
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
