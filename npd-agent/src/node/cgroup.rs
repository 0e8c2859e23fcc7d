//! Finds the cgroup of a process, and the pod of a cgroup's path, without any request.
//!
//! The kubelet and the container runtimes name cgroups after the pod's uid and the container's id.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use procfs::FromRead as _;
use procfs::{ProcessCGroup, ProcessCGroups};

use super::mountinfo::{each_mount, path};

/// The pod in a cgroup's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPod {
    /// The pod's uid; for a static pod, the hash of its manifest.
    pub uid: String,
    /// The container's id; `None` for the pod's own cgroup.
    pub container: Option<String>,
}

/// The pods in a path, the outermost first. There are several if a cluster runs in a pod of another
/// cluster.
///
/// Forms, from the kubelet's two cgroup drivers and the runtimes' names of scopes:
/// `kubepods/burstable/podUID/ID` and
/// `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope`,
/// under any prefix. But systemd lets users and services make cgroups with any name below their own. A
/// path through such a cgroup, or one that may be cut, never names a pod.
pub fn pods(path: &str) -> Vec<InPod> {
    let mut pods = Vec::new();
    let mut in_kubepods = false;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        if is_handed_over(name) {
            break;
        }
        let uid = match name.strip_suffix(".slice") {
            Some(slice) if slice.contains("kubepods") => {
                slice.rsplit_once("-pod").and_then(|(_, uid)| uid_of(uid))
            }
            _ if in_kubepods => name.strip_prefix("pod").and_then(uid_of),
            _ => None,
        };
        in_kubepods |= name == "kubepods" || name.ends_with("-kubepods");
        if let Some(uid) = uid {
            let container = names.peek().and_then(|name| container_of(name));
            pods.push(InPod { uid, container });
        }
    }
    pods
}

/// Whether systemd may have given this cgroup to a user or a service. It may also be unknown: if a path
/// is too long, a record lacks its beginning. Paths of pods are not that long.
fn is_handed_over(name: &str) -> bool {
    name.ends_with(".service") || name == "user.slice" || name == "…"
}

/// A uid from the API server, or the 32 digits of a static pod. systemd's names have `_` instead of `-`,
/// because `-` has another meaning there.
fn uid_of(name: &str) -> Option<String> {
    let digits = name.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = name.bytes().filter(|byte| b"-_".contains(byte)).count();
    let is_uid = digits == 32 && dashes + digits == name.len() && [0, 4].contains(&dashes);
    is_uid.then(|| name.replace('_', "-"))
}

fn container_of(name: &str) -> Option<String> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    // `crio-conmon-ID` is the container's monitor, not the container.
    let id = match name.rsplit_once('-') {
        Some(("cri-containerd" | "crio" | "docker", id)) => id,
        Some(_) => return None,
        None => name,
    };
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

/// The cgroups of a process, one of each hierarchy. `process` is its id, or `self`.
fn memberships(proc: &Path, process: &str) -> anyhow::Result<Vec<ProcessCGroup>> {
    let path = proc.join(process).join("cgroup");
    let read = ProcessCGroups::from_file(&path);
    Ok(read
        .with_context(|| format!("reading {}", path.display()))?
        .0)
}

/// The cgroups of the agent's own process, each with its folder. `proc` shows this process as `self`.
/// Hierarchies that are not mounted are skipped.
pub fn own_folders(proc: &Path) -> anyhow::Result<Vec<(ProcessCGroup, PathBuf)>> {
    let mut folders = Vec::new();
    let mut cgroups = memberships(proc, "self")?;
    each_mount(&proc.join("self/mountinfo"), |mount| {
        let is_of = |cgroup: &mut ProcessCGroup| match cgroup.controllers.first() {
            None => mount.fs_type == b"cgroup2",
            Some(first) => mount.fs_type == b"cgroup" && mount.superblock_has(first),
        };
        folders.extend(cgroups.extract_if(.., is_of).map(|cgroup| {
            // The mount may show only a part of the hierarchy.
            let below = Path::new(&cgroup.pathname).strip_prefix(path(&mount.root));
            let folder = path(&mount.mount_point).join(below.unwrap_or(Path::new("")));
            (cgroup, folder)
        }));
    })?;
    Ok(folders)
}

