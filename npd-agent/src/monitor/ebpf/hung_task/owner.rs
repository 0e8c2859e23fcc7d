//! Whose a hung task is.
//!
//! Anyone can give a task the name `kubelet` and let it hang: in a pod, on a file server that is gone; or on
//! a FUSE file system of one's own. What the node depends on runs as root, and in no pod.

use std::path::Path;

use crate::node::cgroup::pods;
use crate::node::files::read;

/// Whether the node may depend on a task whose cgroup has this path. What cannot be read is taken for the
/// node's. `proc` is `None` if the task's number has another meaning there.
pub(super) fn may_be_the_nodes(proc: Option<&Path>, pid: u32, cgroup: &str) -> bool {
    let user = proc.and_then(|proc| user_of(proc, pid));
    pods(cgroup).is_empty() && user.is_none_or(|user| user == 0)
}

/// The user who runs a task: root of a user namespace is the user who made it.
fn user_of(proc: &Path, pid: u32) -> Option<u32> {
    let status = read(&proc.join(pid.to_string()).join("status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(users: &str, cgroup: &str, expected: bool) {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("7")).unwrap();
        std::fs::write(proc.path().join("7/status"), users).unwrap();
        let found = may_be_the_nodes(Some(proc.path()), 7, cgroup);
        assert_eq!(found, expected, "{users} {cgroup}");
    }

    #[test]
    fn what_runs_as_root_outside_of_pods_is_the_nodes() {
        let pod = "/kubepods/burstable/pod8dbc75a9-3d26-4e0f-9e6b-2b8f1b6f7c11";
        let root = "Name:\tkubelet\nUid:\t0\t0\t0\t0\n";
        check(root, "/system.slice/kubelet.service", true);
        check(root, "/", true);
        check(root, "", true);
        check("", "/", true);
        check(root, pod, false);
        check("Uid:\t1000\t0\t0\t0\n", "/", false);
        check("Uid:\t1000\t1000\t1000\t1000\n", "", false);
        assert!(may_be_the_nodes(None, 7, "/"));
        assert!(!may_be_the_nodes(None, 7, pod));
    }
}
