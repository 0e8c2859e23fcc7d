//! Probe `hung_task`: what the kernel's detector finds, and a look at every sleeping task.

use core::ffi::c_void;

use aya_ebpf::bindings::seq_file;
use aya_ebpf::helpers::generated::bpf_seq_write;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use npd_ebpf::{HungTask, Sleeper, id};

use super::{Kernel, layout, send, task};

/// `TASK_UNINTERRUPTIBLE`, the same in every kernel.
const UNINTERRUPTIBLE: u32 = 0x2;
/// `TASK_NOLOAD`: an idle worker, shown as `I` and not as `D`.
const NO_LOAD: u32 = 0x400;
/// `PF_FROZEN`: before 6.1 a frozen task sleeps uninterruptibly, and means to.
const FROZEN: u32 = 0x0001_0000;

/// `sched:sched_process_hang`, in khungtaskd.
#[raw_tracepoint]
fn hung_task(context: RawTracePointContext) {
    let hung = Kernel(context.arg(0));
    debug!(&context, "hung_task");
    // SAFETY: every field is written.
    unsafe {
        send::<HungTask>(id::HUNG_TASK, |record| {
            task::describe(hung, &raw mut (*record).task);
            (*record).switches = switches(hung);
        });
    }
}

/// What the task iterator is given.
#[repr(C)]
struct Iteration {
    meta: *const Meta,
    task: *const c_void,
}

#[repr(C)]
struct Meta {
    output: *mut seq_file,
}

/// The task iterator: writes a [`Sleeper`] for every task in uninterruptible sleep.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn sleepers(iteration: *const Iteration) -> u32 {
    // SAFETY: the kernel passes a valid context, whose layout is part of its interface.
    let (meta, found) = unsafe { ((*iteration).meta, Kernel((*iteration).task as u64)) };
    if found.is_null() {
        return 0;
    }
    let state: u32 = found.read(layout!(task.state));
    let flags: u32 = found.read(layout!(task.flags));
    if state & (UNINTERRUPTIBLE | NO_LOAD) != UNINTERRUPTIBLE || flags & FROZEN != 0 {
        return 0;
    }
    let sleeper = Sleeper {
        pid: found.read(layout!(task.pid)),
        tgid: found.read(layout!(task.tgid)),
        start: found.read(layout!(task.start)),
        switches: switches(found),
        comm: found.at(layout!(task.comm)).text(),
    };
    // SAFETY: the length is that of `sleeper`. What does not fit is asked for again by the kernel.
    unsafe {
        bpf_seq_write(
            (*meta).output,
            (&raw const sleeper).cast(),
            size_of::<Sleeper>() as u32,
        );
    }
    0
}

#[inline(always)]
fn switches(of: Kernel) -> u64 {
    let voluntary: u64 = of.read(layout!(task.voluntary_switches));
    let involuntary: u64 = of.read(layout!(task.involuntary_switches));
    voluntary.wrapping_add(involuntary)
}
