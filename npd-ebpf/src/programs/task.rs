//! The identity of a task.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Layout;
use crate::cgroup::CgroupRecord;

/// The length of a task's name with the zero at its end; `TASK_COMM_LEN` in every kernel.
pub const COMM_BYTES: usize = 16;

/// A task at the moment of the event.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct TaskRecord {
    /// The thread's id in the initial pid namespace.
    pub pid: u32,
    /// The process's id in the initial pid namespace.
    pub tgid: u32,
    /// The user id in the initial user namespace.
    pub uid: u32,
    /// Zero.
    pub reserved: u32,
    /// When it started, in nanoseconds of `CLOCK_BOOTTIME`. It distinguishes two tasks with the same pid.
    pub start: u64,
    /// The task's name. It ends with a zero.
    pub comm: [u8; COMM_BYTES],
    /// The cgroup of the task.
    pub cgroup: CgroupRecord,
}

/// `task_struct`, and the structs that it points to.
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

impl Layout for TaskLayout {
    const GLOBAL: &'static str = "TASK_LAYOUT";
}

#[cfg(target_arch = "bpf")]
pub(super) mod program {
    use super::{TaskLayout, TaskRecord};
    use crate::programs::cgroup;
    use crate::programs::kernel::Kernel;

    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".rodata")]
    pub(in super::super) static TASK_LAYOUT: TaskLayout =
        zerocopy::transmute!([0_u32; size_of::<TaskLayout>() / 4]);

    /// Describes `task`.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writes.
    #[inline(always)]
    pub(in super::super) unsafe fn describe(task: Kernel, to: *mut TaskRecord) {
        let cred = task.follow(layout!(TASK_LAYOUT.cred));
        // SAFETY: `to` is valid for writes; the fields need no drop.
        unsafe {
            (*to).pid = task.read(layout!(TASK_LAYOUT.pid));
            (*to).tgid = task.read(layout!(TASK_LAYOUT.tgid));
            (*to).uid = cred.read(layout!(TASK_LAYOUT.cred_uid));
            (*to).reserved = 0;
            (*to).start = task.read(layout!(TASK_LAYOUT.start));
            (*to).comm = task.at(layout!(TASK_LAYOUT.comm)).text();
            cgroup::program::describe(task, &raw mut (*to).cgroup);
        }
    }
}
