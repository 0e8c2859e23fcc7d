//! Reads what sysfs and procfs show about a file system. The kernel prints this from memory. Nothing
//! here touches the file system itself, because a broken one may never answer.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mounts::Superblock;
use crate::node::block::{BlockDevice, name_of_path};
use crate::node::files::{read, read_number};
use crate::node::roots::Roots;

/// File systems that are on devices, but whose number is not that of a device.
const SPANS_DEVICES: &[&str] = &["btrfs", "bcachefs"];

/// Identifies a superblock. The next superblock on the same device has another identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The device's name as the kernel's log has it, for example `dm-0`.
    pub name: String,
    /// The inode of `/sys/fs/TYPE/NAME`, a folder that ext4, XFS and f2fs make and remove with the
    /// superblock. Its number is not used again. A mount id would not do: a file system that is
    /// unmounted and mounted again may get the same id.
    pub instance: Option<u64>,
}

impl Identity {
    /// Identifies a mounted superblock.
    pub fn read(roots: &Roots, device: BlockDevice, superblock: &Superblock) -> Self {
        let driver = driver(&superblock.fs_type);
        let name = device
            .name(&roots.sys)
            .or_else(|| {
                // File systems that span devices have no device of their own, so the source names them.
                // For others, for example FUSE, a user chooses the source.
                let source = Path::new(&superblock.source);
                let is_spanning = SPANS_DEVICES.contains(&driver);
                is_spanning.then(|| name_of_path(source, &roots.dev))?
            })
            .unwrap_or_else(|| device.to_string());
        // With FUSE, users choose the text after `fuse.`. It must not become part of a path.
        let known = (!driver.contains('/')).then(|| roots.sys.join("fs").join(driver).join(&name));
        let instance = known.and_then(|path| Some(fs::symlink_metadata(path).ok()?.ino()));
        Self { name, instance }
    }
}

/// Whether the kernel makes the file system read-only when it finds an error in it.
pub fn remounts_on_error(roots: &Roots, name: &str, superblock: &Superblock) -> bool {
    superblock.errors_remount_ro || {
        // The mount table omits options that are the file system's own default; this list has them.
        let path = roots.proc.join("fs/ext4").join(name).join("options");
        let options = read(&path).unwrap_or_default();
        options.lines().any(|option| option == "errors=remount-ro")
    }
}

/// How many errors ext4 has counted in the file system since it was last checked, over mounts and
/// reboots; `None` for other file systems.
pub fn error_count(roots: &Roots, name: &str, superblock: &Superblock) -> Option<u64> {
    let is_ext4 = driver(&superblock.fs_type) == "ext4";
    is_ext4.then(|| read_number(&ext4_attribute(roots, name, "errors_count")))?
}

/// Where in the kernel ext4 last found an error in the file system, as `function:line`.
pub fn last_error(roots: &Roots, name: &str) -> String {
    let attribute = |file| {
        let text = read(&ext4_attribute(roots, name, file)).ok()?;
        Some(text.trim().to_owned())
    };
    let function = attribute("last_error_func").filter(|name| !name.is_empty());
    let line = attribute("last_error_line");
    function.zip(line).map_or_else(
        || "an unknown place".to_owned(),
        |(function, line)| format!("{function}:{line}"),
    )
}

fn ext4_attribute(roots: &Roots, name: &str, attribute: &str) -> PathBuf {
    roots.sys.join("fs/ext4").join(name).join(attribute)
}

/// The kernel's ext4 driver also mounts ext2 and ext3.
fn driver(fs_type: &str) -> &str {
    match fs_type {
        "ext2" | "ext3" => "ext4",
        other => other,
    }
}
