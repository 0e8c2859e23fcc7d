//! The parts of the mount table that the file-system probe needs.
//!
//! The table shows the options of each mount and those of its superblock. Most of its lines belong to
//! containers. Only file systems that are on a device, or that contain a path of a rule, are stored.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::node::block::BlockDevice;
use crate::node::mountinfo::{MountEntry, options};

/// How many mount points of one file system are stored: enough for people. Volumes mounted by
/// sub-path can have thousands.
const MOUNT_POINTS_KEPT: usize = 4;

/// The file systems of the mount table that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountTable {
    /// By device: one superblock each.
    pub superblocks: BTreeMap<BlockDevice, Superblock>,
    /// The file system that contains each of the given paths.
    pub backing: BTreeMap<PathBuf, BlockDevice>,
    /// The number of invalid lines.
    pub malformed: u64,
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// For example `ext4`.
    pub fs_type: String,
    /// What was mounted, for example `/dev/sda1`.
    pub source: String,
    /// The first few mount points, in the order of the table.
    pub mount_points: Vec<String>,
    /// The number of mounts.
    pub mounts: usize,
    /// How many of these mounts are read-only by themselves (`mount -o ro`, or a bind mount's).
    pub read_only_mounts: usize,
    /// Whether the superblock can be written.
    pub access: MountAccess,
    /// Whether `errors=remount-ro` is among its options. ext4 leaves it out when it is the default
    /// written in the file system itself.
    pub errors_remount_ro: bool,
}

/// Whether a superblock can be written, as far as its options show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountAccess {
    /// The options show no fault.
    Writable,
    /// `ro`: on purpose, or by the kernel after an error (ext4 before 6.12, btrfs, FAT).
    ReadOnly,
    /// `emergency_ro`: ext4 refuses writes after an error (since 6.15).
    Emergency,
    /// `shutdown`: ext4 refuses everything (since 6.15).
    Shutdown,
}

/// A table that is being read.
#[derive(Debug)]
pub struct MountReading {
    paths: Vec<PathBuf>,
    /// For each of the paths, the length of the mount point that backs it so far.
    depths: Vec<usize>,
    table: MountTable,
}

impl MountReading {
    /// Begins to read, and also finds the file systems that contain `paths`: absolute paths without a
    /// slash at the end. A path is on the file system with the deepest mount point above it, and of
    /// several mounts on one point on the latest. Symbolic links are not followed, because that would
    /// touch the file systems.
    pub fn new(paths: &[PathBuf]) -> Self {
        Self {
            paths: paths.to_vec(),
            depths: vec![0; paths.len()],
            table: MountTable::default(),
        }
    }

    /// The result.
    pub fn finish(self) -> MountTable {
        self.table
    }

    /// Reads a line of the table; `None` if it is invalid.
    pub fn take(&mut self, line: Option<MountEntry<'_>>) {
        match line {
            Some(entry) => self.file(&entry),
            None => self.table.malformed += 1,
        }
    }

    /// Adds one mount.
    fn file(&mut self, entry: &MountEntry<'_>) {
        let mut asked_about = false;
        for (path, depth) in self.paths.iter().zip(&mut self.depths) {
            let length = entry.mount_point.len();
            if length >= *depth && contains(&entry.mount_point, path) {
                *depth = length;
                asked_about = true;
                self.table.backing.insert(path.clone(), entry.device);
            }
        }
        let on_device = entry.device.major != 0 || entry.source.starts_with(b"/");
        if !on_device && !asked_about {
            return;
        }
        let superblocks = &mut self.table.superblocks;
        let superblock = superblocks
            .entry(entry.device)
            .or_insert_with(|| superblock_of(entry));
        superblock.mounts += 1;
        superblock.read_only_mounts += usize::from(entry.has("ro"));
        if superblock.mount_points.len() < MOUNT_POINTS_KEPT {
            superblock.mount_points.push(text(&entry.mount_point));
        }
    }
}

/// Whether `path` lies on or under `mount_point`.
fn contains(mount_point: &[u8], path: &Path) -> bool {
    let rest = path.as_os_str().as_bytes().strip_prefix(mount_point);
    rest.is_some_and(|rest| mount_point == b"/" || rest.first().is_none_or(|next| *next == b'/'))
}

/// The superblock of a mount, without any mount point so far.
fn superblock_of(entry: &MountEntry<'_>) -> Superblock {
    let mut access = MountAccess::Writable;
    let mut errors_remount_ro = false;
    for option in options(entry.super_options) {
        match option {
            b"ro" if access == MountAccess::Writable => access = MountAccess::ReadOnly,
            b"emergency_ro" if access != MountAccess::Shutdown => {
                access = MountAccess::Emergency;
            }
            b"shutdown" => access = MountAccess::Shutdown,
            b"errors=remount-ro" => errors_remount_ro = true,
            _ => {}
        }
    }
    Superblock {
        fs_type: text(entry.fs_type),
        source: text(&entry.source),
        mount_points: Vec::new(),
        mounts: 0,
        read_only_mounts: 0,
        access,
        errors_remount_ro,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
