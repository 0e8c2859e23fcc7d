//! Probe `writeback_error`: data that programs had written, and that was lost on its way to the disk
//! or server.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Layout};

/// The name of a map: how often each kind of failure happened, by [`WritebackErrorRecord::key`].
pub const WRITEBACK_ERRORS: &str = "WRITEBACK_ERRORS";

/// Writing pages back has failed.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct WritebackErrorRecord {
    /// [`WritebackErrorRecord::ID`].
    pub header: Header,
    /// The file system's device as the kernel numbers it, also if it has none: 12 bits major, 20
    /// bits minor.
    pub device: u32,
    /// The same of the block device that the inode stands for; 0 if it does not.
    pub block_device: u32,
    /// The error number, positive.
    pub error: u32,
    /// Zero.
    pub reserved: u32,
    /// `inode.i_ino`
    pub inode: u64,
    /// `super_block.s_id`: the device's name, ended by a zero.
    pub name: [u8; 32],
    /// `file_system_type.name`, ended by a zero.
    pub fs_type: [u8; 16],
}

impl WritebackErrorRecord {
    /// The kind of record.
    pub const ID: u32 = 6;

    /// The kind of failure, as the programs count them: file system or block device, and error.
    #[inline]
    pub fn key(&self) -> u64 {
        key(self.device, self.block_device, self.error)
    }
}

#[inline]
fn key(device: u32, block_device: u32, error: u32) -> u64 {
    // All block devices are in one file system, whose device is no block device's.
    let (device, is_block) = if block_device == 0 {
        (device, 0)
    } else {
        (block_device, 1 << 16)
    };
    u64::from(device) << 32 | is_block | u64::from(error & 0xffff)
}

/// `address_space`, and the way to its file system.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct MappingLayout {
    /// `address_space.wb_err`
    pub error: u32,
    /// `address_space.host`
    pub inode: u32,
    /// `inode.i_ino`
    pub number: u32,
    /// `inode.i_rdev`
    pub block_device: u32,
    /// `inode.i_sb`
    pub super_block: u32,
    /// `super_block.s_dev`
    pub device: u32,
    /// `super_block.s_id`
    pub name: u32,
    /// `super_block.s_type`
    pub fs_type: u32,
    /// `file_system_type.name`
    pub fs_type_name: u32,
}

impl Layout for MappingLayout {
    const GLOBAL: &'static str = "MAPPING_LAYOUT";
}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::macros::{map, raw_tracepoint};
    use aya_ebpf::maps::PerCpuHashMap;
    use aya_ebpf::programs::RawTracePointContext;

    use super::{MappingLayout, WritebackErrorRecord, key};
    use crate::programs::kernel::{COUNTED_KINDS, Kernel, count, send};

    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".rodata")]
    static MAPPING_LAYOUT: MappingLayout =
        zerocopy::transmute!([0_u32; size_of::<MappingLayout>() / 4]);

    /// See [`WRITEBACK_ERRORS`](super::WRITEBACK_ERRORS).
    #[map]
    static WRITEBACK_ERRORS: PerCpuHashMap<u64, [u64; 2]> =
        PerCpuHashMap::with_max_entries(COUNTED_KINDS, 0);

    /// The low bits of an `errseq_t` are the error (`lib/errseq.c`).
    const ERROR: u32 = 0xfff;

    /// `filemap:filemap_set_wb_err(address_space, errseq)`: what a later `fsync` returns. The second
    /// argument may be what it would have returned before.
    #[raw_tracepoint]
    fn filemap_set_wb_err(context: RawTracePointContext) {
        debug!(&context, "filemap_set_wb_err");
        let mapping = Kernel(context.arg(0));
        let sequence: u32 = mapping.read(layout!(MAPPING_LAYOUT.error));
        let inode = mapping.follow(layout!(MAPPING_LAYOUT.inode));
        let super_block = inode.follow(layout!(MAPPING_LAYOUT.super_block));
        let device: u32 = super_block.read(layout!(MAPPING_LAYOUT.device));
        let block_device: u32 = inode.read(layout!(MAPPING_LAYOUT.block_device));
        let error = sequence & ERROR;
        let id = WritebackErrorRecord::ID;
        if !count(&WRITEBACK_ERRORS, id, key(device, block_device, error)) {
            return;
        }
        let fs_type = super_block.follow(layout!(MAPPING_LAYOUT.fs_type));
        // SAFETY: the record begins with a header, and every other field is written.
        unsafe {
            send::<WritebackErrorRecord>(id, |record| {
                (*record).device = device;
                (*record).block_device = block_device;
                (*record).error = error;
                (*record).reserved = 0;
                // An `unsigned long`, or 64 bits: the same on the machines that we support.
                (*record).inode = inode.read(layout!(MAPPING_LAYOUT.number));
                (*record).name = super_block.at(layout!(MAPPING_LAYOUT.name)).text();
                (*record).fs_type = fs_type.follow(layout!(MAPPING_LAYOUT.fs_type_name)).text();
            });
        }
    }
}
