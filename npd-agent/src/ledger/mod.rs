//! The node's conditions, and the claims on them.
//!
//! Monitors *claim* that there is a problem. A condition is True while there is a claim that it is, Unknown
//! while there are only claims that it is unknown, and False without claims. The newest claim is shown.
//! The ledger is pure: no clock, no I/O.
//!
//! A condition is [published](detectors) when it is known: at once if it is True, and otherwise when all
//! its detectors have checked.

mod detectors;
mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use self::detectors::{DetectorName, FirstCheck};
pub use self::saved::SavedClaim;
use crate::go::quote::quote;
use crate::problem::{
    Advice, Condition, ConditionStatus, Event, FaultyObject, Finding, Healthy, Severity, Subject,
    Update, bounded,
};

/// How many claims a condition may have. Further claims (for example, of more hung tasks) are refused and
/// counted, until one is withdrawn.
const MAX_CLAIMS: usize = 1024;

/// The node's conditions, and who claims them.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<ConditionEntry>,
}

#[derive(Debug)]
struct ConditionEntry {
    shown: Condition,
    healthy: Healthy,
    /// Whether it is known and so shown to others.
    published: bool,
    /// The detectors that may find it True.
    detectors: BTreeMap<DetectorName, FirstCheck>,
    /// In the order in which they began.
    claims: Vec<Claim>,
}

/// One claimant's statement that a condition is True or Unknown.
#[derive(Debug, Clone)]
struct Claim {
    monitor: Arc<str>,
    claimant: String,
    subject: Option<Subject>,
    status: ConditionStatus,
    reason: Arc<str>,
    message: String,
    since: Timestamp,
    advice: Option<Advice>,
    object: Option<FaultyObject>,
    /// Whether an earlier agent made it.
    restored: bool,
}

/// The effect of a finding on a claim.
enum ClaimChange {
    /// It is there for the first time, or is withdrawn.
    News,
    /// It was there already.
    Known,
    /// There are too many.
    Refused,
}

/// The effect of a finding.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The event to report, if any.
    pub event: Option<Event>,
    /// The condition, if it has changed.
    pub condition: Option<Condition>,
    /// Whether the event is about a problem that has begun, so that metrics count it.
    pub counts: bool,
    /// Whether the claim was refused because its condition has too many.
    pub refused: bool,
}

impl Ledger {
    /// The conditions to show, in the order of their declaration.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.entries
            .iter()
            .filter(|entry| entry.published)
            .map(|entry| &entry.shown)
    }

    /// The condition of this type, if it was declared.
    pub fn condition(&self, r#type: &str) -> Option<&Condition> {
        self.entries
            .iter()
            .map(|entry| &entry.shown)
            .find(|shown| *shown.r#type == *r#type)
    }

    /// Applies a finding.
    ///
    /// A temporary problem makes an event each time. A lasting one makes an event when it changes
    /// the status or the reason of its condition; one whose condition was never declared is dropped,
    /// as NPD does.
    pub fn apply(&mut self, finding: Finding) -> Outcome {
        let Some(r#type) = &finding.problem.condition else {
            let event = temporary_event(finding);
            return Outcome {
                counts: event.is_some(),
                event,
                ..Outcome::default()
            };
        };
        let Some(index) = self.entries.iter().position(|e| e.shown.r#type == *r#type) else {
            return Outcome::default();
        };
        let entry = &mut self.entries[index];
        let message_is_news = finding.problem.message_is_news;
        let timestamp = finding.timestamp;
        let pod = finding.pod.clone();
        let withdrawn = finding.present != ConditionStatus::True;
        // The fault of one object must not hide the fault of another: its beginning is reported too.
        let another = finding.object.is_some().then(|| finding.clone());
        let claimed = entry.claim(finding);
        if matches!(claimed, ClaimChange::Refused) {
            return Outcome {
                refused: true,
                ..Outcome::default()
            };
        }
        let mut outcome = entry.update(timestamp, message_is_news, withdrawn);
        if let Some(event) = &mut outcome.event {
            event.pod = pod;
        } else if let (ClaimChange::News, false, Some(another)) = (claimed, withdrawn, another) {
            outcome.event = temporary_event(another);
            outcome.counts = true;
        }
        outcome
    }

    /// The subjects of all claims.
    pub fn subjects(&self) -> BTreeSet<Subject> {
        let claims = self.entries.iter().flat_map(|entry| &entry.claims);
        claims.filter_map(|claim| claim.subject.clone()).collect()
    }

    /// Withdraws all claims about `subject`, because the kernel shows that it is well.
    pub fn recover(&mut self, subject: &Subject, now: Timestamp) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for entry in &mut self.entries {
            let before = entry.claims.len();
            entry
                .claims
                .retain(|claim| claim.subject.as_ref() != Some(subject));
            if entry.claims.len() < before {
                outcomes.push(entry.update(now, false, true));
            }
        }
        outcomes.retain(|outcome| *outcome != Outcome::default());
        outcomes
    }

    fn entry(&mut self, r#type: &str) -> Option<&mut ConditionEntry> {
        self.entries
            .iter_mut()
            .find(|entry| *entry.shown.r#type == *r#type)
    }
}

