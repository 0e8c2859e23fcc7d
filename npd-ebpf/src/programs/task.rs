//! Who a task is.

use npd_ebpf::Task;

use super::{Kernel, cgroup, layout};

/// Describes `task`.
///
/// # Safety
///
/// `to` must be valid for writes.
#[inline(always)]
pub(super) unsafe fn describe(task: Kernel, to: *mut Task) {
    let cred = task.follow(layout!(task.cred));
    // SAFETY: `to` is valid for writes; the fields need no drop.
    unsafe {
        (*to).pid = task.read(layout!(task.pid));
        (*to).tgid = task.read(layout!(task.tgid));
        (*to).uid = cred.read(layout!(task.cred_uid));
        (*to).reserved = 0;
        (*to).start = task.read(layout!(task.start));
        (*to).comm = task.at(layout!(task.comm)).text();
        cgroup::describe(task, &raw mut (*to).cgroup);
    }
}
