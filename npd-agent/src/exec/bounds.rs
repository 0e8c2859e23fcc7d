//! Limits for programs, by cgroups of our own, if the agent may make them.
//!
//! A cgroup limits the memory and the processes of a program and all its descendants. It also knows all
//! of them when they must be killed, even those that have left the process group. Version 1, version 2
//! and machines with both are supported. Without cgroups, programs run without these limits, and only
//! the pod's own limits apply.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::debug;

use crate::node::cgroup::own_folders;

/// The limits of one plugin and its descendants.
const MAX_MEMORY: u64 = 256 << 20;
const MAX_PROCESSES: u64 = 256;

/// The controllers that set limits, in version 2.
const CONTROLLERS: &[&str] = &["memory", "pids"];

/// The names of our folders. Our process id follows the first.
const OURS: &str = "npd-plugins-";
const LEAF: &str = "npd-agent";

/// How many times the processes of a cgroup are killed, if they fork meanwhile.
const KILLS: usize = 10;

/// Our folder of cgroups, in each hierarchy that can set limits.
#[derive(Debug)]
pub struct Bounds {
    folders: Vec<Folder>,
}

/// The cgroup of one program, in each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginCgroup {
    folders: Arc<[Folder]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Folder {
    hierarchy: Hierarchy,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hierarchy {
    V2,
    V1Memory,
    V1Pids,
}

impl Bounds {
    /// Makes the folders. `proc` is the `/proc` of this process's own pid namespace. An error says why
    /// plugins cannot have limits here.
    pub fn claim(proc: &Path) -> anyhow::Result<Self> {
        let mut bounds = Self {
            folders: Vec::new(),
        };
        let mut error = None;
        for (cgroup, own) in own_folders(proc)? {
            let has = |name: &str| cgroup.controllers.iter().any(|one| one == name);
            let hierarchy = match cgroup.hierarchy {
                0 => Hierarchy::V2,
                _ if has("memory") => Hierarchy::V1Memory,
                _ if has("pids") => Hierarchy::V1Pids,
                _ => continue,
            };
            match make(hierarchy, &own, proc) {
                Ok(path) => bounds.folders.push(Folder { hierarchy, path }),
                Err(failed) => error = Some(failed),
            }
        }
        match error {
            Some(error) if bounds.folders.is_empty() => Err(error),
            _ => {
                ensure!(!bounds.folders.is_empty(), "there is no cgroup hierarchy");
                Ok(bounds)
            }
        }
    }

    /// Makes a cgroup for a program, and sets the limits that the hierarchies support.
    pub fn cgroup(&self, name: &str) -> io::Result<PluginCgroup> {
        let mut folders = Vec::new();
        for Folder { hierarchy, path } in &self.folders {
            let path = path.join(name);
            fs::create_dir_all(&path)?;
            let limits: &[(&str, u64)] = match hierarchy {
                Hierarchy::V2 => &[("memory.max", MAX_MEMORY), ("pids.max", MAX_PROCESSES)],
                Hierarchy::V1Memory => &[("memory.limit_in_bytes", MAX_MEMORY)],
                Hierarchy::V1Pids => &[("pids.max", MAX_PROCESSES)],
            };
            for (file, limit) in limits.iter().filter(|(file, _)| path.join(file).exists()) {
                fs::write(path.join(file), limit.to_string())?;
            }
            folders.push(Folder {
                hierarchy: *hierarchy,
                path,
            });
        }
        Ok(PluginCgroup {
            folders: folders.into(),
        })
    }
}

impl Drop for Bounds {
    fn drop(&mut self) {
        for folder in &self.folders {
            remove(&folder.path);
        }
    }
}

impl PluginCgroup {
    /// Its folders, one for each hierarchy.
    pub(super) fn folders(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.folders.iter().map(|folder| &*folder.path)
    }

    /// Kills every process in it.
    pub(super) fn kill(&self) {
        // Since Linux 5.14. This has no race with forks.
        let at_once = |folder: &Folder| fs::write(folder.path.join("cgroup.kill"), "1").is_ok();
        if self.folders.iter().any(at_once) {
            return;
        }
        let Some(folder) = self.folders.iter().find(|folder| folder.bounds_pids()) else {
            return;
        };
        let set_limit = |limit: u64| fs::write(folder.path.join("pids.max"), limit.to_string());
        // Frozen processes cannot fork while the others are killed.
        drop(set_limit(0));
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
        drop(set_limit(MAX_PROCESSES));
    }
}

impl Folder {
    fn bounds_pids(&self) -> bool {
        self.path.join("pids.max").exists()
    }
}

/// Makes our folder in the agent's cgroup, and removes folders of agents that have ended.
fn make(hierarchy: Hierarchy, own: &Path, proc: &Path) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(own)
        .context("reading the agent's cgroup")?
        .flatten()
    {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(OURS));
        if owner.is_some_and(|owner| !proc.join(owner).exists()) {
            remove(&entry.path());
        }
    }
    let ours = own.join(format!("{OURS}{}", std::process::id()));
    fs::create_dir_all(&ours).with_context(|| format!("making {}", ours.display()))?;
    if hierarchy == Hierarchy::V2 {
        // Without limits, the cgroup can still be used to kill.
        drop(delegate(own).and_then(|()| enable(&ours)));
    }
    Ok(ours)
}

