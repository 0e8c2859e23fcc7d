//! A fake machine for the tests of probes: a `/proc` in a folder, and the reports that the probe sends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use zerocopy::{Immutable, IntoBytes};

use crate::metrics::Metrics;
use crate::monitor::ebpf::counts::KernelCounts;
use crate::monitor::ebpf::probe::{Probe, ProbeContext, ProbeRecord, ProbeRule, ProbeSettings};
use crate::monitor::ebpf::program::Attached;
use crate::node::{Node, Roots};
use crate::problem::{Forever, Problem, Subject};
use crate::reporter::{Report, Reporter};
use crate::status_page::StatusPage;

/// A probe that runs on a fake machine.
pub(in crate::monitor::ebpf) struct RunningProbe {
    pub(in crate::monitor::ebpf) reporter: Reporter,
    /// The subjects about which there are claims.
    pub(in crate::monitor::ebpf) claimed: watch::Sender<BTreeSet<Subject>>,
    pub(in crate::monitor::ebpf) metrics: Metrics,
    pub(in crate::monitor::ebpf) folder: TempDir,
    pub(in crate::monitor::ebpf) records: mpsc::Sender<ProbeRecord>,
    reports: mpsc::Receiver<Report>,
    probe: JoinHandle<Forever>,
    /// What it says about its first check.
    pub(in crate::monitor::ebpf) check: CheckState,
    /// What the probe has saved for the next one.
    memories: BTreeMap<String, Value>,
    /// Must live as long as the probe.
    _attached: watch::Sender<Attached>,
}

/// Whether a probe has said that it has checked for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor::ebpf) enum CheckState {
    Awaited,
    Checked,
    CannotCheck,
}

/// A machine on which nothing runs yet.
pub(in crate::monitor::ebpf) struct FakeMachine {
    pub(in crate::monitor::ebpf) folder: TempDir,
    memories: BTreeMap<String, Value>,
}

impl FakeMachine {
    /// An empty machine.
    pub(in crate::monitor::ebpf) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            memories: BTreeMap::new(),
        }
    }

    /// Writes a file of the machine.
    pub(in crate::monitor::ebpf) fn write(&self, path: &str, content: &str) {
        write(&self.folder, path, content);
    }

    /// Starts `probe`, whose programs are attached or refused for a reason, with a temporary and a
    /// permanent rule.
    pub(in crate::monitor::ebpf) fn start(
        self,
        probe: &'static Probe,
        attached: &Result<(), String>,
    ) -> RunningProbe {
        let rules = [("Happened", None), ("Lasts", Some("Sick"))];
        let rules = rules.map(|(reason, condition)| rule(reason, condition, &[]));
        self.start_with(probe, rules.into(), attached)
    }

    /// The same with these rules.
    pub(in crate::monitor::ebpf) fn start_with(
        self,
        probe: &'static Probe,
        rules: Vec<ProbeRule>,
        attached: &Result<(), String>,
    ) -> RunningProbe {
        let root = |name: &str| self.folder.path().join(name);
        let roots = Roots {
            proc: root("proc"),
            sys: root("sys"),
            dev: root("dev"),
            run: root("run"),
            log: root("log"),
        };
        let node = Node {
            name: "node".to_owned(),
            roots,
            boot_id: String::new(),
        };
        let metrics = Metrics::new().unwrap();
        let status_page = StatusPage::new(node.name.clone(), Timestamp::UNIX_EPOCH);
        let (sender, reports) = mpsc::channel(64);
        let claimed = watch::Sender::default();
        let reporter = Reporter::new(Arc::new(node), metrics.clone(), status_page, sender)
            .with_memories(self.memories.clone())
            .with_claimed(claimed.subscribe());
        let (records, incoming) = mpsc::channel(64);
        let programs = probe.programs.iter();
        let attached = programs.map(|program| (program.name, attached.clone()));
        let (attached, seen) = watch::channel(attached.collect());
        let probe = tokio::spawn((probe.run)(ProbeContext {
            probe,
            rules,
            settings: ProbeSettings {
                hung_task_threshold: Duration::from_secs(30),
            },
            records: incoming,
            attached: seen,
            attach_now: Arc::new(Notify::new()),
            counts: probe.counts.map(|map| KernelCounts::new(None, map)),
            walk: Err("the programs are not loaded".to_owned()),
            reporter: reporter.clone(),
        }));
        RunningProbe {
            reporter,
            claimed,
            metrics,
            folder: self.folder,
            records,
            reports,
            probe,
            check: CheckState::Awaited,
            memories: self.memories,
            _attached: attached,
        }
    }
}

