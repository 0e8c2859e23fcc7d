//! What was seen, and whether the node is well.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::monitor::Monitors;
use crate::problem::{Action, Condition, ConditionStatus, Severity};
use crate::status_page::{EventRecord, StatusModel};

/// How old an event may be whose fault is taken to last. It has no end of its own.
const RECENT: SignedDuration = SignedDuration::from_secs(60);

/// Whether the node is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ScanState {
    /// Nothing is wrong.
    Well,
    /// Something is wrong.
    Sick,
    /// Nothing is known to be wrong, but not everything was seen.
    Unknown,
}

/// What a scan has seen.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ScanVerdict {
    pub(super) node: String,
    pub(super) state: ScanState,
    /// What is wrong.
    pub(super) problems: Vec<ScanProblem>,
    /// The conditions that are False.
    pub(super) well: Vec<ScanCondition>,
    /// The conditions of which nothing is known.
    pub(super) unknown: Vec<String>,
    /// What could not be seen, and why.
    pub(super) unseen: Vec<String>,
    /// What happened since boot, and is over.
    pub(super) past: Vec<PastProblem>,
}

/// Something that is wrong.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ScanProblem {
    /// The condition, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) condition: Option<String>,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) since: Timestamp,
    /// The pod that is hit, or the object at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#where: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<Action>,
}

/// A condition that is False.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ScanCondition {
    pub(super) condition: String,
    pub(super) message: String,
}

/// Problems with one reason that are over.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PastProblem {
    pub(super) reason: String,
    pub(super) times: usize,
    pub(super) last: Timestamp,
    pub(super) message: String,
}

/// What rules suggest to do, by reason.
pub(super) type ActionByReason = BTreeMap<Arc<str>, Action>;

/// What the rules of monitors suggest.
pub(super) fn actions(monitors: &Monitors) -> ActionByReason {
    let declarations = monitors.iter().flat_map(|monitor| monitor.declarations());
    let problems = declarations.flat_map(|declaration| declaration.problems);
    problems
        .filter_map(|problem| Some((Arc::clone(&problem.reason), problem.advice?.action)))
        .collect()
}

impl ScanVerdict {
    pub(super) fn of(shown: &StatusModel, actions: &ActionByReason, began: Timestamp) -> Self {
        let mut problems = Vec::new();
        let mut well = Vec::new();
        let mut unseen = Vec::new();
        for condition in &shown.conditions {
            match condition.status {
                ConditionStatus::True => problems.push(ScanProblem::of(condition, actions)),
                ConditionStatus::False => well.push(ScanCondition {
                    condition: condition.r#type.to_string(),
                    message: condition.message.clone(),
                }),
                ConditionStatus::Unknown => {
                    unseen.push(format!("{}: {}", condition.r#type, condition.message));
                }
            }
        }
        let (recent, past) = events(shown, began);
        problems.extend(recent);
        for (name, source) in &shown.sources {
            if let (true, Some(reason)) = (source.mandatory, &source.reason) {
                unseen.push(format!("source {name}: {reason}"));
            }
        }
        for (name, monitor) in &shown.monitors {
            if let Some(error) = &monitor.last_error
                && !shown.sources.contains_key(name)
            {
                unseen.push(format!("monitor {name}: {error}"));
            }
        }
        let unknown: Vec<_> = shown.unseen.keys().map(ToString::to_string).collect();
        Self {
            node: shown.node.clone(),
            state: match (problems.is_empty(), unseen.is_empty() && unknown.is_empty()) {
                (false, _) => ScanState::Sick,
                (true, true) => ScanState::Well,
                (true, false) => ScanState::Unknown,
            },
            problems,
            well,
            unknown,
            unseen,
            past,
        }
    }
}

impl ScanProblem {
    fn of(condition: &Condition, actions: &ActionByReason) -> Self {
        Self {
            condition: Some(condition.r#type.to_string()),
            reason: condition.reason.to_string(),
            message: condition.message.clone(),
            since: condition.transition,
            r#where: None,
            action: actions.get(&condition.reason).copied(),
        }
    }
}

/// The problems that have just happened, and those that are over. An event about a condition is neither:
/// the condition says more.
fn events(shown: &StatusModel, began: Timestamp) -> (Vec<ScanProblem>, Vec<PastProblem>) {
    let mut recent = Vec::new();
    let mut past = BTreeMap::<&str, PastProblem>::new();
    for EventRecord { event, .. } in &shown.events {
        if event.severity == Severity::Info || event.message.starts_with("Node condition ") {
            continue;
        }
        if began.duration_since(event.timestamp) <= RECENT {
            let pod = event.pod.as_ref().map(|pod| match &pod.name {
                Some(name) => format!("pod {}/{}", name.namespace, name.name),
                None => format!("pod {}", pod.uid),
            });
            let object = event.object.as_ref().map(ToString::to_string);
            recent.push(ScanProblem {
                condition: None,
                reason: event.reason.to_string(),
                message: event.message.clone(),
                since: event.timestamp,
                r#where: pod.or(object),
                action: event.action,
            });
            continue;
        }
        let known = past.entry(&event.reason).or_insert_with(|| PastProblem {
            reason: event.reason.to_string(),
            times: 0,
            last: event.timestamp,
            message: String::new(),
        });
        known.times += 1;
        if event.timestamp >= known.last {
            known.last = event.timestamp;
            known.message.clone_from(&event.message);
        }
    }
    (recent, past.into_values().collect())
}
