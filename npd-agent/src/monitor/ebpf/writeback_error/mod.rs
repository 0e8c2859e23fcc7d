//! The `writeback_error` probe: data that programs had written, and that was lost on its way to the
//! disk or server, from the tracepoint `filemap:filemap_set_wb_err` (4.13).
//!
//! The kernel reports the error only to a program that calls `fsync`, and only once. Most programs
//! never call it. The probe also sees network file systems and FUSE.

use std::path::Path;

use nix::errno::Errno;
use npd_ebpf::Layout as _;
use npd_ebpf::writeback_error::{MappingLayout, WRITEBACK_ERRORS, WritebackErrorRecord};

use super::failures::{CountedFailure, watch_failures};
use super::probe::{self, Probe, ProbeContext, ProbeRecord, text};
use super::program::{KernelProgram, ProgramLayout, bytes};
use crate::monitor::Task;
use crate::node::block::BlockDevice;

/// The probe.
pub(super) const PROBE: Probe = Probe {
    name: "writeback_error",
    lasts: false,
    text: None,
    selectors: &[],
    programs: &[KernelProgram {
        name: "filemap_set_wb_err",
        tracepoint: "filemap_set_wb_err",
        record: WritebackErrorRecord::ID,
        needs: &[MAPPING],
        uses: &[],
        instead_of: None,
        module: None,
    }],
    counts: Some(WRITEBACK_ERRORS),
    iterator: None,
    run,
};

/// Which file is written back, and where to.
const MAPPING: ProgramLayout = ProgramLayout {
    global: MappingLayout::GLOBAL,
    read: |btf| {
        let of_inode = |member| btf.offset("inode", member);
        let of_super_block = |member| btf.offset("super_block", member);
        Ok(bytes(&MappingLayout {
            error: btf.offset("address_space", "wb_err")?,
            inode: btf.offset("address_space", "host")?,
            number: of_inode("i_ino")?,
            block_device: of_inode("i_rdev")?,
            super_block: of_inode("i_sb")?,
            device: of_super_block("s_dev")?,
            name: of_super_block("s_id")?,
            fs_type: of_super_block("s_type")?,
            fs_type_name: btf.offset("file_system_type", "name")?,
        }))
    },
};

fn run(watch: ProbeContext) -> Task<'static> {
    Box::pin(watch_failures(watch, read))
}

fn read(record: &ProbeRecord, sys: &Path) -> Option<CountedFailure> {
    let record = record.decode::<WritebackErrorRecord>()?;
    let WritebackErrorRecord {
        block_device,
        inode,
        ..
    } = record;
    let (subject, place) = if block_device == 0 {
        let name = text(&record.name);
        let place = format!("{name} ({}), inode {inode}", text(&record.fs_type));
        (name, place)
    } else {
        let device = BlockDevice::from_kernel(block_device);
        let name = device.name(sys).unwrap_or_else(|| device.to_string());
        let place = format!("the block device {name}");
        (name, place)
    };
    let error = Errno::from_raw(record.error.cast_signed());
    Some(CountedFailure {
        key: record.key(),
        timestamp: probe::timestamp(&record.header),
        message: format!("Written data was lost: {} on {place}", error.desc()),
        subject,
        // If a program writes more than there is space for, the node has no fault.
        is_harmless: matches!(error, Errno::ENOSPC | Errno::EDQUOT),
    })
}

#[cfg(test)]
mod tests;
