//! `cgroup`: what the memory controller did to pods, by class of service.

use std::path::{Path, PathBuf};

use super::files::read;
use super::metric::{Collect, Metric, Pass};
use super::store::Label;
use crate::node::Roots;

/// What this collector can measure.
pub const METRICS: &[Metric] = &[Metric::counter(
    "cgroup/memory_events",
    &["cgroup", "event"],
    "How often the memory controller had to act in the tree of pods (cgroup v2: memory.events; \
     v1: oom_kill of memory.oom_control)",
)];

/// The roots of kubelet's tree: cgroupfs driver and systemd driver, each with its classes.
const TREES: &[&[&str]] = &[
    &["kubepods", "kubepods/burstable", "kubepods/besteffort"],
    &[
        "kubepods.slice",
        "kubepods.slice/kubepods-burstable.slice",
        "kubepods.slice/kubepods-besteffort.slice",
    ],
];

/// Reads `memory.events` (v2, hierarchical) or `memory.oom_control` (v1, of the group alone).
pub struct Cgroup;

impl Collect for Cgroup {
    fn collect(&mut self, roots: &Roots, pass: &mut Pass) -> anyhow::Result<()> {
        let fs = roots.sys.join("fs/cgroup");
        for group in TREES.iter().copied().flatten() {
            let files = [fs.join(group).join("memory.events"), v1_file(&fs, group)];
            let Some(text) = files.iter().find_map(|file| read(file).ok()) else {
                continue;
            };
            for line in text.lines() {
                let Some((event, count)) = line.split_once(' ') else {
                    continue;
                };
                // v1 mixes states with its one counter.
                if matches!(event, "oom_kill_disable" | "under_oom") {
                    continue;
                }
                if let Ok(count) = count.trim().parse() {
                    let labels = [Label::from(*group), Label::from(event)];
                    pass.count("cgroup/memory_events", &labels, count);
                }
            }
        }
        Ok(())
    }
}

fn v1_file(fs: &Path, group: &str) -> PathBuf {
    fs.join("memory").join(group).join("memory.oom_control")
}
