//! A monitor's way out: findings to the hub, and what it says of itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::board::Board;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::problem::{Finding, Subject, SubjectKind};

/// What a monitor may tell the hub.
#[derive(Debug)]
pub enum Report {
    /// Something was seen.
    Finding(Box<Finding>),
    /// A probe now answers for these incidents and conditions: kernel text only confirms them.
    Watching {
        /// The incidents.
        kind: SubjectKind,
        /// The conditions that follow the kernel's live state.
        conditions: BTreeSet<Arc<str>>,
    },
    /// The probe is gone: kernel text reports again.
    NotWatching(SubjectKind),
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
    pub board: Board,
    reports: mpsc::Sender<Report>,
}

impl Reporter {
    /// A reporter to the hub that holds the other end of `reports`.
    pub fn new(
        node: Arc<Node>,
        metrics: Metrics,
        board: Board,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        Self {
            node,
            metrics,
            board,
            reports,
        }
    }

    /// Hands a report to the hub; waits while the hub is busy.
    pub async fn send(&self, report: Report) -> anyhow::Result<()> {
        self.reports
            .send(report)
            .await
            .context("reporting to the hub, which has stopped")
    }

    /// Reports what was seen.
    pub async fn found(&self, finding: Finding) -> anyhow::Result<()> {
        self.send(Report::Finding(Box::new(finding))).await
    }

    /// Says that a source delivers again, or for the first time.
    pub fn source_up(&self, name: &str, mandatory: bool) {
        self.metrics.source_up.with_label_values(&[name]).set(1);
        self.board.source(name, mandatory, None);
    }

    /// Says why a source does not deliver.
    pub fn source_down(&self, name: &str, mandatory: bool, reason: String) {
        self.metrics.source_up.with_label_values(&[name]).set(0);
        self.board.source(name, mandatory, Some(reason));
    }
}
