//! `--config.ebpf-monitor`: sees through programs in the kernel what logs tell late or never.

pub mod filesystem;
pub mod probe;

use probe::Probe;

/// Every probe, in the order in which they are started.
pub const PROBES: &[Probe] = &[filesystem::PROBE];
