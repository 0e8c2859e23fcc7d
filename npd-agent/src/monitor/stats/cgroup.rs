//! `cgroup`: what the memory controller did to pods, by class of service.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::metric::{Collect, Label, Metric, Sample};
use crate::node::Roots;
use crate::node::files::read;

/// What this collector can measure.
pub const METRICS: &[Metric] = &[Metric::counter(
    "cgroup/memory_events_total",
    &["cgroup", "event"],
    "How often the memory controller had to act in the tree of pods (cgroup v2: memory.events; \
     v1: oom_kill of memory.oom_control)",
)];

/// kubelet's tree and its classes of service, under its cgroupfs driver and under systemd's.
/// Guaranteed pods have no class of their own.
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
/// In v2 a group counts for those below it, also for those that are gone. In v1 each counts for
/// itself, and takes its count along: what is new is added up here, pass by pass.
#[derive(Default)]
pub struct CgroupCollector {
    /// v1: the kills of each group that there is, as they stood on the last pass.
    counted: BTreeMap<PathBuf, u64>,
    /// v1: the kills below each of [`GROUPS`].
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
    /// Adds what is new below a v1 hierarchy.
    fn add_up(&mut self, hierarchy: &Path) {
        let mut counted = BTreeMap::new();
        let mut folders = vec![hierarchy.join("kubepods"), hierarchy.join("kubepods.slice")];
        while let Some(folder) = folders.pop() {
            let Some(kills) = oom_kills(&folder) else {
                continue;
            };
            let before = self.counted.get(&folder).copied().unwrap_or(0);
            // A group of the same name that counts from the start again is another one.
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
