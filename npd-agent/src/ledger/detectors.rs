//! Decides when a condition is known.
//!
//! For consumers, `False` means "this was checked, and the node is well". So a condition is not published
//! before all its detectors have checked. Until then, what an earlier agent has written stays. `True`
//! does not wait: one detector that sees the problem is enough.
//!
//! `Unknown` waits too: if one detector does not know, another may be about to see the problem again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{ConditionEntry, Ledger, Outcome};
use crate::problem::{ConditionStatus, Detector, Healthy};

/// The name of a detector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DetectorName {
    monitor: Arc<str>,
    detector: Arc<str>,
}

/// The state of a detector's first check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstCheck {
    /// Nothing yet.
    Awaited,
    /// It has checked.
    Done,
    /// It cannot check.
    Impossible,
}

impl Ledger {
    /// Adds a condition of the file `monitor`. It is published when all `detectors` that may find it True
    /// have checked, and also those of every other file that declares it. The healthy reason and message
    /// come from the first file that declares the type.
    pub fn declare(
        &mut self,
        monitor: &Arc<str>,
        healthy: Healthy,
        detectors: &[Detector],
        now: Timestamp,
    ) {
        let r#type = Arc::clone(&healthy.r#type);
        if self.entry(&r#type).is_none() {
            self.entries.push(ConditionEntry::new(healthy, now));
        }
        let concerned = detectors
            .iter()
            .filter(|detector| detector.conditions.contains(&r#type))
            .map(|detector| DetectorName {
                monitor: Arc::clone(monitor),
                detector: Arc::clone(&detector.name),
            });
        if let Some(entry) = self.entry(&r#type) {
            let awaited = concerned.map(|name| (name, FirstCheck::Awaited));
            entry.detectors.extend(awaited);
        }
    }

    /// Called when every condition is declared. Publishes those that wait for no detector.
    pub fn begin(&mut self, now: Timestamp) -> Vec<Outcome> {
        let hidden = self.entries.iter_mut().filter(|entry| !entry.published);
        news(hidden.map(|entry| entry.update(now, false, false)))
    }

    /// A detector has checked: what it has not claimed is not the case. This also withdraws restored claims
    /// that have its name and that it has not repeated.
    pub fn checked(&mut self, monitor: &str, detector: &str, now: Timestamp) -> Vec<Outcome> {
        let own = |claimant: &str| {
            let rest = claimant.strip_prefix(detector);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let entries = self.entries.iter_mut();
        news(entries.map(|entry| {
            let before = entry.claims.len();
            entry.claims.retain(|claim| {
                !(claim.restored && *claim.monitor == *monitor && own(&claim.claimant))
            });
            let withdrawn = entry.claims.len() < before;
            if entry.note(monitor, detector, FirstCheck::Done) || withdrawn {
                entry.update(now, false, true)
            } else {
                Outcome::default()
            }
        }))
    }

    /// A detector cannot check. The other detectors decide. A condition without others is not published.
    pub fn cannot_check(&mut self, monitor: &str, detector: &str, now: Timestamp) -> Vec<Outcome> {
        let entries = self.entries.iter_mut();
        news(entries.map(|entry| {
            if entry.note(monitor, detector, FirstCheck::Impossible) {
                entry.update(now, false, true)
            } else {
                Outcome::default()
            }
        }))
    }

    /// The types of the conditions that are not known yet, each with the detectors that it waits for.
    pub fn unseen(&self) -> impl Iterator<Item = (&Arc<str>, Vec<String>)> {
        let hidden = self.entries.iter().filter(|entry| !entry.published);
        hidden.map(|entry| {
            let detectors = entry.detectors.iter();
            let awaited = detectors.filter(|(_, check)| **check == FirstCheck::Awaited);
            let names = awaited.map(|(name, _)| format!("{}: {}", name.monitor, name.detector));
            (&entry.shown.r#type, names.collect())
        })
    }
}

impl ConditionEntry {
    fn new(healthy: Healthy, now: Timestamp) -> Self {
        Self {
            shown: healthy.condition(now),
            healthy,
            published: false,
            detectors: BTreeMap::new(),
            claims: Vec::new(),
        }
    }

    /// Returns true if this is a change. A detector that has checked stays so.
    fn note(&mut self, monitor: &str, detector: &str, now: FirstCheck) -> bool {
        let mut detectors = self.detectors.iter_mut();
        let known =
            detectors.find(|(name, _)| (&*name.monitor, &*name.detector) == (monitor, detector));
        match known {
            Some((_, check)) if *check != now && *check != FirstCheck::Done => {
                *check = now;
                true
            }
            _ => false,
        }
    }

    /// Derives the shown condition from the claims, if it is known, and returns what has changed. A
    /// condition that was published as True stays True until it is known that it is not.
    pub(super) fn update(
        &mut self,
        now: Timestamp,
        message_is_news: bool,
        withdrawn: bool,
    ) -> Outcome {
        if !self.is_known() {
            return Outcome::default();
        }
        let mut outcome = self.show(now, message_is_news, withdrawn);
        let first = !std::mem::replace(&mut self.published, true);
        if first && outcome.condition.is_none() {
            self.shown.transition = now;
            outcome.condition = Some(self.shown.clone());
        }
        outcome
    }

    fn is_known(&self) -> bool {
        let mut claims = self.claims.iter();
        if claims.any(|claim| claim.status == ConditionStatus::True) {
            return true;
        }
        let mut checks = self.detectors.values();
        // Without a detector, nothing will ever find it True.
        let seen =
            self.detectors.is_empty() || checks.clone().any(|check| *check == FirstCheck::Done);
        seen && checks.all(|check| *check != FirstCheck::Awaited)
    }
}

fn news(outcomes: impl Iterator<Item = Outcome>) -> Vec<Outcome> {
    outcomes
        .filter(|outcome| *outcome != Outcome::default())
        .collect()
}
