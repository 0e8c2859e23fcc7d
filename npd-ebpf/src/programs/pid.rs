//! From a number to its task, in the initial pid namespace.

use aya_ebpf::helpers::bpf_get_current_task;

use super::{Kernel, layout};

/// The height of a tree of pids: 4 Mi pids of 6 bits a level, and one to spare.
const MAX_HEIGHT: usize = 5;

/// The task of the thread `pid`; null if there is none. Walks as `find_task_by_pid_ns` does.
#[inline(always)]
pub(super) fn task(pid: u32) -> Kernel {
    // SAFETY: the helper has no preconditions.
    let current = Kernel(unsafe { bpf_get_current_task() });
    // A pid knows its number in every namespace from the initial one down.
    let namespace = current
        .follow(layout!(pid.thread_pid))
        .follow(layout!(pid.namespace));
    let mut entry = namespace.follow(layout!(pid.head));
    for _ in 0..MAX_HEIGHT {
        // An entry with these bits is a node of the tree, and the node's address is two less.
        if entry.0 & 3 != 2 {
            break;
        }
        let node = Kernel(entry.0 - 2);
        let shift: u8 = node.read(layout!(pid.node_shift));
        let slot = (pid >> (shift & 31)) & layout!(pid.node_mask);
        entry = node.follow(layout!(pid.node_slots).wrapping_add(slot * 8));
    }
    if entry.is_null() || entry.0 & 3 != 0 {
        return Kernel(0);
    }
    let link = entry.follow(layout!(pid.first_task));
    if link.is_null() {
        return link;
    }
    Kernel(link.0.wrapping_sub(u64::from(layout!(pid.link))))
}
