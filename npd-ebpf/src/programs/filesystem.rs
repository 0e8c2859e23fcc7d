//! Probe `filesystem`: ext4 and XFS report that something is wrong.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Layout};

/// The kind of a [`FilesystemRecord`]: ext4 found an error.
pub const EXT4_ERROR: u32 = 2;
/// The kind of a [`FilesystemRecord`]: someone shut an ext4 down.
pub const EXT4_SHUTDOWN: u32 = 3;
/// The kind of a [`FilesystemRecord`]: XFS shut itself down, or someone did.
pub const XFS_SHUTDOWN: u32 = 4;

/// The name of a map, an array with one element: the offset `xfs_mount.m_super`. XFS is often a module.
/// Its BTF appears when it is loaded, which may be after the programs are loaded.
pub const XFS_SUPER: &str = "XFS_SUPER";

/// Something happened to a file system.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct FilesystemRecord {
    /// [`EXT4_ERROR`], [`EXT4_SHUTDOWN`] or [`XFS_SHUTDOWN`].
    pub header: Header,
    /// The device as the kernel numbers it: 12 bits major, 20 bits minor.
    pub device: u32,
    /// The line of the kernel's source that found the error; 0 if unknown.
    pub line: u32,
    /// The flags of a shutdown.
    pub flags: u64,
    /// `super_block.s_id`: the device's name, ended by a zero.
    pub name: [u8; 32],
    /// The function of the kernel that found the error, ended by a zero; empty if unknown.
    pub function: [u8; 64],
}

/// `super_block`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct SuperBlockLayout {
    /// `super_block.s_dev`
    pub device: u32,
    /// `super_block.s_id`
    pub name: u32,
}

impl Layout for SuperBlockLayout {
    const GLOBAL: &'static str = "SUPER_BLOCK_LAYOUT";
}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::macros::{map, raw_tracepoint};
    use aya_ebpf::maps::Array;
    use aya_ebpf::programs::RawTracePointContext;

    use super::{EXT4_ERROR, EXT4_SHUTDOWN, FilesystemRecord, SuperBlockLayout, XFS_SHUTDOWN};
    use crate::programs::kernel::{Kernel, send};

    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".rodata")]
    static SUPER_BLOCK_LAYOUT: SuperBlockLayout =
        zerocopy::transmute!([0_u32; size_of::<SuperBlockLayout>() / 4]);

    /// See [`XFS_SUPER`](super::XFS_SUPER).
    #[map]
    static XFS_SUPER: Array<u32> = Array::with_max_entries(1, 0);

    /// `ext4:ext4_error(super_block, function, line)`, before the kernel's rate limit and in any context.
    #[raw_tracepoint]
    fn ext4_error(context: RawTracePointContext) {
        debug!(&context, "ext4_error");
        report(
            EXT4_ERROR,
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
        report(EXT4_SHUTDOWN, Kernel(context.arg(0)), 0, context.arg(1), 0);
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
            XFS_SHUTDOWN,
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
            send::<FilesystemRecord>(id, |record| {
                (*record).device = super_block.read(layout!(SUPER_BLOCK_LAYOUT.device));
                (*record).line = line;
                (*record).flags = flags;
                (*record).name = super_block.at(layout!(SUPER_BLOCK_LAYOUT.name)).text();
                (*record).function = Kernel(function).text();
            });
        }
    }
}
