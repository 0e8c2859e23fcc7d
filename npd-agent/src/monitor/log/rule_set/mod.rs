//! The rules of one config file, and what they have seen so far.

mod repeats;
mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::repeats::Repeats;
use super::rule::{LogRule, RuleMemory, RuleResult};
use crate::logs::matcher::Matcher;
use crate::logs::window::ReadWindow;
use crate::monitor::Declaration;
use crate::node::clock::ClockReading;
use crate::problem::{ConditionStatus, Detector, Finding, Healthy, Witness};

/// What rules remember, by their patterns.
type Memories = BTreeMap<String, RuleMemory>;

/// What rule sets remember, by the names of their files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Remembered(BTreeMap<String, Memories>);

impl Remembered {
    /// What `sets` remember.
    pub(super) fn of<'s, S: IntoIterator<Item = &'s RuleSet>>(sets: S) -> Self {
        let memories = sets
            .into_iter()
            .map(|set| (set.monitor.to_string(), set.memories()));
        Self(
            memories
                .filter(|(_, memories)| !memories.is_empty())
                .collect(),
        )
    }
}

/// The rules of one config file, and what they have seen so far.
#[derive(Debug)]
pub(super) struct RuleSet {
    /// The name of the file.
    pub(super) monitor: Arc<str>,
    /// Its `source`.
    pub(super) source: Arc<str>,
    /// Its `conditions`.
    pub(super) conditions: Vec<Healthy>,
    /// Its `rules`.
    pub(super) rules: Vec<LogRule>,
    /// The patterns of the rules, and after them those that clear: those of these rules.
    pub(super) matcher: Matcher,
    pub(super) clears: Vec<usize>,
    /// Its `lookback` and `delay`.
    pub(super) window: ReadWindow,
    /// Its `skipList`: entries that contain one of these texts are ignored.
    pub(super) skip_list: Vec<String>,
    /// Who may have written what rules for records match.
    pub(super) record_writer: RecordWriter,
    /// What was reported a moment ago.
    pub(super) repeats: Repeats,
}

/// Who may have written an entry that a rule for records matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordWriter {
    /// Only the kernel.
    Kernel,
    /// Whoever writes to the log.
    Anyone,
}

impl RuleSet {
    /// What this may report.
    pub(super) fn declaration(&self) -> Declaration {
        let types = self.conditions.iter();
        let types = types.map(|healthy| Arc::clone(&healthy.r#type));
        Declaration {
            monitor: Arc::clone(&self.monitor),
            source: Arc::clone(&self.source),
            conditions: self.conditions.clone(),
            problems: self
                .rules
                .iter()
                .map(|rule| Arc::clone(&rule.problem))
                .collect(),
            detectors: vec![Detector {
                name: Arc::from("log"),
                conditions: types.collect(),
            }],
            gauges_all: false,
        }
    }

    /// Whether an entry is ignored.
    pub(super) fn skips(&self, entry: &str) -> bool {
        self.skip_list.iter().any(|skipped| entry.contains(skipped))
    }

    /// Adds the newest entry, and returns what it completes: one finding for each rule that
    /// matches, in the order of the config, and then for each that it ends.
    pub(super) fn take(
        &mut self,
        written: ClockReading,
        text: &str,
        witness: Witness,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut faults = BTreeSet::new();
        let record = self.record_writer == RecordWriter::Anyone || witness == Witness::KernelText;
        for (index, matched) in self.matcher.push(written.wall, text, record) {
            let (index, results) = if let Some(rule) = self.rules.get_mut(index) {
                (
                    index,
                    Vec::from_iter(rule.matched(matched, written.monotonic, witness)),
                )
            } else {
                let index = self.clears[index - self.rules.len()];
                let rule = &mut self.rules[index];
                let object = rule.cleared_object(&matched.text);
                let now = written.monotonic;
                self.repeats.end(&rule.fault, object.as_ref(), now);
                (index, rule.cleared(&matched, witness))
            };
            for result in results {
                let mut finding = self.finding(index, result, witness);
                if self.is_claimed_by_another(index, &finding, written.monotonic) {
                    self.rules[index].forget(finding.subject.as_ref());
                    finding.repeated = true;
                    if finding.problem.condition.is_none() {
                        findings.push(finding);
                    }
                    continue;
                }
                let rule = &self.rules[index];
                if let Some(pause) = rule.repeat_after
                    && finding.problem.condition.is_none()
                {
                    // An entry that matches several rules about the same fault is reported once.
                    if !faults.insert(Arc::clone(&rule.fault)) {
                        continue;
                    }
                    let now = written.monotonic;
                    finding.repeated = self.repeats.is_repeated(&finding, &rule.fault, now, pause);
                }
                findings.push(finding);
            }
        }
        findings
    }

    /// Whether another rule has claimed a condition because of the same fault.
    fn is_claimed_by_another(&mut self, index: usize, finding: &Finding, now: Duration) -> bool {
        let LogRule {
            fault,
            shares_fault,
            ..
        } = &self.rules[index];
        if !shares_fault || finding.present != ConditionStatus::True {
            return false;
        }
        let fault = Arc::clone(fault);
        let severity = finding.problem.severity();
        let mut others = self.rules.iter_mut().enumerate();
        others.any(|(other, rule)| {
            other != index && rule.renew(&fault, finding.subject.as_ref(), severity, now)
        })
    }

    /// The findings that a problem is over, because no match has come for long enough.
    pub(super) fn expired(&mut self, now: ClockReading) -> Vec<Finding> {
        let mut findings = Vec::new();
        for index in 0..self.rules.len() {
            let results = self.rules[index].expired(now).into_iter();
            findings.extend(results.map(|result| self.finding(index, result, Witness::Other)));
        }
        findings
    }

    /// When [`RuleSet::expired`] may return something, by the monotonic clock.
    pub(super) fn expiry(&self) -> Option<Duration> {
        self.rules.iter().filter_map(LogRule::expiry).min()
    }

    fn finding(&self, rule: usize, result: RuleResult, witness: Witness) -> Finding {
        let LogRule {
            problem, claimant, ..
        } = &self.rules[rule];
        Finding {
            monitor: Arc::clone(&self.monitor),
            source: Arc::clone(&self.source),
            problem: Arc::clone(problem),
            present: result.present,
            timestamp: result.timestamp,
            message: result.message,
            claimant: claimant.clone(),
            subject: result.subject,
            object: result.object,
            repeated: false,
            witness,
            pod: None,
            occurrence: None,
        }
    }

    /// What the rules remember, by their patterns.
    fn memories(&self) -> Memories {
        let remembering = self.rules.iter().filter(|rule| !rule.memory.is_empty());
        remembering
            .map(|rule| (rule.pattern.clone(), rule.memory.clone()))
            .collect()
    }

    /// Restores what the rules of an earlier agent remembered.
    pub(super) fn remember(&mut self, Remembered(remembered): &Remembered) {
        for rule in &mut self.rules {
            if let Some(memories) = remembered.get(&*self.monitor)
                && let Some(memory) = memories.get(&rule.pattern)
            {
                rule.memory = memory.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests;
