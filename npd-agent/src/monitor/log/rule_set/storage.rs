//! Conditions about the node's storage: they depend on what is mounted.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::RuleSet;
use crate::kernel_text;
use crate::monitor::log::node_storage::NodeStorage;
use crate::node::clock::ClockReading;
use crate::problem::{ConditionStatus, Finding, Problem, Witness};

impl RuleSet {
    /// The paths that rules with `mountPoints` name.
    pub(in crate::monitor::log) fn storage_paths(&self) -> BTreeSet<PathBuf> {
        let paths = self.rules.iter().flat_map(|rule| &rule.mount_points);
        paths.cloned().collect()
    }

    /// Whether a claim ends when a device is unmounted.
    pub(in crate::monitor::log) fn claims_storage(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.claimed_devices().next().is_some())
    }

    /// Whether a finding sets a condition only if a device is the node's.
    pub(in crate::monitor::log) fn is_about_storage(&self, finding: &Finding) -> bool {
        self.storage_rule(finding).is_some()
    }

    /// A finding about a device that is not the node's is an event, and sets no condition.
    pub(in crate::monitor::log) fn placed(
        &mut self,
        finding: Finding,
        storage: &NodeStorage,
        now: ClockReading,
    ) -> Finding {
        let Some(index) = self.storage_rule(&finding) else {
            return finding;
        };
        let rule = &mut self.rules[index];
        let device = finding.object.as_ref().map(|object| &*object.name);
        // A text about an XFS is not about a disk with an ext4.
        let types = kernel_text::fs_types(&finding.message);
        if device.is_none_or(|device| storage.has(device, &rule.mount_points, types)) {
            return finding;
        }
        rule.forget(finding.subject.as_ref());
        let problem = Problem {
            condition: None,
            ..(*finding.problem).clone()
        };
        let pause = rule.repeat_after.unwrap_or_default();
        let event = Finding {
            problem: Arc::new(problem),
            ..finding
        };
        let fault = Arc::clone(&rule.fault);
        let repeated = self
            .repeats
            .is_repeated(&event, &fault, now.monotonic, pause);
        Finding { repeated, ..event }
    }

    /// The findings that a problem is over, because its device is not the node's any more.
    pub(in crate::monitor::log) fn unmounted(
        &mut self,
        storage: &NodeStorage,
        now: ClockReading,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for index in 0..self.rules.len() {
            let results = self.rules[index].unmounted(storage, now.wall).into_iter();
            findings.extend(results.map(|result| self.finding(index, result, Witness::Other)));
        }
        findings
    }

    fn storage_rule(&self, finding: &Finding) -> Option<usize> {
        if finding.present != ConditionStatus::True || finding.problem.condition.is_none() {
            return None;
        }
        let mut rules = self.rules.iter();
        rules.position(|rule| rule.claimant == finding.claimant && !rule.mount_points.is_empty())
    }
}
