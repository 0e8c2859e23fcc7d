//! The cgroup of one program.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::debug;

use super::{Folder, Hierarchy, LimitCounters, PluginCgroups, PluginRuleId};
use crate::exec::{LimitReached, ProgramLimits};

/// How many times the processes of a cgroup are killed, if they fork meanwhile.
const KILLS: usize = 10;

/// The cgroup of one program, in each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginCgroup {
    folders: Arc<[Folder]>,
    /// The limits that the kernel keeps.
    limits: ProgramLimits,
}

impl PluginCgroup {
    /// Makes a cgroup for a program, and sets the limits that the hierarchies support.
    pub fn make(
        parent: &PluginCgroups,
        name: &PluginRuleId,
        limits: ProgramLimits,
    ) -> io::Result<Self> {
        let folders: Vec<_> = parent.folders(name).collect();
        let mut kept = ProgramLimits::default();
        for folder in &folders {
            fs::create_dir_all(&folder.path)?;
            let memory = match folder.hierarchy {
                Hierarchy::V2 => "memory.max",
                Hierarchy::V1Memory | Hierarchy::V1Pids | Hierarchy::V1Cpu => {
                    "memory.limit_in_bytes"
                }
            };
            kept.memory = kept.memory.or(folder.set(memory, limits.memory)?);
            kept.pids = kept.pids.or(folder.set("pids.max", limits.pids)?);
        }
        Ok(Self {
            folders: folders.into(),
            limits: kept,
        })
    }

    /// The limits that the kernel keeps. Some may lack their controller.
    pub fn limits(&self) -> ProgramLimits {
        self.limits
    }

    /// Its folders, one for each hierarchy.
    pub(in crate::exec) fn folders(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.folders.iter().map(|folder| &*folder.path)
    }

    /// What the kernel has counted up to now.
    pub(in crate::exec) fn counters(&self) -> LimitCounters {
        LimitCounters::read(&self.folders)
    }

    /// The limit that was reached since `before`.
    pub(in crate::exec) fn reached(&self, before: LimitCounters) -> Option<LimitReached> {
        self.counters().reached(before, self.limits)
    }

    /// Kills every process in it.
    pub(in crate::exec) fn kill(&self) {
        // Since Linux 5.14. This has no race with forks.
        let at_once = |folder: &Folder| fs::write(folder.path.join("cgroup.kill"), "1").is_ok();
        if self.folders.iter().any(at_once) {
            return;
        }
        let Some(folder) = self.folders.iter().find(|folder| folder.has("pids.max")) else {
            return;
        };
        let set_limit = |limit: &str| fs::write(folder.path.join("pids.max"), limit);
        // Frozen processes cannot fork while the others are killed.
        drop(set_limit("0"));
        for _ in 0..KILLS {
            let members = fs::read_to_string(folder.path.join("cgroup.procs")).unwrap_or_default();
            let mut members = members
                .lines()
                .filter_map(|member| member.parse().ok())
                .peekable();
            if members.peek().is_none() {
                break;
            }
            for member in members {
                if let Err(error) = kill(Pid::from_raw(member), Signal::SIGKILL) {
                    debug!(member, %error, "Killing a process failed");
                }
            }
        }
        let limit = self.limits.pids.map(|limit| limit.to_string());
        drop(set_limit(limit.as_deref().unwrap_or("max")));
    }
}

impl Folder {
    fn has(&self, file: &str) -> bool {
        self.path.join(file).exists()
    }

    /// Sets a limit, and returns it if the kernel enforces it here.
    fn set(&self, file: &str, limit: Option<u64>) -> io::Result<Option<u64>> {
        let Some(limit) = limit.filter(|_| self.has(file)) else {
            return Ok(None);
        };
        fs::write(self.path.join(file), limit.to_string())?;
        Ok(Some(limit))
    }
}
