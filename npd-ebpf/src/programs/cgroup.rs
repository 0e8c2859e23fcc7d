//! The cgroup of a task. Its folder may be removed before the agent can look at it, so the program
//! reads the path from kernfs while the task is still in it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Layout;

/// How many bytes of a cgroup's path fit into a record. The leaf comes first. So if a path is too deep,
/// its beginning is cut off, which is the same for all pods.
pub const CGROUP_BYTES: usize = 512;

/// A cgroup: the one in the memory controller's own hierarchy (cgroup v1), or else the one of
/// cgroup v2.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct CgroupRecord {
    /// The inode of its folder; 0 if it could not be read.
    pub id: u64,
    /// How many bytes of `names` are used.
    pub length: u32,
    /// 1 if the path was cut off at its beginning.
    pub cut: u32,
    /// The names of the path's folders, from the leaf up, without the root. Each ends with a zero.
    pub names: [u8; CGROUP_BYTES],
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
    /// 1 if the kernel has a memory controller.
    pub has_memory: u32,
    /// `cgroup_subsys_state.cgroup`
    pub css_cgroup: u32,
    /// `cgroup_subsys_state.parent`
    pub css_parent: u32,
    /// `mem_cgroup.oom_group`, from its `css`; 0 if the kernel has none.
    pub oom_group: u32,
    /// `cgroup.root`
    pub root: u32,
    /// `cgroup.level`
    pub depth: u32,
    /// `cgroup.kn`
    pub node: u32,
    /// `kernfs_node.id`
    pub node_id: u32,
    /// `kernfs_node.__parent`, called `parent` before 6.15
    pub node_parent: u32,
    /// `kernfs_node.name`
    pub node_name: u32,
}

impl Layout for CgroupLayout {
    const GLOBAL: &'static str = "CGROUP_LAYOUT";
}

#[cfg(target_arch = "bpf")]
pub(super) mod program {
    use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;

    use super::{CGROUP_BYTES, CgroupLayout, CgroupRecord};
    use crate::programs::kernel::Kernel;

    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".rodata")]
    static CGROUP_LAYOUT: CgroupLayout =
        zerocopy::transmute!([0_u32; size_of::<CgroupLayout>() / 4]);

    /// How many folders a path may have. Kubernetes makes five, a cluster inside a container eight.
    pub(in super::super) const MAX_DEPTH: usize = 16;

    /// The longest name of a folder that is stored whole, with its zero. `cri-containerd-ID.scope` has 86.
    const NAME_BYTES: usize = 128;

    /// Describes the cgroup of `task`.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writes.
    #[inline(always)]
    pub(in super::super) unsafe fn describe(task: Kernel, to: *mut CgroupRecord) {
        let mut node = Kernel(0);
        if layout!(CGROUP_LAYOUT.known) != 0 {
            node = of(task).follow(layout!(CGROUP_LAYOUT.node));
        }
        // SAFETY: `to` is valid for writes; the fields need no drop.
        unsafe {
            (*to).id = if node.is_null() {
                0
            } else {
                node.read(layout!(CGROUP_LAYOUT.node_id))
            };
            (*to).cut = 0;
            let names = (&raw mut (*to).names).cast::<u8>();
            let mut length = 0_usize;
            for _ in 0..MAX_DEPTH {
                if node.is_null() {
                    break;
                }
                let parent = node.follow(layout!(CGROUP_LAYOUT.node_parent));
                if parent.is_null() {
                    // The root has no name.
                    break;
                }
                if length > CGROUP_BYTES - NAME_BYTES {
                    (*to).cut = 1;
                    break;
                }
                let name: u64 = node.read(layout!(CGROUP_LAYOUT.node_name));
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

    /// The task's cgroup in the hierarchy of the memory controller. With cgroup v2, this is the task's own
    /// cgroup, and not the nearest ancestor that has a memory controller.
    #[inline(always)]
    fn of(task: Kernel) -> Kernel {
        let set = task.follow(layout!(CGROUP_LAYOUT.css_set));
        let default = set.follow(layout!(CGROUP_LAYOUT.default));
        if layout!(CGROUP_LAYOUT.has_memory) == 0 {
            return default;
        }
        let memory = set
            .follow(layout!(CGROUP_LAYOUT.memory))
            .follow(layout!(CGROUP_LAYOUT.css_cgroup));
        let root = layout!(CGROUP_LAYOUT.root);
        if memory.is_null() || memory.follow(root).0 == default.follow(root).0 {
            default
        } else {
            memory
        }
    }

    /// Whether `task` is in a cgroup whose processes are killed together (`memory.oom.group`).
    #[inline(always)]
    pub(in super::super) fn dies_together(task: Kernel) -> bool {
        if layout!(CGROUP_LAYOUT.oom_group) == 0 {
            return false;
        }
        let mut memory = memory(task);
        for _ in 0..MAX_DEPTH {
            if memory.is_null() {
                break;
            }
            if memory.read::<u8>(layout!(CGROUP_LAYOUT.oom_group)) != 0 {
                return true;
            }
            memory = parent(memory);
        }
        false
    }

    /// The memory controller's part of the task's cgroup, or of the nearest one above that has the
    /// controller; null if there is none.
    #[inline(always)]
    pub(in super::super) fn memory(task: Kernel) -> Kernel {
        if layout!(CGROUP_LAYOUT.known) == 0 || layout!(CGROUP_LAYOUT.has_memory) == 0 {
            return Kernel(0);
        }
        task.follow(layout!(CGROUP_LAYOUT.css_set))
            .follow(layout!(CGROUP_LAYOUT.memory))
    }

    /// The same controller's part of the cgroup above.
    #[inline(always)]
    pub(in super::super) fn parent(part: Kernel) -> Kernel {
        part.follow(layout!(CGROUP_LAYOUT.css_parent))
    }

    /// How deep the cgroup of a controller's part is; 0 for the root.
    #[inline(always)]
    pub(in super::super) fn depth(part: Kernel) -> u32 {
        part.follow(layout!(CGROUP_LAYOUT.css_cgroup))
            .read(layout!(CGROUP_LAYOUT.depth))
    }
}
