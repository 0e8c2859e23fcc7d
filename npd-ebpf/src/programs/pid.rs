//! From a number to its task, in the initial pid namespace.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Layout;

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

impl Layout for PidLayout {
    const GLOBAL: &'static str = "PID_LAYOUT";
}

#[cfg(target_arch = "bpf")]
pub(super) mod program {
    use aya_ebpf::helpers::bpf_get_current_task;

    use super::PidLayout;
    use crate::programs::kernel::Kernel;

    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".rodata")]
    pub(in super::super) static PID_LAYOUT: PidLayout =
        zerocopy::transmute!([0_u32; size_of::<PidLayout>() / 4]);

    /// The height of a tree of pids: 4 Mi pids of 6 bits a level, and one to spare.
    const MAX_HEIGHT: usize = 5;

    /// The task of the thread `pid`; null if there is none. Walks as `find_task_by_pid_ns` does.
    #[inline(always)]
    pub(in super::super) fn task(pid: u32) -> Kernel {
        // SAFETY: the helper has no preconditions.
        let current = Kernel(unsafe { bpf_get_current_task() });
        // A pid knows its number in every namespace from the initial one down.
        let namespace = current
            .follow(layout!(PID_LAYOUT.thread_pid))
            .follow(layout!(PID_LAYOUT.namespace));
        let mut entry = namespace.follow(layout!(PID_LAYOUT.head));
        for _ in 0..MAX_HEIGHT {
            // An entry with these bits is a node of the tree, and the node's address is two less.
            if entry.0 & 3 != 2 {
                break;
            }
            let node = Kernel(entry.0 - 2);
            let shift: u8 = node.read(layout!(PID_LAYOUT.node_shift));
            let slot = (pid >> (shift & 31)) & layout!(PID_LAYOUT.node_mask);
            entry = node.follow(layout!(PID_LAYOUT.node_slots).wrapping_add(slot * 8));
        }
        if entry.is_null() || entry.0 & 3 != 0 {
            return Kernel(0);
        }
        let link = entry.follow(layout!(PID_LAYOUT.first_task));
        if link.is_null() {
            return link;
        }
        Kernel(link.0.wrapping_sub(u64::from(layout!(PID_LAYOUT.link))))
    }
}
