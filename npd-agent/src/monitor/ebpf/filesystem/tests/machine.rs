//! A fake machine: a /proc and a /sys in a folder, and the probe.

use std::fs;
use std::os::unix::fs::symlink;

use npd_ebpf::Header;

use super::super::*;
use crate::monitor::ebpf::tests::running_probe::{FakeMachine, RunningProbe, rule};
use crate::problem::Subject;
use crate::reporter::Report;

static FILESYSTEM: Probe = PROBE;

/// The paths that matter.
const IMPORTANT: &[&str] = &["/var/"];

/// A machine whose mount table the test writes.
pub(super) struct Machine {
    pub(super) probe: RunningProbe,
}

impl Machine {
    /// Starts the probe on a machine with this mount table; `/var` matters to it.
    pub(super) fn start(mounts: &str) -> Self {
        Self::start_for(mounts, IMPORTANT)
    }

    /// The same, where these paths matter.
    pub(super) fn start_for(mounts: &str, important: &[&str]) -> Self {
        Self::boot(mounts, important, &Ok(()))
    }

    /// The same without kernel programs.
    pub(super) fn start_without_programs(mounts: &str) -> Self {
        Self::boot(mounts, IMPORTANT, &Err("no BPF".to_owned()))
    }

    fn boot(mounts: &str, important: &[&str], attached: &Result<(), String>) -> Self {
        let machine = FakeMachine::new();
        machine.write("proc/1/mountinfo", mounts);
        for minor in 0..2 {
            let link = machine
                .folder
                .path()
                .join(format!("sys/dev/block/7:{minor}"));
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(format!("../../devices/virtual/block/loop{minor}"), link).unwrap();
        }
        Self::run(machine, important, attached)
    }

    /// The probe of a restarted agent on the same machine, with what this one has saved.
    pub(super) fn restart(self) -> Self {
        Self::run(self.probe.end(), IMPORTANT, &Ok(()))
    }

    /// The same, without programs in the kernel.
    pub(super) fn restart_without_programs(self) -> Self {
        Self::run(self.probe.end(), IMPORTANT, &Err("no BPF".to_owned()))
    }

    fn run(machine: FakeMachine, important: &[&str], attached: &Result<(), String>) -> Self {
        let rules = vec![
            rule("FilesystemError", None, &[]),
            rule(
                "FilesystemIsReadOnly",
                Some("ReadonlyFilesystem"),
                important,
            ),
        ];
        Self {
            probe: machine.start_with(&FILESYSTEM, rules, attached),
        }
    }

    pub(super) fn mounts(&self, mounts: &str) {
        self.write("proc/1/mountinfo", mounts);
    }

    /// Someone claims that the file system is unwell: the kernel's log, or a checkpoint.
    pub(super) fn claimed(&self, name: &str) {
        let subject = Subject::new(PROBE.name, name);
        self.probe.claimed.send_modify(|claimed| {
            claimed.insert(subject);
        });
    }

    /// The kernel's log has a line about the file system.
    pub(super) fn in_log(&self, name: &str) {
        let subject = Subject::new(PROBE.name, name);
        self.probe.reporter.seen_in_log(&subject);
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        self.probe.write(path, content);
    }

    /// Makes sysfs's folder of a superblock again, as a mount does.
    pub(super) fn superblock(&self, path: &str) {
        let path = self.probe.folder.path().join("sys/fs").join(path);
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
        self.probe.record(&record).await;
    }

    /// Compares what is reported within the next `seconds`.
    pub(super) async fn check(&mut self, seconds: u64, expect: &[&str]) {
        assert_eq!(self.hear(seconds).await, expect);
    }

    /// What is reported within the next `seconds`.
    pub(super) async fn hear(&mut self, seconds: u64) -> Vec<String> {
        self.probe.hear_as(seconds, reported).await
    }
}

fn reported(report: Report) -> String {
    match report {
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
        Report::Recovered { subject, .. } => format!("Recovered: {subject}"),
        Report::Watching { conditions, .. } => format!("Watching: {conditions:?}"),
        Report::NotWatching(_) => "Not watching".to_owned(),
        Report::Resumed { subject, reason } => format!("Resumed: {reason}, {subject}"),
        other => format!("{other:?}"),
    }
}
