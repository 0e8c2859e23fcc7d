//! Claims that are saved over a restart of the agent, but not over a reboot.
//!
//! A log is not read again, so a claim from a log must be saved. A claim of a probe stays until the probe
//! has checked again: it repeats what lasts, and the rest is over.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Claim, ConditionEntry, Ledger, Outcome};
use crate::problem::{Condition, ConditionStatus, Subject};

/// A claim in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedClaim {
    /// The condition's type.
    pub condition: Arc<str>,
    /// The claimant's config file.
    pub monitor: Arc<str>,
    /// The reason.
    pub reason: Arc<str>,
    pub(super) claimant: String,
    subject: Option<Subject>,
    message: String,
    since: Timestamp,
}

impl Ledger {
    /// The claims to save. Those of one condition are in the order in which they began.
    pub fn saved(&self) -> impl Iterator<Item = SavedClaim> {
        self.entries.iter().flat_map(ConditionEntry::saved)
    }

    /// Restores a claim of an earlier agent. Returns the condition, if it was declared. This reports no
    /// event.
    pub fn restore(&mut self, claim: SavedClaim) -> Option<Condition> {
        let entry = self.entry(&claim.condition)?;
        entry.claims.push(Claim {
            monitor: claim.monitor,
            claimant: claim.claimant,
            subject: claim.subject,
            status: ConditionStatus::True,
            reason: claim.reason,
            message: claim.message,
            since: claim.since,
            advice: None,
            object: None,
            restored: true,
        });
        entry.published = true;
        // Claims are restored in any order. In the order in which they began, they show the same
        // condition as before.
        entry.claims.sort_by_key(|claim| claim.since);
        let mut claims = entry.claims.iter();
        let first = claims.next()?;
        let shown = claims.fold(first, |shown, next| {
            let same = shown.reason == next.reason;
            if same { shown } else { next }
        });
        entry.shown = Condition {
            r#type: Arc::clone(&entry.shown.r#type),
            status: ConditionStatus::True,
            transition: shown.since,
            reason: Arc::clone(&shown.reason),
            message: shown.message.clone(),
            healthy: None,
        };
        Some(entry.shown.clone())
    }

    /// `probe` now watches and answers for these conditions: it knows better
    /// than what was claimed before the agent was started, and what it has not repeated is over.
    pub fn supersede(
        &mut self,
        probe: &str,
        conditions: &BTreeSet<Arc<str>>,
        now: Timestamp,
    ) -> Vec<Outcome> {
        let answered = self
            .entries
            .iter_mut()
            .filter(|entry| conditions.contains(&entry.shown.r#type));
        let withdraw = |entry: &mut ConditionEntry| {
            let outdated = |claim: &Claim| {
                let subject = claim.subject.as_ref();
                claim.restored && subject.is_some_and(|subject| subject.probe == probe)
            };
            let before = entry.claims.len();
            entry.claims.retain(|claim| !outdated(claim));
            (entry.claims.len() < before).then(|| entry.update(now, false, true))
        };
        answered
            .filter_map(withdraw)
            .filter(|outcome| *outcome != Outcome::default())
            .collect()
    }
}

impl ConditionEntry {
    fn saved(&self) -> impl Iterator<Item = SavedClaim> {
        let lasting = |claim: &&Claim| claim.status == ConditionStatus::True;
        self.claims.iter().filter(lasting).map(|claim| SavedClaim {
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
