//! The list of the probes.

use super::probe::Probe;
use super::{filesystem, hung_task, oom};

/// Every probe, in the order in which they are started.
pub(super) const PROBES: &[Probe] = &[oom::PROBE, hung_task::PROBE, filesystem::PROBE];
