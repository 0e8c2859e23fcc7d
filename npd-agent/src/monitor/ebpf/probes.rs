//! The list of the probes.

use super::probe::Probe;

/// Every probe, in the order in which they are started.
pub(super) const PROBES: &[Probe] = &[
    super::oom::PROBE,
    super::hung_task::PROBE,
    super::filesystem::PROBE,
    super::block_error::PROBE,
    super::writeback_error::PROBE,
];
