//! Claims that outlive the agent, but not the boot.
//!
//! What was read from a log is not read again, so that what was concluded from it has to be kept.
//! What the kernel says is not kept: a probe asks it again.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Claim, Entry, Ledger, Outcome};
use crate::problem::{Condition, ConditionStatus, Subject, SubjectKind, Witness};

/// A claim that a condition is true, as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptClaim {
    /// The condition's type.
    pub condition: Arc<str>,
    /// The config file of who claims it.
    pub monitor: Arc<str>,
    /// The reason given.
    pub reason: Arc<str>,
    claimant: String,
    subject: Option<Subject>,
    message: String,
    since: Timestamp,
}

impl Ledger {
    /// The claims to keep, each condition's in the order of their beginning.
    pub fn kept(&self) -> impl Iterator<Item = KeptClaim> {
        self.entries.iter().flat_map(Entry::kept)
    }

    /// Takes in a claim that was made before the agent was started. Returns the condition, if that
    /// was declared; nothing about it is news.
    pub fn restore(&mut self, claim: KeptClaim) -> Option<Condition> {
        let entry = self.entry(&claim.condition)?;
        entry.claims.push(Claim {
            monitor: claim.monitor,
            claimant: claim.claimant,
            subject: claim.subject,
            status: ConditionStatus::True,
            reason: Arc::clone(&claim.reason),
            message: claim.message.clone(),
            since: claim.since,
            witness: Witness::Other,
            restored: true,
        });
        entry.published = true;
        entry.shown = Condition {
            r#type: Arc::clone(&entry.shown.r#type),
            status: ConditionStatus::True,
            transition: claim.since,
            reason: claim.reason,
            message: claim.message,
        };
        Some(entry.shown.clone())
    }

    /// A probe now watches this kind of subject and answers for these conditions: it knows better
    /// than what was claimed before the agent was started.
    pub fn supersede(
        &mut self,
        kind: SubjectKind,
        conditions: &BTreeSet<Arc<str>>,
        now: Timestamp,
    ) -> Vec<Outcome> {
        let answered = self
            .entries
            .iter_mut()
            .filter(|entry| conditions.contains(&entry.shown.r#type));
        let withdraw = |entry: &mut Entry| {
            let outdated = |claim: &Claim| {
                claim.restored && claim.subject.as_ref().map(Subject::kind) == Some(kind)
            };
            let before = entry.claims.len();
            entry.claims.retain(|claim| !outdated(claim));
            (entry.claims.len() < before).then(|| entry.show(now, false, true))
        };
        answered
            .filter_map(withdraw)
            .filter(|outcome| *outcome != Outcome::default())
            .collect()
    }
}

impl Entry {
    fn kept(&self) -> impl Iterator<Item = KeptClaim> {
        let lasting = |claim: &&Claim| {
            claim.status == ConditionStatus::True && claim.witness != Witness::Kernel
        };
        self.claims.iter().filter(lasting).map(|claim| KeptClaim {
            condition: Arc::clone(&self.shown.r#type),
            monitor: Arc::clone(&claim.monitor),
            reason: Arc::clone(&claim.reason),
            claimant: claim.claimant.clone(),
            subject: claim.subject.clone(),
            message: claim.message.clone(),
            since: claim.since,
        })
    }
}
