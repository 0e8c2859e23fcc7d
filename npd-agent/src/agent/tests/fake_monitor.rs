//! Monitors whose detectors find what a test says, when it says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::monitor::{Declaration, Monitor, Task};
use crate::problem::{ConditionStatus, Finding, Forever, Healthy, Problem, Witness};
use crate::reporter::Reporter;

/// A config file, and what its detectors will find.
#[derive(Clone, Debug)]
pub(super) struct FakeFile {
    pub(super) name: String,
    /// Whether it continues where it stopped, as a log monitor does. After a start with a checkpoint,
    /// it does not find again what it found before.
    pub(super) is_log: bool,
    pub(super) detectors: Vec<FakeDetector>,
    /// After how long its monitor fails, once.
    pub(super) fails_after: Option<Duration>,
}

/// A detector, one rule.
#[derive(Clone, Debug)]
pub(super) struct FakeDetector {
    pub(super) condition: Arc<str>,
    /// The state of the condition, as this detector sees it.
    pub(super) status: ConditionStatus,
    /// How long its first check takes; `None` for ever.
    pub(super) delay: Option<Duration>,
}

/// The monitor of a [`FakeFile`].
pub(super) struct FakeMonitor {
    file: FakeFile,
    failed: bool,
}

/// How often a detector checks.
const INTERVAL: Duration = Duration::from_secs(30);

impl FakeMonitor {
    pub(super) fn new(file: FakeFile) -> Self {
        let failed = false;
        Self { file, failed }
    }

    async fn watch(&mut self, reporter: &Reporter) -> Forever {
        let started = Instant::now();
        let fails = self.file.fails_after.filter(|_| !self.failed);
        self.failed |= fails.is_some();
        // The rules that have found their problem, and do not find it again.
        let mut found: BTreeSet<usize> = reporter.saved(&self.file.name).unwrap_or_default();
        let mut due: Vec<_> = self.file.detectors.iter().enumerate().collect();
        due.retain(|(_, detector)| detector.delay.is_some());
        due.sort_by_key(|(_, detector)| detector.delay);
        let mut round = 0;
        loop {
            for (index, detector) in &due {
                let when = started + INTERVAL * round + detector.delay.unwrap_or_default();
                if let Some(fails) = fails.filter(|fails| started + *fails < when) {
                    sleep_until(started + fails).await;
                    bail!("as it was told");
                }
                sleep_until(when).await;
                if !self.file.is_log {
                    reporter.found(self.finding(*index)).await?;
                } else if detector.status == ConditionStatus::True && found.insert(*index) {
                    reporter.found(self.finding(*index)).await?;
                    let position = serde_json::to_value(&found)?;
                    reporter.progress(&self.file.name, position).await?;
                }
                reporter
                    .checked(&self.file.monitor(), &rule(*index))
                    .await?;
            }
            round += 1;
            if due.is_empty() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn finding(&self, index: usize) -> Finding {
        let detector = &self.file.detectors[index];
        Finding {
            monitor: self.file.monitor(),
            source: self.file.monitor(),
            problem: self.file.problem(index),
            present: detector.status,
            timestamp: Timestamp::now(),
            message: reason(&self.file.name, index),
            claimant: if self.file.is_log {
                String::new()
            } else {
                rule(index).to_string()
            },
            subject: None,
            object: None,
            repeated: false,
            witness: Witness::Other,
            pod: None,
            occurrence: None,
        }
    }
}

impl FakeFile {
    fn monitor(&self) -> Arc<str> {
        Arc::from(&*self.name)
    }

    fn problem(&self, index: usize) -> Arc<Problem> {
        Arc::new(Problem {
            reason: Arc::from(reason(&self.name, index)),
            condition: Some(Arc::clone(&self.detectors[index].condition)),
            message_is_news: false,
            metrics: true,
            inert: false,
            advice: None,
        })
    }

    /// What it declares, as if nothing were known.
    pub(super) fn declaration(&self) -> Declaration {
        let healthy = |detector: &FakeDetector| healthy(&detector.condition);
        let conditions: Vec<_> = self.detectors.iter().map(healthy).collect();
        let rules = self.detectors.iter().enumerate();
        let rules =
            rules.map(|(index, rule_of)| (rule(index), Some(Arc::clone(&rule_of.condition))));
        Declaration {
            monitor: self.monitor(),
            source: self.monitor(),
            detectors: Declaration::detectors(&conditions, rules),
            conditions,
            problems: (0..self.detectors.len())
                .map(|index| self.problem(index))
                .collect(),
            gauges_all: !self.is_log,
        }
    }
}

pub(super) fn healthy(r#type: &Arc<str>) -> Healthy {
    Healthy {
        r#type: Arc::clone(r#type),
        reason: Arc::from("AllWell"),
        message: "all is well".to_owned(),
    }
}

/// The reason that a rule gives.
pub(super) fn reason(file: &str, index: usize) -> String {
    format!("{file}Rule{index}")
}

fn rule(index: usize) -> Arc<str> {
    Arc::from(format!("rules[{index}]"))
}

impl Monitor for FakeMonitor {
    fn name(&self) -> &str {
        &self.file.name
    }

    fn declarations(&self) -> Vec<Declaration> {
        vec![self.file.declaration()]
    }

    fn run<'a>(&'a mut self, reporter: &'a Reporter) -> Task<'a> {
        Box::pin(self.watch(reporter))
    }
}