/// The path of a running process's cgroup: that of the memory controller, or else of cgroup v2. Empty if
/// there is none.
pub fn path_of(proc: &Path, pid: u32) -> String {
    let cgroups = memberships(proc, &pid.to_string()).unwrap_or_default();
    let of_memory = |cgroup: &ProcessCGroup| cgroup.controllers.iter().any(|one| one == "memory");
    let unified = |cgroup: &ProcessCGroup| cgroup.hierarchy == 0;
    let index = cgroups.iter().position(of_memory);
    let index = index.or_else(|| cgroups.iter().position(unified));
    let cgroup = index.and_then(|index| cgroups.into_iter().nth(index));
    cgroup.map(|cgroup| cgroup.pathname).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "8dbc75a9-3d26-4e0f-9e6b-2b8f1b6f7c11";
    const UID_IN_SLICE: &str = "8dbc75a9_3d26_4e0f_9e6b_2b8f1b6f7c11";
    const STATIC: &str = "ba2ab4ba8f5d1cd4a0c8ba2b3f2a1c55";
    const ID: &str = "3f8cbf1f3b7a7a4d2f0a0f2c8a1b8f4e6d7c5b4a39281706f5e4d3c2b1a09f8e";

    /// `pod` and `container` are what is expected of the only pod on the path.
    #[track_caller]
    fn check(path: &str, pod: &str, container: Option<&str>) {
        let found = pods(path);
        let [found] = &found[..] else {
            panic!("{path}: {found:?}");
        };
        assert_eq!(found.uid, pod, "{path}");
        assert_eq!(found.container.as_deref(), container, "{path}");
    }

    #[track_caller]
    fn check_none(path: &str) {
        assert_eq!(pods(path), [], "{path}");
    }

    #[test]
    fn the_kubelet_names_cgroups_itself() {
        check(&format!("/kubepods/burstable/pod{UID}/{ID}"), UID, Some(ID));
        check(
            &format!("/kubepods/besteffort/pod{UID}/{ID}"),
            UID,
            Some(ID),
        );
        check(&format!("/kubepods/pod{UID}/{ID}"), UID, Some(ID));
        check(&format!("/kubepods/burstable/pod{UID}"), UID, None);
        // --cgroup-root, as kind sets it.
        check(
            &format!("/kubelet/kubepods/burstable/pod{UID}/{ID}"),
            UID,
            Some(ID),
        );
        check(
            &format!("/kubepods/burstable/pod{STATIC}/{ID}"),
            STATIC,
            Some(ID),
        );
    }

    #[test]
    fn systemd_names_cgroups() {
        let burstable = "/kubepods.slice/kubepods-burstable.slice";
        let pod = format!("{burstable}/kubepods-burstable-pod{UID_IN_SLICE}.slice");
        check(&format!("{pod}/cri-containerd-{ID}.scope"), UID, Some(ID));
        check(&format!("{pod}/crio-{ID}.scope"), UID, Some(ID));
        check(&format!("{pod}/crio-{ID}.scope/container"), UID, Some(ID));
        check(&format!("{pod}/docker-{ID}.scope"), UID, Some(ID));
        check(&format!("{pod}/crio-conmon-{ID}.scope"), UID, None);
        check(&pod, UID, None);
        let guaranteed = format!("/kubepods.slice/kubepods-pod{UID_IN_SLICE}.slice");
        check(
            &format!("{guaranteed}/cri-containerd-{ID}.scope"),
            UID,
            Some(ID),
        );
        let of_static = format!("{burstable}/kubepods-burstable-pod{STATIC}.slice");
        check(&format!("{of_static}/crio-{ID}.scope"), STATIC, Some(ID));
    }

    #[test]
    fn clusters_in_containers_have_a_prefix() {
        let kubelet = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice";
        let pod = format!("kubelet-kubepods-burstable-pod{UID_IN_SLICE}.slice");
        let path = format!("/docker/{ID}/{kubelet}/{pod}/cri-containerd-{ID}.scope");
        check(&path, UID, Some(ID));
    }

    #[test]
    fn a_user_makes_no_pods() {
        let made = format!("kubepods/burstable/pod{UID}/{ID}");
        check_none(&format!(
            "/user.slice/user-1000.slice/user@1000.service/{made}"
        ));
        let slice = format!("kubepods.slice/kubepods-pod{UID_IN_SLICE}.slice");
        check_none(&format!(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/{slice}/crio-{ID}.scope"
        ));
        check_none(&format!("/../../user.slice/user-1000.slice/{made}"));
        check_none(&format!("/system.slice/web.service/{made}"));
        // A path that is too long for a record.
        check_none(&format!("/…/{made}"));
    }

    #[test]
    fn other_cgroups_are_no_pods() {
        check_none("/");
        check_none("");
        check_none("/system.slice/containerd.service");
        check_none("/kubepods.slice/kubepods-burstable.slice");
        check_none(&format!("/docker/{ID}"));
        check_none(&format!("/machine.slice/libpod-{ID}.scope"));
        check_none(&format!("/user.slice/pod{UID}"));
        check_none("/kubepods/burstable/podcast");
        check_none(&format!("/kubepods/burstable/pod{UID}x"));
    }

    #[test]
    fn a_cluster_in_a_pod_has_both() {
        let outer = STATIC;
        let path = format!("/kubepods/burstable/pod{outer}/{ID}/kubelet/kubepods/pod{UID}/{ID}");
        let uids: Vec<_> = pods(&path).into_iter().map(|pod| pod.uid).collect();
        assert_eq!(uids, [outer, UID]);
    }

    #[test]
    fn our_own_folders_are_found_in_both_hierarchies() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("self")).unwrap();
        let write = |file: &str, text: &str| {
            std::fs::write(proc.path().join("self").join(file), text).unwrap();
        };
        write(
            "cgroup",
            "9:name=systemd:/s\n5:pids:/outside\n4:cpu,memory:/part/m\n2:net_cls:/n\n0::/u/a:b\n",
        );
        write(
            "mountinfo",
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
             garbage\n\
             2 1 0:30 / /cg\\040v2 rw - cgroup2 cgroup rw,nsdelegate\n\
             3 1 0:31 /part /cg/memory rw - cgroup cgroup rw,cpu,memory\n\
             4 1 0:32 /part /cg/pids rw - cgroup cgroup rw,pids\n\
             5 1 0:33 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             6 1 0:31 /part /elsewhere rw - cgroup cgroup rw,cpu,memory\n",
        );
        let found = own_folders(proc.path()).unwrap();
        let found: Vec<_> = found.iter().map(|(_, folder)| folder.as_path()).collect();
        let expected = ["/cg v2/u/a:b", "/cg/memory/m", "/cg/pids", "/cg/systemd/s"];
        assert_eq!(found, expected.map(Path::new));
        write("cgroup", "garbage");
        assert!(own_folders(proc.path()).is_err());
    }

    #[test]
    fn the_memory_controllers_cgroup_is_returned() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("7")).unwrap();
        let write = |text: &str| std::fs::write(proc.path().join("7/cgroup"), text).unwrap();
        assert_eq!(path_of(proc.path(), 7), "");
        write("0::/user.slice/a:b\n");
        assert_eq!(path_of(proc.path(), 7), "/user.slice/a:b");
        write("9:name=systemd:/s\n4:cpu,memory:/m\n0::/unified\n");
        assert_eq!(path_of(proc.path(), 7), "/m");
        write("garbage\n");
        assert_eq!(path_of(proc.path(), 7), "");
    }
}
