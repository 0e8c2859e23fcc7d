//! The handle through which a monitor sends findings to the hub, and reports its own state.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::metrics::Metrics;
use crate::node::Node;
use crate::problem::{ConditionStatus, Finding, Subject, Witness};
use crate::status_page::StatusPage;
use crate::threads::ThreadPool;

/// How many threads the monitors share for work that may wait. Each probe has one piece of work at a
/// time, and finds the name of one pod at a time.
const MONITOR_THREADS: usize = 16;

/// How many reports may wait for the hub before monitors wait. Unread records then stay in the kernel's
/// buffers, where losses are counted.
pub const REPORTS_QUEUED: usize = 256;

/// What a monitor sends to the hub.
#[derive(Debug)]
pub enum Report {
    /// Something was seen.
    Finding(Box<Finding>),
    /// A probe now reports its incidents and decides these conditions; kernel text only confirms them.
    Watching {
        /// Its name.
        probe: &'static str,
        /// The conditions that follow the kernel's live state.
        conditions: BTreeSet<Arc<str>>,
    },
    /// A probe of an earlier agent has reported this, and it lasts; kernel text only confirms it.
    Resumed {
        /// The thing that it is about.
        subject: Subject,
        /// The reason.
        reason: Arc<str>,
    },
    /// A probe has seen the incident behind texts about this subject, and no data is lost by it. So the
    /// texts are not reported.
    Harmless(Subject),
    /// The probe with this name is gone; kernel text is reported again.
    NotWatching(&'static str),
    /// A detector has checked for the first time: what it has not claimed is not the case.
    Checked {
        /// Its config file.
        monitor: Arc<str>,
        /// Its name there.
        detector: Arc<str>,
    },
    /// A detector cannot check. Only the others decide about its conditions.
    CannotCheck {
        /// Its config file.
        monitor: Arc<str>,
        /// Its name there.
        detector: Arc<str>,
    },
    /// What a probe saves for a restart of the agent.
    Remember {
        /// The probe's name.
        probe: &'static str,
        /// What it saves, in its own format. It replaces what the probe has saved before.
        memory: Value,
    },
    /// Everything in a source up to this position has been reported, so a checkpoint may contain it.
    Progress {
        /// The source's name.
        source: String,
        /// The position, in the source's own format.
        position: Value,
    },
    /// The kernel shows that the subject is well: all claims about it are withdrawn.
    Recovered {
        /// The source of the resulting Events.
        source: Arc<str>,
        /// What is well again.
        subject: Subject,
        /// When.
        timestamp: Timestamp,
    },
}

/// Every monitor gets one. Clones report to the same hub.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The machine, and where its /proc and /sys are.
    pub node: Arc<Node>,
    /// The metric families.
    pub metrics: Metrics,
    /// What is shown over HTTP.
    pub status_page: StatusPage,
    /// Threads for monitors that wait for the kernel or a disk now and then.
    pub threads: ThreadPool,
    /// How far each source had been read when the agent stopped.
    saved: Arc<BTreeMap<String, Value>>,
    /// What each probe has saved for a restart.
    memories: Arc<BTreeMap<String, Value>>,
    /// The subjects of all claims, from the hub.
    claimed: watch::Receiver<BTreeSet<Subject>>,
    kernel_log_is_read: watch::Sender<bool>,
    /// The probes about whose things the kernel's log has new lines.
    in_log: watch::Sender<BTreeSet<Cow<'static, str>>>,
    reports: mpsc::Sender<Report>,
}

