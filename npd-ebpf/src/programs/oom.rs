//! Probe `oom`: the kernel has chosen a victim and sent it SIGKILL.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::task::{COMM_BYTES, TaskRecord};
use crate::{Header, Layout};

/// Why a process was killed.
pub mod scope {
    /// Unknown.
    pub const UNKNOWN: u32 = 0;
    /// The node ran out of memory.
    pub const NODE: u32 = 1;
    /// A memory cgroup reached its limit.
    pub const CGROUP: u32 = 2;
}

/// Whether a process is killed alone (`memory.oom.group`, 4.19).
pub mod group {
    /// Alone, or unknown.
    pub const ALONE: u32 = 0;
    /// It is the first, and its cgroup is killed with it.
    pub const FIRST: u32 = 1;
    /// It is killed because another process of its cgroup was killed.
    pub const MEMBER: u32 = 2;
}

/// The kernel chose a victim to free memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct OomRecord {
    /// [`OomRecord::ID`].
    pub header: Header,
    /// The victim.
    pub task: TaskRecord,
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
    /// Why it was killed; see [`scope`].
    pub scope: u32,
    /// Whether its whole cgroup is killed; see [`group`].
    pub group: u32,
    /// How deep the cgroup is that reached its limit: how many folders of the victim's path lead to it.
    pub limited_depth: u32,
    /// The limit of that cgroup, in pages; 0 if it is unknown.
    pub limit: u64,
    /// How much of it was used, in pages.
    pub usage: u64,
    /// The thread that needed memory and found none; 0 if it is unknown.
    pub invoker: u32,
    /// Its process.
    pub invoker_process: u32,
    /// Its name. It ends with a zero.
    pub invoker_comm: [u8; COMM_BYTES],
}

impl OomRecord {
    /// The kind of record.
    pub const ID: u32 = 0;
}

/// Which helpers exist, and how to get from `task_struct` to the figures of its memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct OomLayout {
    /// 1 if the helper `bpf_snprintf` exists (5.13).
    pub has_snprintf: u32,
    /// 1 if the rest of this struct is known.
    pub memory_known: u32,
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
    /// 1 if the rest of this struct is known.
    pub limit_known: u32,
    /// `mem_cgroup.memory.usage`, from its `css`
    pub usage: u32,
    /// `mem_cgroup.memory.max`, from its `css`
    pub limit: u32,
}

