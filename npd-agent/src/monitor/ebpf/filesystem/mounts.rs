//! The mount table, boiled down to what the file-system probe asks of it.
//!
//! It shows both what each mount allows and what its superblock does. Most of its lines are of
//! containers; only file systems that are on a device, or that back a path somebody asked about,
//! are kept.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::node::block::BlockDevice;
use crate::node::mountinfo::{MountEntry, options};

/// How many mount points of one file system are stored: enough for people. Volumes mounted by
/// sub-path can have thousands.
const MOUNT_POINTS_KEPT: usize = 4;

/// What the mount table says of the file systems that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountTable {
    /// By device: one superblock each.
    pub superblocks: BTreeMap<BlockDevice, Superblock>,
    /// Which file system backs each of the paths that were asked about.
    pub backing: BTreeMap<PathBuf, BlockDevice>,
    /// Lines that made no sense.
    pub malformed: u64,
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// For example `ext4`.
    pub fs_type: String,
    /// What was mounted, for example `/dev/sda1`.
    pub source: String,
    /// Where, in the order of the table: the first few.
    pub mount_points: Vec<String>,
    /// At how many places.
    pub mounts: usize,
    /// How many of these mounts are read-only by themselves (`mount -o ro`, or a bind mount's).
    pub read_only_mounts: usize,
    /// What the superblock allows.
    pub access: MountAccess,
    /// Whether `errors=remount-ro` is among its options. ext4 leaves it out when it is the default
    /// written in the file system itself.
    pub errors_remount_ro: bool,
}

/// What a superblock allows, as far as its options show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountAccess {
    /// All seems well.
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
pub struct MountReading<'a> {
    paths: &'a [PathBuf],
    /// For each of the paths, the length of the mount point that backs it so far.
    depths: Vec<usize>,
    table: MountTable,
}

impl<'a> MountReading<'a> {
    /// Begins to read, asking which file systems back `paths`: absolute ones without a slash at the
    /// end. The deepest mount point on the way to a path backs it, and of several mounts on one
    /// point the latest. Symbolic links are not followed: that would touch the file systems.
    pub fn new(paths: &'a [PathBuf]) -> Self {
        Self {
            paths,
            depths: vec![0; paths.len()],
            table: MountTable::default(),
        }
    }

    /// What was read.
    pub fn finish(self) -> MountTable {
        self.table
    }

    /// Takes in a line of the table; `None` for one that made no sense.
    pub fn take(&mut self, line: Option<MountEntry<'_>>) {
        match line {
            Some(entry) => self.file(&entry),
            None => self.table.malformed += 1,
        }
    }

    /// Files one mount.
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

/// The superblock of a mount, as yet mounted nowhere.
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
