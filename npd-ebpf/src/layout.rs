//! Where the running kernel keeps what the programs read.
//!
//! The agent reads this from the kernel's BTF before it loads the programs; nothing here is the
//! same in all kernels. Every field is the offset of a member in bytes, unless it says otherwise.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The name of the global that holds the [`Layout`] in the eBPF object.
pub const GLOBAL: &str = "LAYOUT";

/// All of it. The programs see constants, so that the verifier drops what does not apply.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Layout {
    /// For every program that is given a task.
    pub task: TaskLayout,
    /// For the cgroup of a task.
    pub cgroup: CgroupLayout,
    /// For the memory figures of a victim.
    pub memory: MemoryLayout,
    /// For finding a task by its number.
    pub pid: PidLayout,
    /// For the programs that are given a super block.
    pub filesystem: FilesystemLayout,
    /// 1 if the helper `bpf_snprintf` exists (5.13).
    pub has_snprintf: u32,
}

impl Layout {
    /// What the object holds before the agent fills it in.
    pub const UNKNOWN: Self = zerocopy::transmute!([0_u32; size_of::<Self>() / 4]);
}

/// `task_struct` and what hangs on it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct TaskLayout {
    /// `task_struct.pid`
    pub pid: u32,
    /// `task_struct.tgid`
    pub tgid: u32,
    /// `task_struct.comm`
    pub comm: u32,
    /// `task_struct.start_boottime`
    pub start: u32,
    /// `task_struct.real_cred`
    pub cred: u32,
    /// `cred.uid`
    pub cred_uid: u32,
    /// `task_struct.flags`
    pub flags: u32,
    /// `task_struct.__state`, called `state` before 5.14; its low 32 bits are read.
    pub state: u32,
    /// `task_struct.nvcsw`
    pub voluntary_switches: u32,
    /// `task_struct.nivcsw`
    pub involuntary_switches: u32,
}

/// From `task_struct` to the names of its cgroup's folders.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct CgroupLayout {
    /// 1 if the rest of this struct is known.
    pub known: u32,
    /// `task_struct.cgroups`
    pub css_set: u32,
    /// `css_set.dfl_cgrp`
    pub default: u32,
    /// `css_set.subsys[memory_cgrp_id]`; that of `dfl_cgrp` if the kernel has no memory controller.
    pub memory: u32,
    /// 1 if it has one.
    pub has_memory: u32,
    /// `cgroup_subsys_state.cgroup`
    pub css_cgroup: u32,
    /// `cgroup_subsys_state.parent`
    pub css_parent: u32,
    /// `mem_cgroup.oom_group`, from its `css`; 0 if the kernel has none.
    pub oom_group: u32,
    /// `cgroup.root`
    pub root: u32,
    /// `cgroup.kn`
    pub node: u32,
    /// `kernfs_node.id`
    pub node_id: u32,
    /// `kernfs_node.__parent`, called `parent` before 6.15
    pub node_parent: u32,
    /// `kernfs_node.name`
    pub node_name: u32,
}

/// From `task_struct` to the figures of its memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct MemoryLayout {
    /// 1 if the rest of this struct is known.
    pub known: u32,
    /// `task_struct.mm`
    pub mm: u32,
    /// `mm_struct.total_vm`
    pub total_vm: u32,
    /// `mm_struct.pgtables_bytes`
    pub page_tables: u32,
    /// The count of `mm_struct.rss_stat[MM_FILEPAGES]`
    pub file: u32,
    /// The count of `mm_struct.rss_stat[MM_ANONPAGES]`
    pub anon: u32,
    /// The count of `mm_struct.rss_stat[MM_SHMEMPAGES]`
    pub shmem: u32,
    /// `task_struct.signal`
    pub signal: u32,
    /// `signal_struct.oom_score_adj`
    pub oom_score_adj: u32,
}

/// From the current task to any task by its number, the way `find_task_by_pid_ns` goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct PidLayout {
    /// 1 if `oom:mark_victim` is given the victim's number; 0 if it is given its task (6.9, and
    /// later releases of older series).
    pub needed: u32,
    /// `task_struct.thread_pid`
    pub thread_pid: u32,
    /// `pid.numbers[0].ns`: the initial pid namespace
    pub namespace: u32,
    /// `pid_namespace.idr.idr_rt.xa_head`
    pub head: u32,
    /// `xa_node.shift`
    pub node_shift: u32,
    /// `xa_node.slots`
    pub node_slots: u32,
    /// The length of `xa_node.slots`, less one
    pub node_mask: u32,
    /// `pid.tasks[PIDTYPE_PID].first`
    pub first_task: u32,
    /// `task_struct.pid_links[PIDTYPE_PID]`
    pub link: u32,
}

/// `super_block`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct FilesystemLayout {
    /// `super_block.s_dev`
    pub device: u32,
    /// `super_block.s_id`
    pub name: u32,
}
