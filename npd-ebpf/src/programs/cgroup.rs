//! Which cgroup a task is in. The folder may be gone before the agent can look, so its path is
//! read from kernfs while the task still holds it.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use npd_ebpf::{CGROUP_BYTES, Cgroup};

use super::{Kernel, layout};

/// How many folders a path may have. Kubernetes makes five, a cluster inside a container eight.
const MAX_DEPTH: usize = 16;

/// The longest name of a folder that is kept whole, with its zero. `cri-containerd-ID.scope` has 86.
const NAME_BYTES: usize = 128;

/// Describes the cgroup of `task`.
///
/// # Safety
///
/// `to` must be valid for writes.
#[inline(always)]
pub(super) unsafe fn describe(task: Kernel, to: *mut Cgroup) {
    let mut node = Kernel(0);
    if layout!(cgroup.known) != 0 {
        node = of(task).follow(layout!(cgroup.node));
    }
    // SAFETY: `to` is valid for writes; the fields need no drop.
    unsafe {
        (*to).id = if node.is_null() {
            0
        } else {
            node.read(layout!(cgroup.node_id))
        };
        (*to).cut = 0;
        let names = (&raw mut (*to).names).cast::<u8>();
        let mut length = 0_usize;
        for _ in 0..MAX_DEPTH {
            if node.is_null() {
                break;
            }
            let parent = node.follow(layout!(cgroup.node_parent));
            if parent.is_null() {
                // The root has no name.
                break;
            }
            if length > CGROUP_BYTES - NAME_BYTES {
                (*to).cut = 1;
                break;
            }
            let name: u64 = node.read(layout!(cgroup.node_name));
            let copied = bpf_probe_read_kernel_str(
                names.add(length).cast(),
                NAME_BYTES as u32,
                name as *const _,
            );
            if copied <= 0 || copied > NAME_BYTES as i64 {
                (*to).cut = 1;
                break;
            }
            length += copied as usize;
            node = parent;
        }
        (*to).length = length as u32;
    }
}

/// The task's cgroup in the hierarchy of the memory controller; in that of cgroup v2, the very one
/// and not its nearest ancestor with a memory controller.
#[inline(always)]
fn of(task: Kernel) -> Kernel {
    let set = task.follow(layout!(cgroup.css_set));
    let default = set.follow(layout!(cgroup.default));
    if layout!(cgroup.has_memory) == 0 {
        return default;
    }
    let memory = set
        .follow(layout!(cgroup.memory))
        .follow(layout!(cgroup.css_cgroup));
    let root = layout!(cgroup.root);
    if memory.is_null() || memory.follow(root).0 == default.follow(root).0 {
        default
    } else {
        memory
    }
}

/// Whether `task` is in a cgroup whose processes are killed together (`memory.oom.group`).
#[inline(always)]
pub(super) fn dies_together(task: Kernel) -> bool {
    if layout!(cgroup.known) == 0
        || layout!(cgroup.has_memory) == 0
        || layout!(cgroup.oom_group) == 0
    {
        return false;
    }
    let set = task.follow(layout!(cgroup.css_set));
    let mut memory = set.follow(layout!(cgroup.memory));
    for _ in 0..MAX_DEPTH {
        if memory.is_null() {
            break;
        }
        if memory.read::<u8>(layout!(cgroup.oom_group)) != 0 {
            return true;
        }
        memory = memory.follow(layout!(cgroup.css_parent));
    }
    false
}
