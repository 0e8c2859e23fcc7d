//! Monitors look at the node and report what they find.
//!
//! A new kind of monitor is one folder here and one line in [`KINDS`].

pub mod config_file;
pub mod ebpf;
pub mod log;
pub mod plugin;
pub mod stats;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::config_file::{ConfigFile, FileCheck};
use crate::go::json::ConfigProblem;
pub use crate::problem::Task;
use crate::problem::{Healthy, Problem, Watched};
use crate::reporter::Reporter;

/// What the config files of one kind make.
pub type Monitors = Vec<Box<dyn Monitor>>;

/// A kind of monitor.
pub struct MonitorKind {
    /// The command-line flag that names its config files.
    pub flag: &'static str,
    /// NPD's older name of the flag.
    pub deprecated: Option<&'static str>,
    /// One line for `--help`.
    pub help: &'static str,
    /// Checks config files and makes monitors of them, and adds to the problems what is wrong with
    /// files that NPD starts with. Pure: opens nothing and says nothing, so that checking a config
    /// costs nothing. Files that share a source share a monitor.
    pub load: fn(&[ConfigFile], &mut Vec<ConfigProblem>) -> anyhow::Result<Monitors>,
}

/// Every kind of monitor, in the order of `--help`.
pub const KINDS: &[MonitorKind] = &[log::KIND, plugin::KIND, stats::KIND, ebpf::KIND];

/// Something that watches the node.
pub trait Monitor: Send {
    /// Names it in logs, in `/status` and in metrics.
    fn name(&self) -> &str;

    /// What it may report, for each of its config files.
    fn declarations(&self) -> Vec<Declaration>;

    /// What its probes will soon say that they see, or that they do not.
    fn watches(&self) -> Vec<Watched> {
        Vec::new()
    }

    /// Watches, and reports, until it fails. When it fails it is run again after a pause, on the
    /// same value: what it keeps in itself survives.
    fn run<'a>(&'a mut self, reporter: &'a Reporter) -> Task<'a>;
}

/// What one config file may report.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The name of the file.
    pub monitor: Arc<str>,
    /// The `source` of the file.
    pub source: Arc<str>,
    /// Its conditions in their healthy state.
    pub conditions: Vec<Healthy>,
    /// Its rules' problems, so that their metrics exist from the start.
    pub problems: Vec<Arc<Problem>>,
    /// Whether conditions are shown before the first result (not with `skip_initial_status`).
    pub publish_at_start: bool,
}

/// The types of every condition that `monitors` may report, now or later.
pub fn condition_types(monitors: &Monitors) -> BTreeSet<Arc<str>> {
    monitors
        .iter()
        .flat_map(|monitor| monitor.declarations())
        .flat_map(|declaration| declaration.conditions)
        .map(|healthy| healthy.r#type)
        .collect()
}
