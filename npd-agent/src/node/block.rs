//! Block devices: their numbers, and the names that the kernel gives them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use nix::sys::stat::{major, minor};

/// The number of a device, or the virtual one of a file system without a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockDevice {
    /// The driver; 0 for no device.
    pub major: u32,
    /// The device of this driver.
    pub minor: u32,
}

impl BlockDevice {
    /// Splits the kernel's own `dev_t`, which tracepoints carry: 12 bits and 20 bits
    /// (`include/linux/kdev_t.h`; the `dev_t` of system calls has another layout).
    pub fn from_kernel(dev: u32) -> Self {
        Self {
            major: dev >> 20,
            minor: dev & 0xf_ffff,
        }
    }

    /// Splits the `dev_t` of system calls; `None` if it is out of range.
    pub fn from_stat(dev: u64) -> Option<Self> {
        Some(Self {
            major: major(dev).try_into().ok()?,
            minor: minor(dev).try_into().ok()?,
        })
    }

    /// Parses `major:minor`, as the kernel prints it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (major, minor) = std::str::from_utf8(text).ok()?.split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }

    /// The kernel's name of the device, for example `dm-3`. The device need not be mounted. `sys` is the
    /// path of `/sys`.
    pub fn name(self, sys: &Path) -> Option<String> {
        let link = std::fs::read_link(sys.join("dev/block").join(self.to_string())).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }
}

/// How many disks below a device are looked for.
const MAX_BELOW: usize = 64;

/// The device called `name` and those that it is on: the disk of a partition, and what is below a mapped
/// device. Not the disks of an array: it works without some of them. `sys` is the path of `/sys`.
pub fn with_those_below(name: &str, sys: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        if found.len() >= MAX_BELOW || !found.insert(name.clone()) {
            continue;
        }
        let folder = sys.join("class/block").join(&name);
        // The folder of a partition is in that of its disk, which is in one called `block`.
        let link = std::fs::read_link(&folder).unwrap_or_default();
        let parent = link.parent().and_then(Path::file_name);
        next.extend(parent.filter(|parent| *parent != "block").map(lossy));
        if !name.starts_with("md") {
            let below = std::fs::read_dir(folder.join("slaves"));
            let below = below.into_iter().flatten().flatten();
            next.extend(below.map(|entry| lossy(&entry.file_name())));
        }
    }
    found
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// The kernel's name of a device that is called by a path below `/dev`: `/dev/mapper/vg-root` leads to
/// `../dm-0`. `dev` is the path of `/dev`.
pub fn name_of_path(source: &Path, dev: &Path) -> Option<String> {
    let source = source.strip_prefix("/dev").ok()?;
    let link = std::fs::read_link(dev.join(source)).ok();
    let name = link.as_deref().unwrap_or(source).file_name()?;
    Some(name.to_string_lossy().into_owned())
}

impl fmt::Display for BlockDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_split_and_printed() {
        let device = BlockDevice {
            major: 259,
            minor: 1_000,
        };
        assert_eq!(BlockDevice::from_kernel(0x1030_03e8), device);
        assert_eq!(BlockDevice::parse(b"259:1000"), Some(device));
        assert_eq!(device.to_string(), "259:1000");
        let dev = nix::sys::stat::makedev(259, 1_000);
        assert_eq!(BlockDevice::from_stat(dev), Some(device));
        for text in [
            &b""[..],
            b"8",
            b"8:",
            b":1",
            b"8:x",
            b"8:-1",
            b"8:1:2",
            b"\xff:1",
        ] {
            assert_eq!(BlockDevice::parse(text), None);
        }
    }

    #[test]
    fn the_name_is_where_the_link_leads() {
        let sys = tempfile::tempdir().unwrap();
        let device = BlockDevice::from_kernel(0x0fe0_0003);
        assert_eq!(device.name(sys.path()), None);
        std::fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        let link = sys.path().join("dev/block/254:3");
        std::os::unix::fs::symlink("../../devices/virtual/block/dm-3", link).unwrap();
        assert_eq!(device.name(sys.path()).as_deref(), Some("dm-3"));
    }
}
