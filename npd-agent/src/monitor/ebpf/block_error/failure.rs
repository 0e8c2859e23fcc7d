//! A kind of failure: the disk, the operation and the cause.

use std::path::Path;

use npd_ebpf::block_error::BlockErrorRecord;

use crate::kernel_text::block_error::RequestLine;
use crate::monitor::ebpf::probe::text;
use crate::node::block::BlockDevice;

/// `GENHD_FL_REMOVABLE`, the same in every kernel.
const REMOVABLE: u32 = 1;

/// Operations of `enum req_op` whose numbers never changed.
const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 2;
const DISCARD: u32 = 3;
const SECURE_ERASE: u32 = 5;
const WRITE_ZEROES: u32 = 9;

/// What is known of requests that failed in the same way.
#[derive(Clone, Debug)]
pub(super) struct BlockFailure {
    pub(super) device: BlockDevice,
    /// The disk's name.
    pub(super) disk: String,
    operation: u32,
    error: i32,
    is_removable: bool,
    /// The sector of the last one that is known.
    sector: u64,
}

impl BlockFailure {
    /// The failure that a record is about.
    pub(super) fn new(record: &BlockErrorRecord) -> Self {
        Self {
            device: BlockDevice::from_kernel(record.device),
            disk: text(&record.disk),
            operation: record.operation,
            error: record.error,
            is_removable: record.disk_flags & REMOVABLE != 0,
            sector: record.sector,
        }
    }

    /// Whether no data is lost by it. `sys` is the path of `/sys`.
    pub(super) fn is_harmless(&self, sys: &Path) -> bool {
        let is_hint = matches!(self.operation, DISCARD | SECURE_ERASE);
        let error = BlockStatus::new(self.error);
        // The kernel then writes the zeroes itself.
        let is_refused = self.operation == WRITE_ZEROES && error == BlockStatus::Target;
        is_hint || is_refused || error.is_answer() || self.is_removable || self.is_torn_down(sys)
    }

    /// Whether the disk is a loop device whose file was removed while the device was still read. This
    /// happens when a snap is removed.
    fn is_torn_down(&self, sys: &Path) -> bool {
        let is_loop = self.disk.starts_with("loop");
        is_loop && !sys.join("block").join(&self.disk).join("loop").exists()
    }

    /// The kernel's line about it, and the disk's number.
    pub(super) fn message(&self) -> String {
        let number = format!("{:#x}", self.operation);
        let line = RequestLine {
            error: BlockStatus::new(self.error).word(),
            disk: &self.disk,
            sector: self.sector,
            operation: self.operation,
            name: match self.operation {
                READ => "READ",
                WRITE => "WRITE",
                FLUSH => "FLUSH",
                WRITE_ZEROES => "WRITE_ZEROES",
                _ => &number,
            },
        };
        format!("{line}, device {}", self.device)
    }
}

/// Why a request failed, as far as the numbers are the same in every kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockStatus {
    NotSupported,
    Timeout,
    NoSpace,
    Transport,
    Target,
    Reserved,
    Medium,
    Protection,
    Resource,
    Again,
    Io,
}

impl BlockStatus {
    /// From a `blk_status_t`, or from the error number that stands for it before 5.16.
    fn new(error: i32) -> Self {
        match error {
            1 | -95 => Self::NotSupported,
            2 | -110 => Self::Timeout,
            3 | -28 => Self::NoSpace,
            4 | -67 => Self::Transport,
            5 | -121 => Self::Target,
            6 | -52 => Self::Reserved,
            7 | -61 => Self::Medium,
            8 | -84 => Self::Protection,
            9 | 13 | -12 | -16 => Self::Resource,
            11 | 12 | -11 | -78 => Self::Again,
            _ => Self::Io,
        }
    }

    /// Whether it is no fault but a normal answer: the device does not support the operation, or the
    /// request must be sent again, as with a poll that does not wait.
    fn is_answer(self) -> bool {
        matches!(self, Self::NotSupported | Self::Again)
    }

    /// The kernel's word for it.
    fn word(self) -> &'static str {
        match self {
            Self::NotSupported => "operation not supported",
            Self::Timeout => "timeout",
            Self::NoSpace => "critical space allocation",
            Self::Transport => "recoverable transport",
            Self::Target => "critical target",
            Self::Reserved => "reservation conflict",
            Self::Medium => "critical medium",
            Self::Protection => "protection",
            Self::Resource => "kernel resource",
            Self::Again => "nonblocking retry",
            Self::Io => "I/O",
        }
    }
}
