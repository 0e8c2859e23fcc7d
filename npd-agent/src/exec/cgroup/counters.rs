//! What the kernel counts when a cgroup reaches a limit.

use std::fs;
use std::path::Path;

use super::{Folder, Hierarchy};
use crate::exec::{LimitReached, ProgramLimits};

/// The counters of one program's cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::exec) struct LimitCounters {
    /// How many of its processes were killed to free memory, under whatever limit.
    oom_kills: u64,
    /// How often its own memory limit was reached.
    memory: u64,
    /// How often it could not fork. Before Linux 6.10, and in version 1, the limit may be that of a
    /// parent.
    forks: u64,
    /// The most processes that it ever had, since Linux 6.1.
    most: Option<u64>,
}

impl LimitCounters {
    pub(super) fn read(folders: &[Folder]) -> Self {
        let mut counters = Self::default();
        for Folder { hierarchy, path } in folders {
            let value = |file: &str, key: &str| value(path, file, key).unwrap_or_default();
            if *hierarchy == Hierarchy::V2 {
                counters.oom_kills += value("memory.events", "oom_kill");
                counters.memory += value("memory.events", "oom");
            } else if *hierarchy == Hierarchy::V1Memory {
                counters.oom_kills += value("memory.oom_control", "oom_kill");
                counters.memory += number(path, "memory.failcnt").unwrap_or_default();
            }
            counters.forks += value("pids.events", "max");
            counters.most = counters.most.max(number(path, "pids.peak"));
        }
        counters
    }

    /// The limit that was reached since `before`.
    pub(super) fn reached(self, before: Self, limits: ProgramLimits) -> Option<LimitReached> {
        if self.oom_kills > before.oom_kills {
            let ours = limits.memory.filter(|_| self.memory > before.memory);
            return Some(LimitReached::Memory(ours));
        }
        if self.forks > before.forks {
            let is_ours = |limit: &u64| self.most.is_none_or(|most| most >= *limit);
            return Some(LimitReached::Pids(limits.pids.filter(is_ours)));
        }
        None
    }
}

fn value(folder: &Path, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(folder.join(file)).ok()?;
    let words = text.lines().filter_map(|line| line.split_once(' '));
    words
        .filter(|(name, _)| *name == key)
        .find_map(|(_, value)| value.parse().ok())
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(folder.join(file)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(hierarchy: Hierarchy, files: &[(&str, &str)]) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let path = dir.path().to_owned();
        (dir, Folder { hierarchy, path })
    }

    const LIMITS: ProgramLimits = ProgramLimits {
        memory: Some(64),
        pids: Some(8),
    };

    #[track_caller]
    fn check(hierarchy: Hierarchy, files: &[(&str, &str)], expect: Option<LimitReached>) {
        let (_dir, folder) = folder(hierarchy, files);
        let counters = LimitCounters::read(&[folder]);
        let reached = counters.reached(LimitCounters::default(), LIMITS);
        assert_eq!(reached, expect, "{files:?}");
        assert_eq!(counters.reached(counters, LIMITS), None, "{files:?}");
    }

    #[test]
    fn the_kernels_counters_show_the_limit() {
        use LimitReached::{Memory, Pids};
        let events = "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n";
        check(
            Hierarchy::V2,
            &[("memory.events", events)],
            Some(Memory(Some(64))),
        );
        let events = "max 0\noom 0\noom_kill 1\n";
        check(
            Hierarchy::V2,
            &[("memory.events", events)],
            Some(Memory(None)),
        );
        let control = (
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        );
        let of_ours = [control, ("memory.failcnt", "17\n")];
        check(Hierarchy::V1Memory, &of_ours, Some(Memory(Some(64))));
        check(Hierarchy::V1Memory, &[control], Some(Memory(None)));
        let events = ("pids.events", "max 3\n");
        check(Hierarchy::V1Pids, &[events], Some(Pids(Some(8))));
        check(
            Hierarchy::V2,
            &[events, ("pids.peak", "8\n")],
            Some(Pids(Some(8))),
        );
        check(
            Hierarchy::V2,
            &[events, ("pids.peak", "7\n")],
            Some(Pids(None)),
        );
        check(
            Hierarchy::V2,
            &[("memory.events", "garbage"), ("pids.peak", "")],
            None,
        );
        check(Hierarchy::V2, &[], None);
    }
}
