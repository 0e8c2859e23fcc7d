//! The mount table, boiled down to what the file-system probe asks of it.
//!
//! Reads `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`), which the kernel prints from memory: it
//! never waits for a disk, and shows both what each mount allows and what its superblock does.
//! A table may have 100,000 lines (`fs.mount-max`), most of them of containers; only file systems
//! that are on a device, or that back a path somebody asked about, are kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Longer lines are cut, and count as malformed. The kernel's are bounded by a few paths of 4 KiB,
/// each byte of which may be escaped in four.
const LONGEST_LINE: u64 = 64 * 1024;

/// How many mount points of one file system are kept: enough for people. Volumes mounted by
/// sub-path can have thousands.
const MOUNT_POINTS_KEPT: usize = 4;

/// The number of a device, or the made-up one of a file system without a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockDevice {
    /// The driver; 0 for no device.
    pub major: u32,
    /// Which of the driver's.
    pub minor: u32,
}

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

impl BlockDevice {
    /// Splits the kernel's own `dev_t`, which tracepoints carry: 12 bits and 20 bits
    /// (`include/linux/kdev_t.h`; the `dev_t` of system calls is laid out differently).
    pub fn from_kernel(dev: u32) -> Self {
        Self {
            major: dev >> 20,
            minor: dev & 0xf_ffff,
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (major, minor) = std::str::from_utf8(text).ok()?.split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl fmt::Display for BlockDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A table that is being read.
#[derive(Debug)]
pub struct MountReading<'a> {
    paths: &'a [PathBuf],
    /// For each of the paths, the length of the mount point that backs it so far.
    depths: Vec<usize>,
    table: MountTable,
    line: Vec<u8>,
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
            line: Vec::new(),
        }
    }

    /// Reads some lines, and returns whether there may be more.
    pub fn lines(&mut self, mut reader: impl BufRead, count: usize) -> io::Result<bool> {
        for _ in 0..count {
            let mut line = std::mem::take(&mut self.line);
            line.clear();
            let mut limited = (&mut reader).take(LONGEST_LINE);
            if limited.read_until(b'\n', &mut line)? == 0 {
                return Ok(false);
            }
            match MountEntry::parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
                Some(entry) => self.take(&entry),
                None => self.table.malformed += 1,
            }
            self.line = line;
        }
        Ok(true)
    }

    /// What was read.
    pub fn finish(self) -> MountTable {
        self.table
    }

    /// Files one mount.
    fn take(&mut self, entry: &MountEntry<'_>) {
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
            .or_insert_with(|| entry.superblock());
        superblock.mounts += 1;
        superblock.read_only_mounts += usize::from(entry.read_only);
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

/// One line of the table.
struct MountEntry<'a> {
    device: BlockDevice,
    mount_point: Cow<'a, [u8]>,
    /// What this mount allows; the superblock may allow less.
    read_only: bool,
    fs_type: &'a [u8],
    source: Cow<'a, [u8]>,
    super_options: &'a [u8],
}

impl<'a> MountEntry<'a> {
    /// Parses for example
    /// `36 35 98:0 /root /mnt/data rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro`.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = BlockDevice::parse(fields.nth(2)?)?;
        let mount_point = unescape(fields.nth(1)?);
        let read_only = options(fields.next()?).any(|option| option == b"ro");
        // Any number of optional fields, then a mark.
        fields.find(|field| *field == b"-")?;
        Some(Self {
            device,
            mount_point,
            read_only,
            fs_type: fields.next()?,
            source: unescape(fields.next()?),
            super_options: fields.next()?,
        })
    }

    /// The superblock, as yet mounted nowhere.
    fn superblock(&self) -> Superblock {
        let mut access = MountAccess::Writable;
        let mut errors_remount_ro = false;
        for option in options(self.super_options) {
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
            fs_type: text(self.fs_type),
            source: text(&self.source),
            mount_points: Vec::new(),
            mounts: 0,
            read_only_mounts: 0,
            access,
            errors_remount_ro,
        }
    }
}

fn options(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
}

/// Undoes the kernel's `\040`: blanks, backslashes and some others are written in octal
/// (`mangle_path` in `fs/seq_file.c`).
fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        if *first == b'\\'
            && let [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] = after
        {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    Cow::Owned(plain)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
