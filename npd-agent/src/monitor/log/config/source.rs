//! Which log a config file reads, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::go::json::ConfigProblem;
use crate::go::layout::TimeLayout;
use crate::go::regex::compile;
use crate::journal::{EntryFilter, Term};
use crate::monitor::FileCheck;
use crate::monitor::log::source::filelog::{DescribedFormat, LineTranslator};

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

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(expecting = "kmsg, filelog or journald")]
pub(super) enum LogPlugin {
    #[serde(rename = "kmsg")]
    Kmsg,
    #[serde(rename = "filelog")]
    Filelog,
    #[serde(rename = "journald")]
    Journald,
}

impl LogPlugin {
    /// The keys of its `pluginConfig`, whose case counts: for Go it is a map.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Kmsg => &[],
            Self::Filelog => &[
                "timestamp",
                "message",
                "timestampFormat",
                "format",
                "source",
            ],
            Self::Journald => &["source", "unit", "transport", "priority"],
        }
    }
}

/// Which log is read; `None` if the file does not say. NPD then runs its other files.
pub(super) fn read(
    check: &mut FileCheck<'_>,
    plugin: LogPlugin,
    log_path: String,
    plugin_config: &BTreeMap<String, String>,
) -> Result<Option<Source>, ConfigProblem> {
    for key in plugin_config.keys() {
        if !plugin.keys().contains(&&**key) {
            let path = format!("pluginConfig.{key}");
            check.note(&path, "is not a key of this plugin; it has no effect");
        }
    }
    match plugin {
        LogPlugin::Kmsg => Ok(Some(Source::Kmsg)),
        LogPlugin::Filelog => {
            let translator = translator(check, plugin_config)?;
            if log_path.is_empty() {
                check.note("logPath", "is missing; no file is read");
                return Ok(None);
            }
            Ok(Some(Source::File(PathBuf::from(log_path), translator)))
        }
        LogPlugin::Journald => {
            let folder = Some(log_path).filter(|path| !path.is_empty());
            let wanted = wanted(check, plugin_config);
            Ok(wanted.map(|wanted| Source::Journal(folder.map(PathBuf::from), wanted)))
        }
    }
}

/// Which entries to read, from a `journald`'s `pluginConfig`.
fn wanted(
    check: &mut FileCheck<'_>,
    plugin_config: &BTreeMap<String, String>,
) -> Option<EntryFilter> {
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
        let message = "is missing; no entry is read. It is the SYSLOG_IDENTIFIER of the entries to \
                       read; unit or transport would do as well";
        check.note("pluginConfig.source", message);
        return None;
    }
    if let Some(priority) = key("priority") {
        let least = PRIORITIES
            .iter()
            .position(|names| names.contains(&priority));
        if let Some(least) = least {
            let levels = PRIORITIES[..=least].iter();
            let terms = levels.map(|[level, _]| Term::new("PRIORITY", level));
            groups.push(terms.collect());
        } else {
            let message = "must be a number from 0 to 7 or a name from emerg to debug; entries of \
                           every priority are read";
            check.note("pluginConfig.priority", message);
        }
    }
    Some(EntryFilter { groups })
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

/// How to read a line, from a `filelog`'s `pluginConfig`. Without one of the keys no line can be
/// read; NPD then follows the file for nothing.
fn translator(
    check: &mut FileCheck<'_>,
    plugin_config: &BTreeMap<String, String>,
) -> Result<LineTranslator, ConfigProblem> {
    let given = |key: &str| plugin_config.get(key).filter(|value| !value.is_empty());
    match given("format").map(String::as_str) {
        Some("auto") => {
            for key in ["timestamp", "message", "timestampFormat"] {
                if given(key).is_some() {
                    let path = format!("pluginConfig.{key}");
                    check.note(&path, "has no effect with the format auto");
                }
            }
            let program = given("source").cloned();
            return Ok(LineTranslator::Recognised { program });
        }
        Some(_) => check.note("pluginConfig.format", "must be auto; it has no effect"),
        None => {}
    }
    if given("source").is_some() {
        let message = "has no effect without the format auto";
        check.note("pluginConfig.source", message);
    }
    let mut key = |key: &str| {
        let path = format!("pluginConfig.{key}");
        let value = plugin_config.get(key).map_or("", String::as_str);
        if value.is_empty() {
            check.note(&path, "is missing; no line can be read without it");
        }
        (path, value)
    };
    let (timestamp, message) = (key("timestamp"), key("message"));
    let (_, layout) = key("timestampFormat");
    let pattern = |(path, pattern): (String, &str)| {
        compile(pattern).map_err(|error| check.error(&path, error))
    };
    Ok(LineTranslator::Described(DescribedFormat::new(
        pattern(timestamp)?,
        pattern(message)?,
        TimeLayout::new(layout),
    )))
}
