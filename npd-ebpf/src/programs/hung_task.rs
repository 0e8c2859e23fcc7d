//! Probe `hung_task`: reports what the kernel's detector finds, and lists all sleeping tasks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;
use crate::task::{COMM_BYTES, TaskRecord};

/// The kernel's detector found a task that has not run for too long.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct HungTaskRecord {
    /// [`HungTaskRecord::ID`].
    pub header: Header,
    /// The task that hangs.
    pub task: TaskRecord,
    /// How often it was switched out, voluntarily or not.
    pub switches: u64,
}

/// A task in uninterruptible sleep, as the task iterator writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct SleeperRecord {
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

impl HungTaskRecord {
    /// The kind of record.
    pub const ID: u32 = 1;
}

#[cfg(target_arch = "bpf")]
mod program {
    use core::ffi::c_void;

    use aya_ebpf::bindings::seq_file;
    use aya_ebpf::helpers::generated::bpf_seq_write;
    use aya_ebpf::macros::raw_tracepoint;
    use aya_ebpf::programs::RawTracePointContext;

    use super::{HungTaskRecord, SleeperRecord};
    use crate::programs::kernel::{Kernel, send};
    use crate::programs::task;
    use crate::programs::task::program::TASK_LAYOUT;

    /// `TASK_UNINTERRUPTIBLE`, the same in every kernel.
    const UNINTERRUPTIBLE: u32 = 0x2;
    /// `TASK_NOLOAD`: an idle worker, shown as `I` and not as `D`.
    const NO_LOAD: u32 = 0x400;
    /// `PF_FROZEN`: before 6.1, a frozen task sleeps uninterruptibly on purpose.
    const FROZEN: u32 = 0x0001_0000;

    /// `sched:sched_process_hang`, in khungtaskd.
    #[raw_tracepoint]
    fn hung_task(context: RawTracePointContext) {
        let hung = Kernel(context.arg(0));
        debug!(&context, "hung_task");
        // SAFETY: every field is written.
        unsafe {
            send::<HungTaskRecord>(HungTaskRecord::ID, |record| {
                task::program::describe(hung, &raw mut (*record).task);
                (*record).switches = switches(hung);
            });
        }
    }

    /// The context of the task iterator.
    #[repr(C)]
    struct Iteration {
        meta: *const Meta,
        task: *const c_void,
    }

    #[repr(C)]
    struct Meta {
        output: *mut seq_file,
    }

    /// The task iterator: writes a [`SleeperRecord`] for every task in uninterruptible sleep.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = "iter/task")]
    extern "C" fn sleepers(iteration: *const Iteration) -> u32 {
        // SAFETY: the kernel passes a valid context, whose layout is part of its interface.
        let (meta, found) = unsafe { ((*iteration).meta, Kernel((*iteration).task as u64)) };
        if found.is_null() {
            return 0;
        }
        let state: u32 = found.read(layout!(TASK_LAYOUT.state));
        let flags: u32 = found.read(layout!(TASK_LAYOUT.flags));
        if state & (UNINTERRUPTIBLE | NO_LOAD) != UNINTERRUPTIBLE || flags & FROZEN != 0 {
            return 0;
        }
        let sleeper = SleeperRecord {
            pid: found.read(layout!(TASK_LAYOUT.pid)),
            tgid: found.read(layout!(TASK_LAYOUT.tgid)),
            start: found.read(layout!(TASK_LAYOUT.start)),
            switches: switches(found),
            comm: found.at(layout!(TASK_LAYOUT.comm)).text(),
        };
        // SAFETY: the length is that of `sleeper`. If it does not fit, the kernel calls the program again.
        unsafe {
            bpf_seq_write(
                (*meta).output,
                (&raw const sleeper).cast(),
                size_of::<SleeperRecord>() as u32,
            );
        }
        0
    }

    #[inline(always)]
    fn switches(of: Kernel) -> u64 {
        let voluntary: u64 = of.read(layout!(TASK_LAYOUT.voluntary_switches));
        let involuntary: u64 = of.read(layout!(TASK_LAYOUT.involuntary_switches));
        voluntary.wrapping_add(involuntary)
    }
}
