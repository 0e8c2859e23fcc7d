//! The layout of what crosses the boundary to the kernel programs, in both directions.
//!
//! Records go up: one struct a kind, each beginning with a [`Header`]. A [`layout`] goes down: where
//! the running kernel keeps what the programs read.
//!
//! Deriving zerocopy's traits makes implicit padding a compile error and decoding safe.
#![no_std]

pub mod layout;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The kinds of records; the first field of every record.
pub mod id {
    /// An [`Oom`](crate::Oom).
    pub const OOM: u32 = 0;
    /// A [`HungTask`](crate::HungTask).
    pub const HUNG_TASK: u32 = 1;
    /// A [`Filesystem`](crate::Filesystem): ext4 found an error.
    pub const EXT4_ERROR: u32 = 2;
    /// A [`Filesystem`](crate::Filesystem): someone shut an ext4 down.
    pub const EXT4_SHUTDOWN: u32 = 3;
    /// A [`Filesystem`](crate::Filesystem): XFS shut itself down, or someone did.
    pub const XFS_SHUTDOWN: u32 = 4;
    /// How many kinds there are.
    pub const COUNT: u32 = 5;
}

/// The names of the maps in the eBPF object.
pub mod map {
    /// The ring buffer that carries every record.
    pub const RECORDS: &str = "RECORDS";
    /// An array: how many records of each kind found the ring full.
    pub const DROPS: &str = "DROPS";
    /// An array of one: `xfs_mount.m_super`, which is known only once the module is there.
    pub const XFS_SUPER: &str = "XFS_SUPER";
}

/// How many bytes the ring buffer holds: about 180 OOM kills.
pub const RING_BYTES: u32 = 128 * 1024;

/// The length of a task's name, with the zero that ends it; `TASK_COMM_LEN` in every kernel.
pub const COMM_BYTES: usize = 16;

/// The beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Header {
    /// The kind of the record; see [`id`].
    pub id: u32,
    /// Zero; keeps the time aligned.
    pub reserved: u32,
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
}

/// A task, as it was when it happened.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Task {
    /// The thread's id in the initial pid namespace.
    pub pid: u32,
    /// The process's id in the initial pid namespace.
    pub tgid: u32,
    /// The user id in the initial user namespace.
    pub uid: u32,
    /// Zero.
    pub reserved: u32,
    /// When it started, in nanoseconds of `CLOCK_BOOTTIME`; tells two tasks with one pid apart.
    pub start: u64,
    /// The task's name, ended by a zero.
    pub comm: [u8; COMM_BYTES],
    /// Where it belongs.
    pub cgroup: Cgroup,
}

/// How many bytes of a cgroup's path a record holds. The leaf comes first, so that what is cut off
/// a deep path is its beginning, which is the same for all pods.
pub const CGROUP_BYTES: usize = 512;

/// A cgroup: that of the memory controller where it has a hierarchy of its own (cgroup v1), else
/// the one of cgroup v2.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Cgroup {
    /// The inode of its folder; 0 if it could not be read.
    pub id: u64,
    /// How many bytes of `names` are meant.
    pub length: u32,
    /// 1 if the path was cut off at its beginning.
    pub cut: u32,
    /// The names of the path's folders from the leaf up, without the root, each ended by a zero.
    pub names: [u8; CGROUP_BYTES],
}

/// Why a process was killed.
pub mod scope {
    /// It could not be told.
    pub const UNKNOWN: u32 = 0;
    /// The node ran out of memory.
    pub const NODE: u32 = 1;
    /// A memory cgroup reached its limit.
    pub const CGROUP: u32 = 2;
}

/// Whether a process is killed alone (`memory.oom.group`, 4.19).
pub mod group {
    /// Alone, or it could not be told.
    pub const ALONE: u32 = 0;
    /// First, and its cgroup is killed with it.
    pub const FIRST: u32 = 1;
    /// With another of its cgroup.
    pub const MEMBER: u32 = 2;
}

/// The kernel chose a victim to free memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Oom {
    /// [`id::OOM`].
    pub header: Header,
    /// The victim.
    pub task: Task,
    /// The size of its address space, in pages.
    pub total_vm: u64,
    /// Its resident anonymous memory, in pages.
    pub anon_rss: i64,
    /// Its resident file memory, in pages.
    pub file_rss: i64,
    /// Its resident shared memory, in pages.
    pub shmem_rss: i64,
    /// Its page tables, in bytes.
    pub page_tables: u64,
    /// Its `oom_score_adj`.
    pub oom_score_adj: i32,
    /// Why; see [`scope`].
    pub scope: u32,
    /// Whether its whole cgroup is killed; see [`group`].
    pub group: u32,
    /// Zero.
    pub reserved: u32,
}

/// The kernel's detector found a task that has not run for too long.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct HungTask {
    /// [`id::HUNG_TASK`].
    pub header: Header,
    /// The task that hangs.
    pub task: Task,
    /// How often it was switched out, voluntarily or not.
    pub switches: u64,
}

/// A task in uninterruptible sleep, as the task iterator writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Sleeper {
    /// The thread's id in the initial pid namespace.
    pub pid: u32,
    /// The process's id in the initial pid namespace.
    pub tgid: u32,
    /// When it started, in nanoseconds of `CLOCK_BOOTTIME`.
    pub start: u64,
    /// How often it was switched out, voluntarily or not.
    pub switches: u64,
    /// The task's name, ended by a zero.
    pub comm: [u8; COMM_BYTES],
}

/// Something happened to a file system.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Filesystem {
    /// [`id::EXT4_ERROR`], [`id::EXT4_SHUTDOWN`] or [`id::XFS_SHUTDOWN`].
    pub header: Header,
    /// The device as the kernel numbers it: 12 bits major, 20 bits minor.
    pub device: u32,
    /// The line of the kernel's source that noticed; 0 if it does not say.
    pub line: u32,
    /// The flags of a shutdown.
    pub flags: u64,
    /// `super_block.s_id`: the device's name, ended by a zero.
    pub name: [u8; 32],
    /// The function of the kernel that noticed, ended by a zero; empty if it does not say.
    pub function: [u8; 64],
}
