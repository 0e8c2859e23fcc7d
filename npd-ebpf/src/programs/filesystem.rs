//! Probe `filesystem`: ext4 and XFS say that something is wrong.

use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::RawTracePointContext;
use npd_ebpf::{Filesystem, id};

use super::{Kernel, layout, send};

/// `xfs_mount.m_super`. XFS is often a module, whose BTF appears when it is loaded: later than this.
#[map]
static XFS_SUPER: Array<u32> = Array::with_max_entries(1, 0);

/// `ext4:ext4_error(super_block, function, line)`, before the kernel's rate limit and in any context.
#[raw_tracepoint]
fn ext4_error(context: RawTracePointContext) {
    debug!(&context, "ext4_error");
    report(
        id::EXT4_ERROR,
        Kernel(context.arg(0)),
        context.arg(2),
        0,
        context.arg(1),
    );
}

/// `ext4:ext4_shutdown(super_block, flags)`: an ioctl.
#[raw_tracepoint]
fn ext4_shutdown(context: RawTracePointContext) {
    debug!(&context, "ext4_shutdown");
    report(
        id::EXT4_SHUTDOWN,
        Kernel(context.arg(0)),
        0,
        context.arg(1),
        0,
    );
}

/// `xfs:xfs_force_shutdown(xfs_mount, ptag, flags, function, line)`.
#[raw_tracepoint]
fn xfs_force_shutdown(context: RawTracePointContext) {
    debug!(&context, "xfs_force_shutdown");
    let Some(offset) = XFS_SUPER.get(0) else {
        return;
    };
    let mount = Kernel(context.arg(0));
    let flags: u32 = context.arg(2);
    report(
        id::XFS_SHUTDOWN,
        mount.follow(*offset),
        context.arg(4),
        u64::from(flags),
        context.arg(3),
    );
}

#[inline(always)]
fn report(id: u32, super_block: Kernel, line: u32, flags: u64, function: u64) {
    // SAFETY: every field is written.
    unsafe {
        send::<Filesystem>(id, |record| {
            (*record).device = super_block.read(layout!(filesystem.device));
            (*record).line = line;
            (*record).flags = flags;
            (*record).name = super_block.at(layout!(filesystem.name)).text();
            (*record).function = Kernel(function).text();
        });
    }
}
