//! Whether a device has a file system that the node itself needs.
//!
//! The kernel's text about a broken file system names its device. This may be the node's disk, a pod's
//! volume, or a device that is gone. The log does not say which, but the mount table shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::node::Roots;
use crate::node::block::{name_of_path, with_those_below};
use crate::node::mountinfo::{MountEntry, WatchedMountinfo, path};
use crate::threads::ThreadPool;

/// The file systems that some paths are on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NodeStorage(BTreeMap<PathBuf, MountedOn>);

/// A file system that is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct MountedOn {
    /// The names of its device.
    names: BTreeSet<String>,
    /// For example `ext4`.
    fs_type: String,
}

/// The mounts that contain the paths, as far as the table was read.
struct StorageReading {
    roots: Roots,
    /// For each path: how long the longest mount point above it is, and what is mounted there.
    mounts: BTreeMap<PathBuf, (usize, MountedOn)>,
}

impl NodeStorage {
    /// Reads the mount table of process 1.
    pub(super) async fn read(
        mountinfo: &WatchedMountinfo,
        threads: &ThreadPool,
        roots: &Roots,
        paths: &BTreeSet<PathBuf>,
    ) -> anyhow::Result<Self> {
        let reading = StorageReading::new(roots, paths);
        let reading = mountinfo.read(threads, reading, StorageReading::take);
        Ok(reading.await?.finish())
    }

    /// Whether one of these paths is on the device with this name, and on a file system of one of these
    /// types.
    pub(super) fn has(
        &self,
        device: &str,
        paths: &BTreeSet<PathBuf>,
        types: Option<&[&str]>,
    ) -> bool {
        let mut mounts = paths.iter().filter_map(|path| self.0.get(path));
        mounts.any(|mount| {
            let is_of_type = types.is_none_or(|types| types.contains(&&*mount.fs_type));
            is_of_type && mount.names.contains(device)
        })
    }
}

impl StorageReading {
    fn new(roots: &Roots, paths: &BTreeSet<PathBuf>) -> Self {
        let unknown = |path: &PathBuf| (path.clone(), (0, MountedOn::default()));
        Self {
            roots: roots.clone(),
            mounts: paths.iter().map(unknown).collect(),
        }
    }

    fn take(&mut self, mount: Option<MountEntry<'_>>) {
        let Some(mount) = mount else {
            return;
        };
        let point = path(&mount.mount_point);
        let length = mount.mount_point.len();
        let roots = &self.roots;
        let mut found = None;
        let look = || MountedOn {
            names: device_names(&mount, roots),
            fs_type: String::from_utf8_lossy(mount.fs_type).into_owned(),
        };
        for (path, (longest, mounted)) in &mut self.mounts {
            // A later mount hides an earlier one.
            if path.starts_with(point) && length >= *longest {
                *longest = length;
                mounted.clone_from(found.get_or_insert_with(look));
            }
        }
    }

    fn finish(self) -> NodeStorage {
        let mounts = self.mounts.into_iter();
        let mounts = mounts.map(|(path, (_, mounted))| (path, mounted));
        NodeStorage(mounts.collect())
    }
}

/// The names that the kernel's log may use for the device of a mount: by its number, and by the source
/// of the mount, because btrfs has a number that is not the device's. And those of the disks below it.
fn device_names(mount: &MountEntry<'_>, roots: &Roots) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    names.extend(mount.device.name(&roots.sys));
    names.extend(name_of_path(path(&mount.source), &roots.dev));
    let all = names.iter().map(|name| with_those_below(name, &roots.sys));
    all.flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_device_is_the_nodes_if_a_path_of_the_node_is_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |path: &str| folder.path().join(path);
        for path in ["proc/1", "dev/mapper", "sys/dev/block", "sys/class/block"] {
            fs::create_dir_all(in_folder(path)).unwrap();
        }
        symlink("../dm-0", in_folder("dev/mapper/vg-var")).unwrap();
        symlink("../../devices/sda/sda1", in_folder("sys/dev/block/8:1")).unwrap();
        symlink("../../devices/sdk", in_folder("sys/dev/block/8:160")).unwrap();
        // `/` is on a partition; `/var` on a volume on an array and a disk.
        for (link, name) in [
            ("../../devices/pci/block/sda/sda1", "sda1"),
            ("../../devices/pci/block/sda", "sda"),
            ("../../devices/pci/block/sdc", "sdc"),
        ] {
            symlink(link, in_folder("sys/class/block").join(name)).unwrap();
        }
        for member in ["dm-0/slaves/md0", "dm-0/slaves/sdc", "md0/slaves/sdd"] {
            fs::create_dir_all(in_folder("sys/class/block").join(member)).unwrap();
        }
        let table = "1 0 8:1 / / rw - ext4 /dev/root rw\n\
                     2 1 0:35 / /var rw - btrfs /dev/mapper/vg-var rw\n\
                     3 1 8:160 / /var/lib/kubelet/pods/u/volumes/v/mount rw - ext4 /dev/sdk rw\n";
        fs::write(in_folder("proc/1/mountinfo"), table).unwrap();
        let roots = Roots {
            proc: in_folder("proc"),
            sys: in_folder("sys"),
            dev: in_folder("dev"),
            ..Roots::from_env(|_| None)
        };
        let paths = ["/", "/var/lib/kubelet"].map(PathBuf::from).into();
        let table = WatchedMountinfo::open(&roots).unwrap();
        let threads = ThreadPool::new("test", 1);
        let storage = NodeStorage::read(&table, &threads, &roots, &paths);
        let storage = storage.await.unwrap();
        for (device, expected) in [
            ("sda1", true),
            ("dm-0", true),
            ("sda", true),
            ("md0", true),
            ("sdc", true),
            ("sdd", false),
            ("sdk", false),
            ("loop0", false),
        ] {
            assert_eq!(storage.has(device, &paths, None), expected, "{device}");
        }
        // `/` is an ext4.
        assert!(storage.has("sda1", &paths, Some(&["ext2", "ext4"])));
        assert!(!storage.has("sda1", &paths, Some(&["xfs"])));
    }
}