impl RunningProbe {
    /// The machine when the agent has ended, with what the probe has saved for the next one.
    pub(in crate::monitor::ebpf) fn end(self) -> FakeMachine {
        self.probe.abort();
        FakeMachine {
            folder: self.folder,
            memories: self.memories,
        }
    }

    /// Writes a file of the machine.
    pub(in crate::monitor::ebpf) fn write(&self, path: &str, content: &str) {
        write(&self.folder, path, content);
    }

    /// Sends a record, as a program would.
    pub(in crate::monitor::ebpf) async fn record(
        &self,
        record: &(impl IntoBytes + Immutable + Sync),
    ) {
        let bytes = Box::from(record.as_bytes());
        self.records.send(ProbeRecord(bytes)).await.unwrap();
    }

    /// The backend that the probe reports.
    pub(in crate::monitor::ebpf) fn backend(&self) -> String {
        let shown = self.reporter.status_page.read();
        shown.probes.values().next().unwrap().backend.to_string()
    }

    /// What is reported within the next `seconds`.
    pub(in crate::monitor::ebpf) async fn hear(&mut self, seconds: u64) -> Vec<String> {
        self.hear_as(seconds, reported).await
    }

    /// The same, each report printed by `reported`. What the probe saves for a restart is not among them.
    pub(in crate::monitor::ebpf) async fn hear_as(
        &mut self,
        seconds: u64,
        reported: fn(Report) -> String,
    ) -> Vec<String> {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut heard = Vec::new();
        while let Ok(report) = timeout_at(until, self.reports.recv()).await {
            match report.expect("the probe has ended") {
                Report::Remember { probe, memory } => {
                    self.memories.insert(probe.to_owned(), memory);
                }
                Report::Checked { .. } => self.check = CheckState::Checked,
                Report::CannotCheck { .. } => self.check = CheckState::CannotCheck,
                report => heard.push(reported(report)),
            }
        }
        assert!(!self.probe.is_finished());
        heard
    }
}

fn reported(report: Report) -> String {
    match report {
        Report::Finding(finding) => {
            let pod = finding.pod.and_then(|pod| pod.name);
            let pod = pod.map(|name| format!(" {}/{}", name.namespace, name.name));
            let reason = &finding.problem.reason;
            let counted = if finding.repeated { "Counted: " } else { "" };
            let pod = pod.unwrap_or_default();
            format!("{counted}{reason}{pod}: {}", finding.message)
        }
        Report::Recovered { subject, .. } => format!("Recovered: {subject}"),
        Report::Watching { probe, .. } => format!("Watching: {probe}"),
        Report::Harmless(subject) => format!("Harmless: {subject}"),
        Report::Resumed { subject, reason } => format!("Resumed: {reason}, {subject}"),
        other => format!("{other:?}"),
    }
}

fn write(folder: &TempDir, path: &str, content: &str) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A rule about these mount points, or about all if there are none.
pub(in crate::monitor::ebpf) fn rule(
    reason: &str,
    condition: Option<&str>,
    mount_points: &[&str],
) -> ProbeRule {
    ProbeRule {
        monitor: Arc::from("test"),
        source: Arc::from("ebpf-monitor"),
        claimant: String::new(),
        problem: Arc::new(Problem {
            reason: Arc::from(reason),
            condition: condition.map(Arc::from),
            message_is_news: false,
            metrics: true,
            inert: false,
            advice: None,
        }),
        comm: None,
        mount_points: mount_points.iter().map(PathBuf::from).collect(),
    }
}
