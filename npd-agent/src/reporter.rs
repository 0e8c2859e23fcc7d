//! A monitor's way out: findings to the hub, and what it says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::metrics::Metrics;
use crate::node::Node;
use crate::problem::{ConditionStatus, Finding, Subject};
use crate::status_page::StatusPage;

/// What a monitor may tell the hub.
#[derive(Debug)]
pub enum Report {
    /// Something was seen.
    Finding(Box<Finding>),
    /// A probe now answers for its incidents and these conditions: kernel text only confirms them.
    Watching {
        /// Its name.
        probe: &'static str,
        /// The conditions that follow the kernel's live state.
        conditions: BTreeSet<Arc<str>>,
    },
    /// A probe reported this before the agent was started, and it lasts: kernel text only confirms it.
    Resumed {
        /// What it is about.
        subject: Subject,
        /// For which reason.
        reason: Arc<str>,
    },
    /// The probe of this name is gone: kernel text reports again.
    NotWatching(&'static str),
    /// Everything that a source held up to this place has been reported: a checkpoint may say so.
    Progress {
        /// The source's name.
        source: String,
        /// The place, in the source's own terms.
        place: Value,
    },
    /// The kernel says that the subject is well: every claim about it is withdrawn.
    Recovered {
        /// Who noticed; the source of the resulting Events.
        source: Arc<str>,
        /// What is well again.
        subject: Subject,
        /// When.
        timestamp: Timestamp,
    },
}

/// Given to every monitor. Clones report to the same hub.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The machine, and where its /proc and /sys are.
    pub node: Arc<Node>,
    /// The metric families.
    pub metrics: Metrics,
    /// What is shown over HTTP.
    pub status_page: StatusPage,
    /// How far each source had been read when the agent stopped.
    saved: Arc<BTreeMap<String, Value>>,
    reports: mpsc::Sender<Report>,
}

impl Reporter {
    /// A reporter to the hub that holds the other end of `reports`.
    pub fn new(
        node: Arc<Node>,
        metrics: Metrics,
        status_page: StatusPage,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        Self {
            node,
            metrics,
            status_page,
            saved: Arc::default(),
            reports,
        }
    }

    /// Knows how far each source had been read when the agent stopped.
    #[must_use]
    pub fn with_saved(self, places: BTreeMap<String, Value>) -> Self {
        Self {
            saved: Arc::new(places),
            ..self
        }
    }

    /// How far the source had been read when the agent stopped; `None` if that is not known, or not
    /// in terms that are understood.
    pub fn saved<T: DeserializeOwned>(&self, source: &str) -> Option<T> {
        T::deserialize(self.saved.get(source)?).ok()
    }

    /// Says that everything the source held up to `place` has been reported.
    pub async fn progress(&self, source: &str, place: Value) -> anyhow::Result<()> {
        let source = source.to_owned();
        self.send(Report::Progress { source, place }).await
    }

    /// Hands a report to the hub; waits while the hub is busy.
    pub async fn send(&self, report: Report) -> anyhow::Result<()> {
        self.reports
            .send(report)
            .await
            .context("reporting to the hub, which has stopped")
    }

    /// Reports what was seen, and counts it as a match of its rule if the problem is there. Every
    /// kind of monitor reports here, so every rule is counted here.
    pub async fn found(&self, finding: Finding) -> anyhow::Result<()> {
        if finding.present == ConditionStatus::True {
            let labels = [&*finding.monitor, &*finding.problem.reason];
            self.metrics.rule_matches.with_label_values(&labels).inc();
        }
        self.send(Report::Finding(Box::new(finding))).await
    }

    /// Says that a source delivers again, or for the first time.
    pub fn source_up(&self, name: &str, mandatory: bool) {
        self.metrics.source_up.with_label_values(&[name]).set(1);
        self.status_page.source(name, mandatory, None);
    }

    /// Says why a source does not deliver.
    pub fn source_down(&self, name: &str, mandatory: bool, reason: String) {
        self.metrics.source_up.with_label_values(&[name]).set(0);
        self.status_page.source(name, mandatory, Some(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Roots;
    use crate::problem::{Problem, Witness};

    #[tokio::test]
    async fn every_kind_of_monitor_has_its_matches_counted() {
        let (sender, mut reports) = mpsc::channel(8);
        let metrics = Metrics::new().unwrap();
        let node = Arc::new(Node {
            name: "n1".to_owned(),
            boot_id: String::new(),
            roots: Roots::from_env(|_| None),
        });
        let page = StatusPage::new("n1".to_owned(), Timestamp::UNIX_EPOCH);
        let reporter = Reporter::new(node, metrics.clone(), page, sender);
        for present in [
            ConditionStatus::True,
            ConditionStatus::False,
            ConditionStatus::Unknown,
            ConditionStatus::True,
        ] {
            let finding = Finding {
                monitor: Arc::from("plugin.json"),
                source: Arc::from("doctor"),
                problem: Arc::new(Problem {
                    reason: Arc::from("Sick"),
                    condition: None,
                    message_is_news: false,
                    metrics: true,
                }),
                present,
                timestamp: Timestamp::UNIX_EPOCH,
                message: String::new(),
                claimant: String::new(),
                subject: None,
                witness: Witness::Other,
                pod: None,
                occurrence: None,
            };
            reporter.found(finding).await.unwrap();
            assert!(matches!(reports.recv().await, Some(Report::Finding(_))));
        }
        let labels = ["plugin.json", "Sick"];
        assert_eq!(metrics.rule_matches.with_label_values(&labels).get(), 2);
    }
}
