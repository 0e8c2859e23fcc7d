//! The mounted block devices, as NPD sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::metric::Label;
use crate::node::Roots;
use crate::node::block::BlockDevice;
use crate::node::mountinfo::{MountEntry, each_mount, path};

/// A mounted block device.
#[derive(Debug)]
pub struct Mount {
    /// The device number.
    pub device: BlockDevice,
    /// Where it is mounted.
    pub point: PathBuf,
    /// For example `ext4`.
    pub fs_type: Label,
    /// The options of the mount, in the kernel's order.
    pub options: Label,
    /// Whether it is read-only, by its mount options or after an error.
    pub read_only: bool,
}

/// The mounted block devices by name, each with its first mount. As in NPD, bind mounts are dropped, and
/// mapper names and `/dev/root` are resolved.
pub fn mounts(roots: &Roots) -> anyhow::Result<BTreeMap<String, Mount>> {
    let mut seen = BTreeSet::new();
    let mut mounts = BTreeMap::new();
    each_mount(&roots.of_first_process("mountinfo"), |entry| {
        if entry.source.starts_with(b"/") && seen.insert(entry.device) {
            let (source, mount) = parse(&entry);
            let device = device_name(roots, &source, mount.device);
            mounts.entry(device).or_insert(mount);
        }
    })?;
    Ok(mounts)
}

/// The name without `/dev/`. For `/dev/mapper/x` it is `dm-N`, for `/dev/root` the real device.
fn device_name(roots: &Roots, source: &str, device: BlockDevice) -> String {
    let indirect = source.starts_with("/dev/mapper/") || source == "/dev/root";
    let resolved = indirect.then(|| device.name(&roots.sys)).flatten();
    resolved.unwrap_or_else(|| source.strip_prefix("/dev/").unwrap_or(source).to_owned())
}

/// Source and mount of a line of the table.
fn parse(entry: &MountEntry<'_>) -> (String, Mount) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    // The last two are ext4's after an error, since Linux 6.15.
    let refused = ["ro", "emergency_ro", "shutdown"];
    let mount = Mount {
        device: entry.device,
        point: path(&entry.mount_point).to_owned(),
        fs_type: Label::from(text(entry.fs_type)),
        options: Label::from(text(entry.options)),
        read_only: entry.has("ro") || refused.iter().any(|option| entry.superblock_has(option)),
    };
    (text(&entry.source), mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str, &str, bool)>) {
        let entry = MountEntry::parse(line.as_bytes());
        let parsed = entry.as_ref().map(parse);
        let seen = parsed.as_ref().map(|(source, mount)| {
            let point = mount.point.to_str().unwrap();
            (&**source, point, &*mount.options, mount.read_only)
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_of_the_mount_table() {
        check(
            "36 35 98:0 / /mnt/a\\040b\\134 rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw",
            Some(("/dev/sda1", "/mnt/a b\\", "rw,noatime", false)),
        );
        check(
            "1 0 8:1 / / ro - xfs /dev/sda1 rw",
            Some(("/dev/sda1", "/", "ro", true)),
        );
        check(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw,emergency_ro",
            Some(("/dev/sda1", "/", "rw", true)),
        );
        check("1 0 8:1 / /x\\9\\ rw - ext4 /dev/\\", None);
        check("1 0 0:22 / /proc", None);
        check("", None);
    }
}
