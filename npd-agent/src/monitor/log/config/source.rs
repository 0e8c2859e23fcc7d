//! Which log a config file reads, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::go::json::ConfigError;
use crate::go::layout::TimeLayout;
use crate::go::regex::compile;
use crate::journal::{EntryFilter, Term};
use crate::monitor::ConfigFile;
use crate::monitor::log::source::filelog::LineTranslator;

/// Which log a config file reads.
#[derive(Debug)]
pub(in crate::monitor::log) enum Source {
    /// The kernel's log. Always `/dev/kmsg`, as in NPD: `logPath` does not count.
    Kmsg,
    /// A file.
    File(PathBuf, LineTranslator),
    /// The journal in this folder, or the node's own.
    Journal(Option<PathBuf>, EntryFilter),
}

#[derive(Clone, Copy, Deserialize)]
pub(super) enum LogPlugin {
    #[serde(rename = "kmsg")]
    Kmsg,
    #[serde(rename = "filelog")]
    Filelog,
    #[serde(rename = "journald")]
    Journald,
}

/// Checks where `file` reads.
pub(super) fn read(
    file: &ConfigFile,
    plugin: LogPlugin,
    log_path: String,
    plugin_config: &BTreeMap<String, String>,
) -> Result<Source, ConfigError> {
    match plugin {
        LogPlugin::Kmsg => Ok(Source::Kmsg),
        LogPlugin::Filelog if log_path.is_empty() => {
            Err(file.error("logPath", "which file to read is missing"))
        }
        LogPlugin::Filelog => {
            let translator = translator(file, plugin_config)?;
            Ok(Source::File(PathBuf::from(log_path), translator))
        }
        LogPlugin::Journald => {
            let folder = Some(log_path).filter(|path| !path.is_empty());
            Ok(Source::Journal(
                folder.map(PathBuf::from),
                wanted(file, plugin_config)?,
            ))
        }
    }
}

/// Which entries to read, from a `journald`'s `pluginConfig`.
fn wanted(
    file: &ConfigFile,
    plugin_config: &BTreeMap<String, String>,
) -> Result<EntryFilter, ConfigError> {
    let key = |key: &str| {
        plugin_config
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    };
    let mut groups = Vec::new();
    groups.extend(key("source").map(|source| vec![Term::new("SYSLOG_IDENTIFIER", source)]));
    groups.extend(key("unit").map(Term::of_unit));
    groups.extend(key("transport").map(|transport| vec![Term::new("_TRANSPORT", transport)]));
    if groups.is_empty() {
        let message = "source is missing: the SYSLOG_IDENTIFIER of the entries to read; unit or \
                       transport would do as well";
        return Err(file.error("pluginConfig", message));
    }
    if let Some(priority) = key("priority") {
        let least = PRIORITIES
            .iter()
            .position(|names| names.contains(&priority));
        let least = least.ok_or_else(|| {
            let message = "it is a number from 0 to 7 or a name from emerg to debug";
            file.error("pluginConfig.priority", message)
        })?;
        let levels = PRIORITIES[..=least].iter();
        groups.push(
            levels
                .map(|[level, _]| Term::new("PRIORITY", level))
                .collect(),
        );
    }
    Ok(EntryFilter { groups })
}

/// How bad a journal's entry is, from the worst.
const PRIORITIES: &[[&str; 2]] = &[
    ["0", "emerg"],
    ["1", "alert"],
    ["2", "crit"],
    ["3", "err"],
    ["4", "warning"],
    ["5", "notice"],
    ["6", "info"],
    ["7", "debug"],
];

/// How to read a line, from a `filelog`'s `pluginConfig`.
fn translator(
    file: &ConfigFile,
    plugin_config: &BTreeMap<String, String>,
) -> Result<LineTranslator, ConfigError> {
    let required = |key: &str| {
        let path = format!("pluginConfig.{key}");
        match plugin_config.get(key).filter(|value| !value.is_empty()) {
            Some(value) => Ok((path, value)),
            None => Err(file.error(&path, "is missing, and no line can be read without it")),
        }
    };
    let pattern = |key: &str| {
        let (path, pattern) = required(key)?;
        compile(pattern).map_err(|error| file.error(&path, error))
    };
    Ok(LineTranslator {
        timestamp: pattern("timestamp")?,
        message: pattern("message")?,
        layout: TimeLayout::new(required("timestampFormat")?.1),
    })
}
