//! Monitors look at the node and report what they find.
//!
//! A new kind of monitor is one folder here and one line in [`KINDS`].

pub mod ebpf;
pub mod log;
pub mod plugin;
pub mod stats;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::go::json::{self, ConfigError, UnknownKey};
pub use crate::problem::Task;
use crate::problem::{Healthy, Problem, Watched};
use crate::reporter::Reporter;

/// What the config files of one kind make.
pub type Monitors = Vec<Box<dyn Monitor>>;

/// A config file, read but not understood.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Its path as given, or the name of a built-in one. Names it in messages and metrics.
    pub name: Arc<str>,
    /// Relative paths in it start here; `None` for a built-in one.
    pub dir: Option<PathBuf>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl ConfigFile {
    /// The file's content. Keys that nobody asked for are warned about.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let decoded = json::from_slice(&self.name, &self.bytes)?;
        for UnknownKey { path, line, .. } in decoded.unknown_keys {
            warn!(
                file = &*self.name,
                key = path,
                line,
                "Unknown key in config file"
            );
        }
        Ok(decoded.value)
    }

    /// A complaint about the value at `path`, for example `rules[0].pattern`.
    pub fn error(&self, path: &str, message: impl fmt::Display) -> ConfigError {
        ConfigError::new(&self.name, &self.bytes, path, message)
    }
}

/// A kind of monitor.
pub struct MonitorKind {
    /// The command-line flag that names its config files, without the dashes.
    pub flag: &'static str,
    /// NPD's older name of the flag.
    pub deprecated: Option<&'static str>,
    /// One line for `--help`.
    pub help: &'static str,
    /// Checks config files and makes monitors of them. Pure: opens nothing, so that checking a
    /// config costs nothing. Files that share a source share a monitor.
    pub load: fn(&[ConfigFile]) -> anyhow::Result<Monitors>,
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

/// A condition as NPD's config files write it. `status` and `transition` are overwritten at the
/// start, but NPD refuses a `transition` that is no time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConditionConfig {
    /// The condition's type.
    pub r#type: String,
    /// The reason while all is well.
    pub reason: String,
    /// The message while all is well.
    pub message: String,
    #[serde(rename = "status")]
    _status: String,
    #[serde(rename = "transition")]
    _transition: Option<jiff::Timestamp>,
}

impl ConditionConfig {
    /// The condition's healthy state.
    pub fn healthy(self) -> Healthy {
        Healthy {
            r#type: Arc::from(self.r#type),
            reason: Arc::from(self.reason),
            message: self.message,
        }
    }
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
