//! Probe `block_error`: requests to block devices that failed. They are counted, and few are sent.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Layout};

/// The name of a map: how often each kind of failure happened, by [`BlockErrorRecord::key`].
pub const BLOCK_ERRORS: &str = "BLOCK_ERRORS";

/// A request failed.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct BlockErrorRecord {
    /// [`BlockErrorRecord::ID`].
    pub header: Header,
    /// The disk as the kernel numbers it: 12 bits major, 20 bits minor.
    pub device: u32,
    /// What was asked for: `enum req_op`.
    pub operation: u32,
    /// Why it failed: a `blk_status_t`; a negative error number before 5.16.
    pub error: i32,
    /// `gendisk.flags`.
    pub disk_flags: u32,
    /// The first sector of 512 bytes that was not read or written.
    pub sector: u64,
    /// `gendisk.disk_name`: the disk's name, ended by a zero.
    pub disk: [u8; 32],
}

impl BlockErrorRecord {
    /// The kind of record.
    pub const ID: u32 = 5;

    /// The kind of failure, as the programs count them: disk, operation and error.
    #[inline]
    pub fn key(&self) -> u64 {
        key(self.device, self.operation, self.error)
    }
}

/// Errors have 8 bits, or 8 bits and a sign.
#[inline]
fn key(device: u32, operation: u32, error: i32) -> u64 {
    u64::from(device) << 32
        | u64::from(operation & 0xff) << 16
        | u64::from(error.cast_unsigned() & 0xffff)
}

/// `request`, and the way to its disk.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct RequestLayout {
    /// `request.cmd_flags`
    pub flags: u32,
    /// `request.rq_flags`
    pub state: u32,
    /// `request.__sector`
    pub sector: u32,
    /// `request.bio`
    pub bio: u32,
    /// 1 if the disk is found through the queue (5.17).
    pub through_queue: u32,
    /// `request.q`, or `request.rq_disk` if the disk is not found through the queue
    pub owner: u32,
    /// `request_queue.disk`
    pub queue_disk: u32,
    /// `gendisk.major`
    pub major: u32,
    /// `gendisk.first_minor`
    pub minor: u32,
    /// `gendisk.disk_name`
    pub name: u32,
    /// `gendisk.flags`
    pub disk_flags: u32,
}

impl Layout for RequestLayout {
    const GLOBAL: &'static str = "REQUEST_LAYOUT";
}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::macros::{map, raw_tracepoint};
    use aya_ebpf::maps::PerCpuHashMap;
    use aya_ebpf::programs::RawTracePointContext;

    use super::{BlockErrorRecord, RequestLayout, key};
    use crate::programs::kernel::{COUNTED_KINDS, Kernel, count, send};

    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".rodata")]
    static REQUEST_LAYOUT: RequestLayout =
        zerocopy::transmute!([0_u32; size_of::<RequestLayout>() / 4]);

    /// The operation is in the low bits of `cmd_flags`, in every kernel.
    const OPERATION: u32 = 0xff;
    /// Operations from here on are the driver's own, for example SCSI commands of smartctl:
    /// `REQ_OP_SCSI_IN` in 5.8, `REQ_OP_DRV_IN` in 5.17.
    const PASSTHROUGH: u32 = 32;
    /// `RQF_QUIET`, the same from 5.8 to 5.17: who asked expects that it fails.
    const QUIET: u32 = 1 << 11;

    /// See [`BLOCK_ERRORS`](super::BLOCK_ERRORS).
    #[map]
    static BLOCK_ERRORS: PerCpuHashMap<u64, [u64; 2]> =
        PerCpuHashMap::with_max_entries(COUNTED_KINDS, 0);

    /// `block:block_rq_error(request, error, bytes)` (5.18): what the kernel's log also has, before
    /// its rate limit.
    #[raw_tracepoint]
    fn block_rq_error(context: RawTracePointContext) {
        debug!(&context, "block_rq_error");
        failed(Kernel(context.arg(0)), context.arg(1));
    }

    /// `block:block_rq_complete(request, error, bytes)`, at the end of every request: looks for the
    /// same failures as the kernel does, in `blk_update_request`.
    #[raw_tracepoint]
    fn block_rq_complete(context: RawTracePointContext) {
        let error: i32 = context.arg(1);
        if error == 0 {
            return;
        }
        let request = Kernel(context.arg(0));
        let flags: u32 = request.read(layout!(REQUEST_LAYOUT.flags));
        let state: u32 = request.read(layout!(REQUEST_LAYOUT.state));
        let bio = request.follow(layout!(REQUEST_LAYOUT.bio));
        if flags & OPERATION >= PASSTHROUGH || state & QUIET != 0 || bio.is_null() {
            return;
        }
        debug!(&context, "block_rq_complete");
        failed(request, error);
    }

    #[inline(always)]
    fn failed(request: Kernel, error: i32) {
        let mut disk = request.follow(layout!(REQUEST_LAYOUT.owner));
        if layout!(REQUEST_LAYOUT.through_queue) != 0 {
            disk = disk.follow(layout!(REQUEST_LAYOUT.queue_disk));
        }
        let major: u32 = disk.read(layout!(REQUEST_LAYOUT.major));
        let minor: u32 = disk.read(layout!(REQUEST_LAYOUT.minor));
        let device = major << 20 | minor;
        let flags: u32 = request.read(layout!(REQUEST_LAYOUT.flags));
        let operation = flags & OPERATION;
        let id = BlockErrorRecord::ID;
        if !count(&BLOCK_ERRORS, id, key(device, operation, error)) {
            return;
        }
        // SAFETY: the record begins with a header, and every other field is written.
        unsafe {
            send::<BlockErrorRecord>(id, |record| {
                (*record).device = device;
                (*record).operation = operation;
                (*record).error = error;
                (*record).disk_flags = disk.read(layout!(REQUEST_LAYOUT.disk_flags));
                (*record).sector = request.read(layout!(REQUEST_LAYOUT.sector));
                (*record).disk = disk.at(layout!(REQUEST_LAYOUT.name)).text();
            });
        }
    }
}