impl Layout for OomLayout {
    const GLOBAL: &'static str = "OOM_LAYOUT";
}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::EbpfContext;
    use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_get_stack, bpf_snprintf};
    use aya_ebpf::macros::raw_tracepoint;
    use aya_ebpf::programs::RawTracePointContext;

    use super::{OomLayout, OomRecord, group, scope};
    use crate::programs::kernel::{Kernel, send};
    use crate::programs::pid::program::PID_LAYOUT;
    use crate::programs::task::program::TASK_LAYOUT;
    use crate::programs::{cgroup, pid, task};

    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".rodata")]
    static OOM_LAYOUT: OomLayout = zerocopy::transmute!([0_u32; size_of::<OomLayout>() / 4]);

    /// How many frames of the stack are checked. The functions that matter are among the first nine.
    const FRAMES: usize = 16;

    /// Prints the symbol of an address.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".rodata")]
    static SYMBOL: [u8; 4] = *b"%ps\0";

    /// `oom:mark_victim`, in the task that ran out of memory.
    #[raw_tracepoint]
    fn oom(context: RawTracePointContext) {
        let victim = if layout!(PID_LAYOUT.needed) != 0 {
            pid::program::task(context.arg(0))
        } else {
            Kernel(context.arg(0))
        };
        let reason = reason(&context);
        debug!(
            &context,
            "oom: scope {}, killed {}, member {}",
            reason.scope,
            u8::from(reason.killed),
            u8::from(reason.member)
        );
        // The kernel also marks a task that is already dying, so that it may use the reserves. Nothing
        // kills that task.
        if !reason.killed {
            return;
        }
        // SAFETY: every field is written.
        unsafe {
            send::<OomRecord>(OomRecord::ID, |record| {
                task::program::describe(victim, &raw mut (*record).task);
                if victim.is_null() {
                    (*record).task.pid = context.arg(0);
                }
                (*record).scope = reason.scope;
                (*record).group = match reason.member {
                    true => group::MEMBER,
                    false if cgroup::program::dies_together(victim) => group::FIRST,
                    false => group::ALONE,
                };
                memory(victim, record);
                limit(victim, reason.scope, record);
                invoker(record);
            });
        }
    }

    /// Copies the figures that the kernel prints.
    #[inline(always)]
    unsafe fn memory(victim: Kernel, record: *mut OomRecord) {
        let known = layout!(OOM_LAYOUT.memory_known) != 0 && !victim.is_null();
        let mm = if known {
            victim.follow(layout!(OOM_LAYOUT.mm))
        } else {
            Kernel(0)
        };
        // SAFETY: `record` is valid for writes; the fields need no drop.
        unsafe {
            (*record).total_vm = 0;
            (*record).anon_rss = 0;
            (*record).file_rss = 0;
            (*record).shmem_rss = 0;
            (*record).page_tables = 0;
            (*record).oom_score_adj = 0;
            if !mm.is_null() {
                (*record).total_vm = mm.read(layout!(OOM_LAYOUT.total_vm));
                (*record).anon_rss = mm.read(layout!(OOM_LAYOUT.anon));
                (*record).file_rss = mm.read(layout!(OOM_LAYOUT.file));
                (*record).shmem_rss = mm.read(layout!(OOM_LAYOUT.shmem));
                (*record).page_tables = mm.read(layout!(OOM_LAYOUT.page_tables));
            }
            if known {
                let signal = victim.follow(layout!(OOM_LAYOUT.signal));
                let adjustment: i16 = signal.read(layout!(OOM_LAYOUT.oom_score_adj));
                (*record).oom_score_adj = i32::from(adjustment);
            }
        }
    }

    /// A limit over this number of pages is none.
    const NO_LIMIT: u64 = 1 << 46;

    /// Finds the cgroup that has reached its limit. Both the victim and who needed memory are in it, so it is
    /// the victim's or one above: the one with the least left.
    #[inline(always)]
    unsafe fn limit(victim: Kernel, scope: u32, record: *mut OomRecord) {
        let (mut limit, mut usage, mut depth) = (0_u64, 0_u64, 0_u32);
        if layout!(OOM_LAYOUT.limit_known) != 0 && scope == scope::CGROUP && !victim.is_null() {
            let mut part = cgroup::program::memory(victim);
            let mut least = u64::MAX;
            for _ in 0..cgroup::program::MAX_DEPTH {
                if part.is_null() {
                    break;
                }
                let allowed: u64 = part.read(layout!(OOM_LAYOUT.limit));
                let used: u64 = part.read(layout!(OOM_LAYOUT.usage));
                let left = allowed.saturating_sub(used);
                if allowed < NO_LIMIT && left < least {
                    least = left;
                    (limit, usage) = (allowed, used);
                    depth = cgroup::program::depth(part);
                }
                part = cgroup::program::parent(part);
            }
        }
        // SAFETY: `record` is valid for writes; the fields need no drop.
        unsafe {
            (*record).limit = limit;
            (*record).usage = usage;
            (*record).limited_depth = depth;
        }
    }

    /// Describes the current task: the tracepoint is hit in the one that needed memory.
    #[inline(always)]
    unsafe fn invoker(record: *mut OomRecord) {
        // SAFETY: the helper has no preconditions.
        let current = Kernel(unsafe { bpf_get_current_task() });
        // SAFETY: `record` is valid for writes; the fields need no drop.
        unsafe {
            (*record).invoker = current.read(layout!(TASK_LAYOUT.pid));
            (*record).invoker_process = current.read(layout!(TASK_LAYOUT.tgid));
            (*record).invoker_comm = current.at(layout!(TASK_LAYOUT.comm)).text();
        }
    }

    /// What the kernel was doing when it marked the victim.
    struct Reason {
        /// Whose memory was exhausted.
        scope: u32,
        /// Whether the victim was killed for it.
        killed: bool,
        /// Whether that was because another of its cgroup was.
        member: bool,
    }

    /// Why the victim was marked. The tracepoint does not say it, but the functions that called it do.
    #[inline(always)]
    fn reason(context: &RawTracePointContext) -> Reason {
        let mut reason = Reason {
            scope: scope::UNKNOWN,
            killed: true,
            member: false,
        };
        if layout!(OOM_LAYOUT.has_snprintf) == 0 {
            return reason;
        }
        let mut frames = [0_u64; FRAMES];
        let bytes = size_of_val(&frames) as u32;
        // SAFETY: the helper writes at most `bytes` bytes, which is the size of `frames`.
        unsafe { bpf_get_stack(context.as_ptr(), frames.as_mut_ptr().cast(), bytes, 0) };
        let mut by_the_killer = false;
        for frame in &mut frames {
            if *frame == 0 {
                break;
            }
            let mut name = [0_u64; 6];
            // SAFETY: the lengths are those of `name` and `frame`, and the format takes one value.
            unsafe {
                bpf_snprintf(
                    name.as_mut_ptr().cast(),
                    size_of_val(&name) as u32,
                    SYMBOL.as_ptr().cast(),
                    frame,
                    8,
                );
            }
            if begins(&name, b"__oom_kill_proce") {
                by_the_killer = true;
            } else if begins(&name, b"oom_kill_memcg_m") {
                reason.member = true;
            } else if begins(&name, b"mem_cgroup_out_of_memory") {
                reason.scope = scope::CGROUP;
                break;
            } else if begins(&name, b"out_of_m") {
                reason.scope = scope::NODE;
            }
        }
        // If the stack says nothing, believe the tracepoint.
        reason.killed = by_the_killer || reason.scope == scope::UNKNOWN;
        reason
    }

    /// Whether a symbol begins with this. Compares whole words, because the verifier counts every comparison.
    #[inline(always)]
    fn begins<const N: usize>(name: &[u64; 6], with: &[u8; N]) -> bool {
        let (words, _) = with.as_chunks::<8>();
        let mut same = true;
        for (word, with) in name.iter().zip(words) {
            same &= *word == u64::from_ne_bytes(*with);
        }
        same
    }
}