impl Reporter {
    /// A reporter that sends to the hub at the other end of `reports`.
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
            threads: ThreadPool::new("monitor", MONITOR_THREADS),
            saved: Arc::default(),
            memories: Arc::default(),
            claimed: watch::Sender::default().subscribe(),
            kernel_log_is_read: watch::Sender::default(),
            in_log: watch::Sender::default(),
            reports,
        }
    }

    /// Sets how far each source had been read when the agent stopped.
    #[must_use]
    pub fn with_saved(self, positions: BTreeMap<String, Value>) -> Self {
        Self {
            saved: Arc::new(positions),
            ..self
        }
    }

    /// Sets what each probe has saved for a restart.
    #[must_use]
    pub fn with_memories(self, memories: BTreeMap<String, Value>) -> Self {
        Self {
            memories: Arc::new(memories),
            ..self
        }
    }

    /// Sets the subjects of all claims, from the hub.
    #[must_use]
    pub fn with_claimed(self, claimed: watch::Receiver<BTreeSet<Subject>>) -> Self {
        Self { claimed, ..self }
    }

    /// How far the source had been read when the agent stopped; `None` if that is unknown, or in an
    /// unknown format.
    pub fn saved<T: DeserializeOwned>(&self, source: &str) -> Option<T> {
        T::deserialize(self.saved.get(source)?).ok()
    }

    /// Says that everything the source held up to `position` has been reported.
    pub async fn progress(&self, source: &str, position: Value) -> anyhow::Result<()> {
        let source = source.to_owned();
        self.send(Report::Progress { source, position }).await
    }

    /// What the probe of an earlier agent has [saved](Report::Remember) in the checkpoint; `None` if
    /// nothing, or in an unknown format.
    pub fn remembered<T: DeserializeOwned>(&self, probe: &str) -> Option<T> {
        T::deserialize(self.memories.get(probe)?).ok()
    }

    /// The keys of the subjects of `probe` about which there are claims: from the probe itself, the
    /// kernel's log, or a checkpoint.
    pub fn claimed(&self, probe: &str) -> BTreeSet<String> {
        let claimed = self.claimed.borrow();
        let own = claimed.iter().filter(|subject| subject.probe == probe);
        own.map(|subject| subject.key.clone()).collect()
    }

    /// Whether anyone reads the kernel's log now.
    pub fn kernel_log_is_read(&self) -> bool {
        *self.kernel_log_is_read.borrow()
    }

    /// Says whether the kernel's log is read from now on.
    pub fn set_kernel_log_is_read(&self, is_read: bool) {
        self.kernel_log_is_read.send_replace(is_read);
    }

    /// The kernel's log has a line about this.
    pub fn seen_in_log(&self, subject: &Subject) {
        let probe = subject.probe.clone();
        self.in_log.send_if_modified(|probes| probes.insert(probe));
    }

    /// Waits until the kernel's log has a new line about something that `probe` watches.
    pub async fn in_log(&self, probe: &str) {
        let mut probes = self.in_log.subscribe();
        let has_line = |probes: &BTreeSet<Cow<'static, str>>| probes.contains(probe);
        if probes.wait_for(has_line).await.is_ok() {
            self.in_log.send_modify(|probes| {
                probes.remove(probe);
            });
        }
    }

    /// Sends a report to the hub; waits while the hub is busy.
    pub async fn send(&self, report: Report) -> anyhow::Result<()> {
        self.reports
            .send(report)
            .await
            .context("sending a report: the hub has stopped")
    }

    /// Says that a detector of the file `monitor` has checked. Saying it again does no harm.
    pub async fn checked(&self, monitor: &Arc<str>, detector: &Arc<str>) -> anyhow::Result<()> {
        let (monitor, detector) = (Arc::clone(monitor), Arc::clone(detector));
        self.send(Report::Checked { monitor, detector }).await
    }

    /// Reports what was seen, and counts it as a match of its rule if the problem is there. Every
    /// kind of monitor reports here, so every rule is counted here.
    pub async fn found(&self, finding: Finding) -> anyhow::Result<()> {
        if finding.present == ConditionStatus::True {
            let labels = [&*finding.monitor, &*finding.problem.reason];
            self.metrics.rule_matches.with_label_values(&labels).inc();
        }
        if finding.problem.inert {
            return Ok(());
        }
        if let (Some(subject), Witness::KernelText) = (&finding.subject, finding.witness) {
            self.seen_in_log(subject);
        }
        self.send(Report::Finding(Box::new(finding))).await
    }

    /// Reports that a source can be read, again or for the first time.
    pub fn source_up(&self, name: &str, mandatory: bool) {
        self.metrics.source_up.with_label_values(&[name]).set(1);
        self.status_page.source(name, mandatory, None);
    }

    /// Reports why a source cannot be read.
    pub fn source_down(&self, name: &str, mandatory: bool, reason: String) {
        self.metrics.source_up.with_label_values(&[name]).set(0);
        self.status_page.source(name, mandatory, Some(reason));
    }

    /// Reports why a source is read, but not well; `None` if it is.
    pub fn source_degraded(&self, name: &str, reason: Option<String>) {
        let gauge = self.metrics.logs.degraded.with_label_values(&[name]);
        gauge.set(i64::from(reason.is_some()));
        self.status_page.source_degraded(name, reason);
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
                    inert: false,
                    advice: None,
                }),
                present,
                timestamp: Timestamp::UNIX_EPOCH,
                message: String::new(),
                claimant: String::new(),
                subject: None,
                object: None,
                repeated: false,
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
