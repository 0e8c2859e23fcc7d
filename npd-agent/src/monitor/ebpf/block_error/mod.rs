//! The `block_error` probe: requests to block devices that failed, from the tracepoint
//! `block:block_rq_error` (5.18), or from `block:block_rq_complete` before.
//!
//! The kernel's log has the same failures, but with a rate limit. The probe uses the log if there are
//! no tracepoints. Failures that lose no data are not reported: refused discards, removable media,
//! commands of diagnostic tools.

mod failure;
mod layout;

use std::path::Path;

use npd_ebpf::block_error::{BLOCK_ERRORS, BlockErrorRecord};

use self::failure::BlockFailure;
use self::layout::REQUEST;
use super::failures::{CountedFailure, watch_failures};
use super::probe::{self, Probe, ProbeContext, ProbeRecord};
use super::program::KernelProgram;
use crate::kernel_text;
use crate::monitor::Task;

/// The probe.
pub(super) const PROBE: Probe = Probe {
    name: "block_error",
    lasts: false,
    text: Some(kernel_text::block_error::WORDING),
    selectors: &[],
    programs: &[
        KernelProgram {
            name: ERRORS_ONLY,
            tracepoint: "block_rq_error",
            record: BlockErrorRecord::ID,
            needs: &[REQUEST],
            uses: &[],
            instead_of: None,
            module: None,
        },
        KernelProgram {
            name: "block_rq_complete",
            tracepoint: "block_rq_complete",
            record: BlockErrorRecord::ID,
            needs: &[REQUEST],
            uses: &[],
            instead_of: Some(ERRORS_ONLY),
            module: None,
        },
    ],
    counts: Some(BLOCK_ERRORS),
    iterator: None,
    run,
};

/// The program that runs only when a request has failed.
const ERRORS_ONLY: &str = "block_rq_error";

fn run(watch: ProbeContext) -> Task<'static> {
    Box::pin(watch_failures(watch, read))
}

fn read(record: &ProbeRecord, sys: &Path) -> Option<CountedFailure> {
    let record = record.decode::<BlockErrorRecord>()?;
    let failure = BlockFailure::new(&record);
    Some(CountedFailure {
        key: record.key(),
        timestamp: probe::timestamp(&record.header),
        message: failure.message(),
        is_harmless: failure.is_harmless(sys),
        subject: failure.disk,
    })
}

#[cfg(test)]
mod tests;
