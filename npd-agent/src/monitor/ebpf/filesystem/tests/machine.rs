//! A made-up machine: a /proc and a /sys in a folder, and the probe.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use npd_ebpf::Header;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use zerocopy::IntoBytes as _;

use super::super::*;
use crate::board::Board;
use crate::metrics::Metrics;
use crate::monitor::ebpf::probe::{Attached, Rule, Settings};
use crate::node::{Node, Roots};
use crate::problem::{Problem, Subject};
use crate::reporter::{Report, Reporter};

static FILESYSTEM: Probe = PROBE;

/// A machine whose mount table the test writes.
pub(super) struct Machine {
    board: Board,
    pub(super) folder: TempDir,
    pub(super) records: mpsc::Sender<Record>,
    reports: mpsc::Receiver<Report>,
    pub(super) metrics: Metrics,
    probe: JoinHandle<Forever>,
    /// What the probe has left for the next one.
    kept: BTreeMap<String, Value>,
    /// Neither may be dropped while the probe runs.
    _attached: watch::Sender<Attached>,
}

impl Machine {
    /// Starts the probe on a machine with this mount table; `/var` matters to it.
    pub(super) fn start(mounts: &str) -> Self {
        Self::boot(mounts, &Ok(()))
    }

    /// The same without kernel programs.
    pub(super) fn start_blind(mounts: &str) -> Self {
        Self::boot(mounts, &Err("no BPF".to_owned()))
    }

    fn boot(mounts: &str, attached: &Result<(), String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "proc/1/mountinfo", mounts);
        for minor in 0..2 {
            let link = folder.path().join(format!("sys/dev/block/7:{minor}"));
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(format!("../../devices/virtual/block/loop{minor}"), link).unwrap();
        }
        Self::run(folder, attached, BTreeMap::new())
    }

    /// Another agent's probe on the same machine, with what this one has left it.
    pub(super) fn restart(self) -> Self {
        self.probe.abort();
        Self::run(self.folder, &Ok(()), self.kept)
    }

    /// The same, without programs in the kernel.
    pub(super) fn restart_blind(self) -> Self {
        self.probe.abort();
        Self::run(self.folder, &Err("no BPF".to_owned()), self.kept)
    }

    fn run(folder: TempDir, attached: &Result<(), String>, kept: BTreeMap<String, Value>) -> Self {
        let root = |name: &str| folder.path().join(name);
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
        let board = Board::new(node.name.clone(), Timestamp::UNIX_EPOCH);
        let (sender, reports) = mpsc::channel(64);
        let reporter = Reporter::new(Arc::new(node), metrics.clone(), board.clone(), sender)
            .with_saved(kept.clone());
        let (records, incoming) = mpsc::channel(64);
        let programs = PROBE.programs.iter();
        let attached = programs.map(|program| (program.name, attached.clone()));
        let (attached, seen) = watch::channel(attached.collect::<BTreeMap<_, _>>());
        let probe = tokio::spawn((PROBE.run)(Watch {
            kernel: None,
            probe: &FILESYSTEM,
            rules: vec![
                rule("FilesystemError", None, &[]),
                rule(
                    "FilesystemIsReadOnly",
                    Some("ReadonlyFilesystem"),
                    &["/var/"],
                ),
            ],
            settings: Settings {
                hung_task_threshold: Duration::ZERO,
            },
            records: incoming,
            attached: seen,
            attach_now: Arc::new(Notify::new()),
            reporter,
        }));
        Self {
            folder,
            board,
            records,
            reports,
            metrics,
            probe,
            kept,
            _attached: attached,
        }
    }

    pub(super) fn mounts(&self, mounts: &str) {
        write(self.folder.path(), "proc/1/mountinfo", mounts);
    }

    /// Someone claims that the file system is unwell: the kernel's log, or a checkpoint.
    pub(super) fn claimed(&self, name: &str) {
        let subject = Subject::Filesystem(name.to_owned());
        self.board.update(|shown| {
            shown.unwell.insert(subject);
        });
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        write(self.folder.path(), path, content);
    }

    /// Makes sysfs's folder of a superblock anew, as a mount does.
    pub(super) fn superblock(&self, path: &str) {
        let path = self.folder.path().join("sys/fs").join(path);
        let next = path.with_extension("next");
        fs::create_dir_all(&next).unwrap();
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::rename(&next, &path).unwrap();
    }

    pub(super) async fn record(&self, id: u32, minor: u32, function: &str) {
        let mut record = FilesystemRecord {
            header: Header {
                id,
                reserved: 0,
                time: 0,
            },
            device: 7 << 20 | minor,
            line: 12,
            flags: 4,
            name: [0; 32],
            function: [0; 64],
        };
        record.function[..function.len()].copy_from_slice(function.as_bytes());
        let bytes = Box::from(record.as_bytes());
        self.records.send(Record(bytes)).await.unwrap();
    }

    /// Compares what is reported within the next `seconds`.
    pub(super) async fn check(&mut self, seconds: u64, expect: &[&str]) {
        assert_eq!(self.hear(seconds).await, expect);
    }

    /// What is reported within the next `seconds`.
    pub(super) async fn hear(&mut self, seconds: u64) -> Vec<String> {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut heard = Vec::new();
        while let Ok(report) = tokio::time::timeout_at(until, self.reports.recv()).await {
            heard.push(match report.expect("the probe has ended") {
                Report::Finding(finding) => {
                    let kind = match &finding.problem.condition {
                        Some(_) => "Condition",
                        None => "Event",
                    };
                    let pod = finding.pod.map(|pod| match pod.name {
                        Some(name) => format!(" of pod {}/{}", name.namespace, name.name),
                        None => format!(" of pod {}", pod.uid),
                    });
                    format!("{kind}{}: {}", pod.unwrap_or_default(), finding.message)
                }
                Report::Recovered { subject, .. } => format!("Recovered: {subject:?}"),
                Report::Watching { conditions, .. } => format!("Watching: {conditions:?}"),
                Report::NotWatching(_) => "Not watching".to_owned(),
                Report::Resumed { subject, reason } => format!("Resumed: {reason}, {subject:?}"),
                Report::Reached { source, place } => {
                    self.kept.insert(source, place);
                    continue;
                }
            });
        }
        assert!(!self.probe.is_finished());
        heard
    }
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn rule(reason: &str, condition: Option<&str>, mount_points: &[&str]) -> Rule {
    Rule {
        monitor: Arc::from("test"),
        source: Arc::from("ebpf-monitor"),
        claimant: String::new(),
        problem: Arc::new(Problem {
            reason: Arc::from(reason),
            condition: condition.map(Arc::from),
            message_is_news: false,
            metrics: true,
        }),
        comm: None,
        mount_points: mount_points.iter().map(PathBuf::from).collect(),
    }
}
