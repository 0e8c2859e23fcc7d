//! Monitors look at the node and report what they find.
//!
//! A new kind of monitor is one folder here and one line in [`KINDS`].

pub mod config_file;
pub mod ebpf;
mod kind;
pub mod log;
pub mod plugin;
pub mod stats;

pub use self::config_file::{ConfigFile, FileCheck};
pub use self::kind::{Declaration, Monitor, MonitorKind, Monitors, condition_types};
pub use crate::problem::Task;

/// Every kind of monitor, in the order of `--help`.
pub const KINDS: &[MonitorKind] = &[log::KIND, plugin::KIND, stats::KIND, ebpf::KIND];