impl ConditionEntry {
    /// Adds or withdraws a claim.
    fn claim(&mut self, finding: Finding) -> ClaimChange {
        let Finding {
            monitor,
            claimant,
            subject,
            present,
            message,
            timestamp,
            problem,
            object,
            ..
        } = finding;
        let known = self.claims.iter().position(|claim| {
            claim.monitor == monitor && claim.claimant == claimant && claim.subject == subject
        });
        if let Some(index) = known {
            let claim = &mut self.claims[index];
            let same = claim.status == present
                && claim.reason == problem.reason
                && (claim.message == message || !problem.message_is_news);
            if same {
                claim.restored = false;
                return ClaimChange::Known;
            }
            self.claims.remove(index);
        }
        if present == ConditionStatus::False {
            return ClaimChange::News;
        }
        if self.claims.len() >= MAX_CLAIMS {
            return ClaimChange::Refused;
        }
        let reason = match present {
            ConditionStatus::True => Arc::clone(&problem.reason),
            _ => Arc::clone(&self.healthy.reason),
        };
        self.claims.push(Claim {
            monitor,
            claimant,
            subject,
            status: present,
            reason,
            message: bounded(message),
            since: timestamp,
            advice: problem.advice,
            object,
            restored: false,
        });
        ClaimChange::News
    }

    /// Derives the shown condition from the claims, and returns what has changed.
    ///
    /// If the shown claim is withdrawn and an older one replaces it, the event has severity Info: the older
    /// problem was reported when it began, and must not be counted twice.
    fn show(&mut self, now: Timestamp, message_is_news: bool, withdrawn: bool) -> Outcome {
        let newest = |status| {
            self.claims
                .iter()
                .rev()
                .find(|claim| claim.status == status)
        };
        let claim = newest(ConditionStatus::True).or_else(|| newest(ConditionStatus::Unknown));
        let advice = claim.and_then(|claim| claim.advice);
        let object = claim.and_then(|claim| claim.object.clone());
        let next = match claim {
            Some(claim) => Condition {
                r#type: Arc::clone(&self.shown.r#type),
                status: claim.status,
                transition: if withdrawn { now } else { claim.since },
                reason: Arc::clone(&claim.reason),
                message: claim.message.clone(),
                healthy: None,
            },
            None => self.healthy.condition(now),
        };
        let shown = &mut self.shown;
        let same_state = next.status == shown.status && next.reason == shown.reason;
        if same_state && (next.status != ConditionStatus::True || next.message == shown.message) {
            return Outcome::default();
        }
        if same_state && !message_is_news {
            // Another subject of the same problem: NPD shows the first message while it lasts.
            if withdrawn {
                shown.message = next.message;
                return Outcome {
                    condition: Some(shown.clone()),
                    ..Outcome::default()
                };
            }
            return Outcome::default();
        }
        *shown = next;
        let begins = shown.status == ConditionStatus::True && !withdrawn;
        let event = Event {
            severity: match advice {
                Some(advice) if begins => advice.severity,
                None if begins => Severity::Warning,
                _ => Severity::Info,
            },
            timestamp: shown.transition,
            reason: Arc::clone(&shown.reason),
            message: shown.announcement(),
            action: advice.filter(|_| begins).map(|advice| advice.action),
            object,
            pod: None,
            dry_run: false,
        };
        Outcome {
            event: Some(event),
            condition: Some(shown.clone()),
            counts: begins,
            refused: false,
        }
    }
}

impl Healthy {
    fn condition(&self, now: Timestamp) -> Condition {
        Condition {
            r#type: Arc::clone(&self.r#type),
            status: ConditionStatus::False,
            transition: now,
            reason: Arc::clone(&self.reason),
            message: self.message.clone(),
            healthy: None,
        }
    }
}

impl Condition {
    /// The text of the event about a change, exactly NPD's.
    fn announcement(&self) -> String {
        let Self {
            r#type,
            status,
            reason,
            message,
            ..
        } = self;
        let message = quote(message);
        format!("Node condition {type} is now: {status}, reason: {reason}, message: {message}")
    }
}

impl Outcome {
    /// The update for exporters; `None` if nothing has changed.
    pub fn into_update(self, source: &Arc<str>) -> Option<Update> {
        let Self {
            event, condition, ..
        } = self;
        let conditions = Vec::from_iter(condition);
        (event.is_some() || !conditions.is_empty()).then(|| Update {
            number: 0,
            occurrence: None,
            source: Arc::clone(source),
            event,
            conditions,
        })
    }
}

fn temporary_event(finding: Finding) -> Option<Event> {
    (finding.present != ConditionStatus::False).then(|| Event {
        severity: finding.problem.severity(),
        timestamp: finding.timestamp,
        reason: Arc::clone(&finding.problem.reason),
        message: bounded(finding.message),
        action: finding.problem.advice.map(|advice| advice.action),
        object: finding.object,
        pod: finding.pod,
        dry_run: finding.problem.advice.is_some_and(|advice| advice.dry_run),
    })
}

#[cfg(test)]
mod tests;
