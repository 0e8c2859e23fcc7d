//! Limits for programs, by cgroups of our own, if the agent may make them.
//!
//! A cgroup limits the memory and the processes of a program and all its descendants. It also knows all
//! of them when they must be killed, even those that have left the process group. Version 1, version 2
//! and machines with both are supported. Without cgroups, programs run without these limits, and only
//! the pod's own limits apply.

mod counters;
mod delegate;
mod name;
mod own;
mod plugin;

use std::path::{Path, PathBuf};

use anyhow::ensure;

use self::delegate::{delegate, enable};
use self::own::OwnFolder;
use crate::node::cgroup::own_folders;

pub(super) use self::counters::LimitCounters;
pub use self::name::PluginRuleId;
pub use self::plugin::PluginCgroup;

/// Our folder of cgroups, in each hierarchy that can set limits.
#[derive(Debug)]
pub struct PluginCgroups {
    folders: Vec<(Hierarchy, OwnFolder)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hierarchy {
    V2,
    V1Memory,
    V1Pids,
    /// Sets no limit, but shares the CPU by cgroups and not by processes: a plugin that forks without
    /// end must not starve the agent.
    V1Cpu,
}

/// A cgroup in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Folder {
    hierarchy: Hierarchy,
    path: PathBuf,
}

impl PluginCgroups {
    /// Makes the folders. `proc` is the `/proc` of this process's own pid namespace. An error says why
    /// plugins cannot have limits here.
    pub fn claim(proc: &Path) -> anyhow::Result<Self> {
        let mut folders = Vec::new();
        let mut error = None;
        for (cgroup, parent) in own_folders(proc)? {
            let has = |name: &str| cgroup.controllers.iter().any(|one| one == name);
            let hierarchy = match cgroup.hierarchy {
                0 => Hierarchy::V2,
                _ if has("memory") => Hierarchy::V1Memory,
                _ if has("pids") => Hierarchy::V1Pids,
                _ if has("cpu") => Hierarchy::V1Cpu,
                _ => continue,
            };
            match make(hierarchy, &parent) {
                Ok(own) => folders.push((hierarchy, own)),
                Err(failed) => error = Some(failed),
            }
        }
        match error {
            Some(error) if folders.is_empty() => Err(error),
            _ => {
                ensure!(!folders.is_empty(), "there is no cgroup hierarchy");
                Ok(Self { folders })
            }
        }
    }

    fn folders(&self, name: &PluginRuleId) -> impl Iterator<Item = Folder> {
        let folder = |(hierarchy, own): &(Hierarchy, OwnFolder)| Folder {
            hierarchy: *hierarchy,
            path: own.path.join(name.folder()),
        };
        self.folders.iter().map(folder)
    }
}

fn make(hierarchy: Hierarchy, parent: &Path) -> anyhow::Result<OwnFolder> {
    let own = OwnFolder::make(parent)?;
    if hierarchy == Hierarchy::V2 {
        // Some controllers may be there already. Without any, the cgroup can still be used to kill.
        drop(delegate(parent));
        drop(enable(&own.path));
    }
    Ok(own)
}
