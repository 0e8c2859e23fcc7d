//! Texts about the tasks in records.

use npd_ebpf::cgroup::CgroupRecord;
use npd_ebpf::task::TaskRecord;

use super::probe::text;
use crate::exec::PluginRuleId;
use crate::node::cgroup::pods;

/// The path of a record's cgroup, from the root of its hierarchy; empty if it could not be read.
pub(super) fn cgroup_path(cgroup: &CgroupRecord) -> String {
    if cgroup.id == 0 {
        return String::new();
    }
    let length = (cgroup.length as usize).min(cgroup.names.len());
    let names = cgroup.names[..length].split(|byte| *byte == 0);
    // The leaf comes first, and every name ends with a zero.
    let names: Vec<_> = names
        .map(String::from_utf8_lossy)
        .filter(|name| !name.is_empty())
        .collect();
    let mut path = String::from(if cgroup.cut == 0 { "" } else { "/…" });
    for name in names.iter().rev() {
        path.push('/');
        path.push_str(name);
    }
    if path.is_empty() {
        "/".to_owned()
    } else {
        path
    }
}

/// The end of a message: where the task belongs.
pub(super) fn place(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut place = format!(", cgroup {path}");
    if let Some(id) = pods(path).pop().and_then(|pod| pod.container) {
        // Short, as container tools print it.
        place.push_str(", container ");
        place.push_str(&id[..12]);
    }
    if let Some(plugin) = PluginRuleId::of_path(path) {
        place.push_str(", ");
        place.push_str(&plugin.to_string());
    }
    place
}

/// The task's name.
pub(super) fn comm(task: &TaskRecord) -> String {
    text(&task.comm)
}

#[cfg(test)]
pub(super) mod tests {
    use npd_ebpf::cgroup::CGROUP_BYTES;
    use zerocopy::FromZeros as _;

    use super::*;

    /// A record of the cgroup at `path`, as the programs write it.
    pub(in super::super) fn cgroup(path: &str, cut: bool) -> CgroupRecord {
        let mut names = [0; CGROUP_BYTES];
        let mut length = 0;
        for name in path.split('/').rev().filter(|name| !name.is_empty()) {
            names[length..length + name.len()].copy_from_slice(name.as_bytes());
            length += name.len() + 1;
        }
        CgroupRecord {
            id: 1,
            length: u32::try_from(length).unwrap(),
            cut: cut.into(),
            names,
        }
    }

    #[test]
    fn paths_read_from_the_root() {
        assert_eq!(cgroup_path(&cgroup("/a/b-c/d", false)), "/a/b-c/d");
        assert_eq!(cgroup_path(&cgroup("/b/c", true)), "/…/b/c");
        assert_eq!(cgroup_path(&cgroup("/", false)), "/");
        assert_eq!(cgroup_path(&CgroupRecord::new_zeroed()), "");
    }

    #[test]
    fn our_own_plugins_are_named() {
        let path = "/kubepods/pod1/npd-plugins-0a/gpu.json-rule-2-67108864";
        assert_eq!(
            place(path),
            format!(", cgroup {path}, plugin rules[2] of gpu.json, whose memory_limit is 64Mi")
        );
        assert_eq!(place("/system.slice"), ", cgroup /system.slice");
    }

    #[test]
    fn nonsense_makes_no_panic() {
        let mut nonsense = cgroup("/a", true);
        nonsense.length = u32::MAX;
        nonsense.names = [0xff; CGROUP_BYTES];
        assert_eq!(cgroup_path(&nonsense).chars().count(), 3 + CGROUP_BYTES);
    }
}
