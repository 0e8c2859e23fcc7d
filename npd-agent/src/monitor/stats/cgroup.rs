//! `cgroup`: what the memory controller did to pods, by `QoS` class.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::metric::{Collect, Label, Metric, Sample};
use crate::node::Roots;
use crate::node::files::read;

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[Metric::counter(
    "cgroup/memory_events_total",
    "cgroup_memory_events_total",
    &["cgroup", "event"],
    "How often the memory controller had to act in the tree of pods (cgroup v2: memory.events; \
     v1: oom_kill of memory.oom_control)",
)];

/// The kubelet's cgroup and its `QoS` classes, with the cgroupfs driver and with systemd's. Guaranteed pods
/// have no cgroup of their class.
const GROUPS: [&str; 6] = [
    "kubepods",
    "kubepods/burstable",
    "kubepods/besteffort",
    "kubepods.slice",
    "kubepods.slice/kubepods-burstable.slice",
    "kubepods.slice/kubepods-besteffort.slice",
];

/// Reads `memory.events` (v2), or every `memory.oom_control` in the tree (v1).
///
/// In v2, a cgroup's count includes all cgroups below it, also those that are gone. In v1, each cgroup has
/// only its own count, which is lost when it is removed. So the collector adds up the increases.
#[derive(Default)]
pub struct CgroupCollector {
    /// v1: the count of each existing cgroup in the last collection.
    counted: BTreeMap<PathBuf, u64>,
    /// v1: the sum of kills below each of [`GROUPS`].
    kills: [u64; GROUPS.len()],
}

impl Collect for CgroupCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let fs = roots.sys.join("fs/cgroup");
        for group in GROUPS {
            let Ok(text) = read(&fs.join(group).join("memory.events")) else {
                continue;
            };
            let events = text.lines().filter_map(|line| line.split_once(' '));
            for (event, count) in events {
                if let Ok(count) = count.parse() {
                    let labels = [group, event].map(Label::from);
                    sample.count("cgroup/memory_events_total", labels, count);
                }
            }
        }
        self.add_up(&fs.join("memory"));
        for (group, kills) in GROUPS.iter().zip(self.kills) {
            if self.counted.contains_key(&fs.join("memory").join(group)) {
                let labels = [*group, "oom_kill"].map(Label::from);
                sample.count("cgroup/memory_events_total", labels, kills);
            }
        }
        Ok(())
    }
}

impl CgroupCollector {
    /// Adds the increases below a v1 hierarchy.
    fn add_up(&mut self, hierarchy: &Path) {
        let mut counted = BTreeMap::new();
        let mut folders = vec![hierarchy.join("kubepods"), hierarchy.join("kubepods.slice")];
        while let Some(folder) = folders.pop() {
            let Some(kills) = oom_kills(&folder) else {
                continue;
            };
            let before = self.counted.get(&folder).copied().unwrap_or(0);
            // If the count is lower, this is a new cgroup with the same name.
            let new = kills.checked_sub(before).unwrap_or(kills);
            for (group, kills) in GROUPS.iter().zip(&mut self.kills) {
                if folder.starts_with(hierarchy.join(group)) {
                    *kills += new;
                }
            }
            folders.extend(folders_in(&folder));
            counted.insert(folder, kills);
        }
        self.counted = counted;
    }
}

/// Since Linux 4.13; `None` if there is no such group.
fn oom_kills(folder: &Path) -> Option<u64> {
    let text = read(&folder.join("memory.oom_control")).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|folder| folder.path())
}