/// Lets cgroups below ours have limits. In version 2, a cgroup with limited children must not contain
/// processes itself. So the agent moves into a cgroup below its own, but only if it is the only process
/// there, as in a container or in a unit of its own.
fn delegate(own: &Path) -> io::Result<()> {
    let is_root = !own.join("cgroup.type").exists();
    if is_root || enabled(own)? {
        return enable(own);
    }
    let ourselves = std::process::id().to_string();
    let members = fs::read_to_string(own.join("cgroup.procs"))?;
    if members.lines().any(|member| member != ourselves) {
        return Err(io::Error::other("others share our cgroup"));
    }
    let leaf = own.join(LEAF);
    fs::create_dir_all(&leaf)?;
    fs::write(leaf.join("cgroup.procs"), &ourselves)?;
    enable(own).inspect_err(|_| {
        drop(fs::write(own.join("cgroup.procs"), &ourselves));
        drop(fs::remove_dir(&leaf));
    })
}

/// Whether children already have limits, or cannot have any.
fn enabled(folder: &Path) -> io::Result<bool> {
    let read = |file: &str| fs::read_to_string(folder.join(file));
    let (available, enabled) = (read("cgroup.controllers")?, read("cgroup.subtree_control")?);
    let mut missing = CONTROLLERS.iter().filter(|name| {
        let named = |list: &str| list.split_whitespace().any(|word| word == **name);
        named(&available) && !named(&enabled)
    });
    Ok(missing.next().is_none())
}

fn enable(folder: &Path) -> io::Result<()> {
    let available = fs::read_to_string(folder.join("cgroup.controllers"))?;
    let available = available.split_whitespace();
    for controller in available.filter(|name| CONTROLLERS.contains(name)) {
        fs::write(
            folder.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )?;
    }
    Ok(())
}

/// Removes a folder of ours, unless a process still holds it.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            drop(fs::remove_dir(entry.path()));
        }
    }
    drop(fs::remove_dir(folder));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a version 2 cgroup with these members.
    fn cgroup(controllers: &str, members: &str) -> tempfile::TempDir {
        let own = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cgroup.type", "domain\n"),
            ("cgroup.controllers", controllers),
            ("cgroup.subtree_control", ""),
            ("cgroup.procs", members),
        ] {
            fs::write(own.path().join(file), text).unwrap();
        }
        own
    }

    #[test]
    fn alone_in_a_cgroup_we_move_down_and_limit() {
        let ourselves = std::process::id().to_string();
        let own = cgroup("cpu memory pids\n", &ourselves);
        delegate(own.path()).unwrap();
        let read = |file: &str| fs::read_to_string(own.path().join(file)).unwrap();
        assert_eq!(read("npd-agent/cgroup.procs"), ourselves);
        // The last write; the kernel would list both.
        assert_eq!(read("cgroup.subtree_control"), "+pids");
    }

    #[test]
    fn with_others_we_stay_where_we_are() {
        let own = cgroup("memory pids\n", "1\n");
        assert!(delegate(own.path()).is_err());
        assert!(!own.path().join("npd-agent").exists());
    }

    #[test]
    fn without_controllers_there_is_no_need_to_move() {
        let own = cgroup("cpu\n", "1\n");
        delegate(own.path()).unwrap();
        assert!(!own.path().join("npd-agent").exists());
    }
}
