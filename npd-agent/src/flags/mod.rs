//! The command line: NPD's flags, with NPD's names, types and defaults, and some new ones.

mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tracing::warn;

use crate::aliases;
use crate::go::duration::GoDuration;
use crate::go::json;
use crate::go::pflag::{ParsedLine, Words};
use crate::logging::LogFormat;
use crate::monitor::KINDS;

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum CommandLine {
    /// To run the agent.
    Run(Box<Flags>),
    /// To print this and end.
    Print(String),
}

/// The parsed command line.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Everything but the config files.
    pub options: Options,
    /// The config files of each kind of monitor, in the order of [`KINDS`].
    pub configs: Vec<Vec<PathBuf>>,
    /// The config files of aliases.
    pub aliases: Vec<PathBuf>,
    /// The other words of the line.
    pub words: Words,
}

/// The values of all flags, except those that name config files. The table says what each flag means.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that NPD has")]
#[expect(missing_docs, reason = "the table has a line about each")]
pub struct Options {
    pub terminal: Option<TerminalFormat>,
    pub enable_k8s_exporter: bool,
    pub stackdriver: String,
    pub apiserver_override: String,
    pub apiserver_wait_timeout: GoDuration,
    pub apiserver_wait_interval: GoDuration,
    pub event_namespace: String,
    pub k8s_exporter_heartbeat_period: GoDuration,
    pub k8s_exporter_write_events: bool,
    pub k8s_exporter_update_node_conditions: bool,
    pub kube_api_qps: f32,
    pub kube_api_burst: i64,
    pub hostname_override: String,
    pub port: i64,
    pub address: String,
    pub prometheus_port: i64,
    pub prometheus_address: String,
    pub state_dir: Option<PathBuf>,
    pub verbosity: i32,
    pub log_format: Option<LogFormat>,
    pub vmodule: String,
    pub logtostderr: bool,
    version: bool,
    /// The values of flags that name config files, by flag.
    lists: BTreeMap<String, Vec<String>>,
}

/// A value of a flag that turns out to be wrong only when it is used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadFlag(pub String);

/// How problems are shown on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
    /// Nothing.
    Off,
}

impl FromStr for TerminalFormat {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "off" => Ok(Self::Off),
            _ => bail!("must be text, json or off"),
        }
    }
}

impl CommandLine {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    ///
    /// What NPD refuses, with exit code 2.
    pub fn parse(line: impl IntoIterator<Item = OsString>) -> anyhow::Result<Self> {
        let (mut options, words) = match table::program().parse(line)? {
            ParsedLine::Run(options, words) => (options, words),
            ParsedLine::Help(help) => return Ok(Self::Print(help)),
        };
        if options.version {
            let version = concat!(env!("CARGO_PKG_VERSION"), "\n");
            return Ok(Self::Print(version.to_owned()));
        }
        let configs = KINDS.iter().map(|kind| {
            let mut take = |flag: &str| options.lists.remove(flag).unwrap_or_default();
            let files = take(kind.flag);
            let Some(deprecated) = kind.deprecated else {
                return Ok(files);
            };
            let old = take(deprecated);
            ensure!(
                files.is_empty() || old.is_empty(),
                "{deprecated} is the old name of {}: give one of them",
                kind.flag
            );
            Ok(if files.is_empty() { old } else { files })
        });
        let paths = |files: Vec<String>| files.into_iter().map(PathBuf::from).collect();
        let configs = configs.map(|files| files.map(paths));
        let configs = configs.collect::<anyhow::Result<_>>()?;
        let aliases = paths(options.lists.remove(aliases::FLAG).unwrap_or_default());
        Ok(Self::Run(Box::new(Flags {
            options,
            configs,
            aliases,
            words,
        })))
    }
}

impl Flags {
    /// Warns about the parts of the command line that have no effect, and about old names of flags.
    pub fn warn(&self) {
        if let Some(ignored) = self.words.ignored() {
            warn!(%ignored, "Part of the command line has no effect");
        }
        for (flag, instead) in &self.words.deprecated {
            warn!(flag, instead, "Deprecated flag");
        }
        if !self.options.logtostderr {
            warn!(
                "--logtostderr=false has no effect: the log goes to standard error, and to no file"
            );
        }
        if !self.options.vmodule.is_empty() {
            warn!("--vmodule has no effect: --v is for all files");
        }
        if !self.options.stackdriver.is_empty() {
            warn!(
                "--exporter.stackdriver has no effect: the agent does not export to Stackdriver; \
                 scrape --prometheus-port with a collector that does"
            );
        }
    }
}

impl Options {
    /// Reads a command line that has only flags.
    ///
    /// # Errors
    ///
    /// What NPD refuses, and a line that asks to print something.
    pub fn parse(line: &[&str]) -> anyhow::Result<Self> {
        match CommandLine::parse(line.iter().map(OsString::from))? {
            CommandLine::Run(flags) => Ok(flags.options),
            CommandLine::Print(text) => bail!("it asks to print {text}"),
        }
    }

    /// Refuses what NPD refuses of the file of an exporter that only NPD has.
    pub fn check(&self) -> anyhow::Result<()> {
        if !self.stackdriver.is_empty() {
            let file = || format!("--exporter.stackdriver={}", self.stackdriver);
            let content = std::fs::read(&self.stackdriver).with_context(file)?;
            json::from_slice::<BTreeMap<String, Value>>(&self.stackdriver, &content)
                .with_context(file)?;
        }
        Ok(())
    }

    /// Whether there is a cluster to report to.
    pub fn has_cluster(&self, var: impl Fn(&str) -> Option<String>) -> bool {
        self.enable_k8s_exporter && self.is_in_cluster(var)
    }

    /// The format of the log. In a cluster, programs read it that have read NPD's log before.
    pub fn log_format(&self, var: impl Fn(&str) -> Option<String>) -> LogFormat {
        self.log_format.unwrap_or(if self.is_in_cluster(var) {
            LogFormat::Klog
        } else {
            LogFormat::Text
        })
    }

    /// Whether there is a cluster: one is named, or the agent runs in a pod.
    fn is_in_cluster(&self, var: impl Fn(&str) -> Option<String>) -> bool {
        let in_pod = var("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty());
        in_pod || !self.apiserver_override.is_empty()
    }
}

#[cfg(test)]
mod tests;
