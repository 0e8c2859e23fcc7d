//! Version 2: lets cgroups below ours have limits.

use std::fs;
use std::io;
use std::path::Path;

/// The controllers that set limits, and that of the CPU, which then is shared by cgroups.
const CONTROLLERS: &[&str] = &["memory", "pids", "cpu"];

/// Where the agent itself moves.
const LEAF: &str = "npd-agent";

/// Lets cgroups below ours have limits. In version 2, a cgroup with limited children must not contain
/// processes itself. So the agent moves into a cgroup below its own, but only if it is the only process
/// there, as in a container or in a unit of its own.
pub(super) fn delegate(own: &Path) -> io::Result<()> {
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

/// Lets the children of `folder` have limits.
pub(super) fn enable(folder: &Path) -> io::Result<()> {
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
        let own = cgroup("io memory pids\n", &ourselves);
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
        let own = cgroup("io\n", "1\n");
        delegate(own.path()).unwrap();
        assert!(!own.path().join("npd-agent").exists());
    }
}
