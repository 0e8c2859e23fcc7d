//! From config files to monitors. Nothing is started here, and nothing opened but the files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tracing::warn;

use crate::monitor::{ConfigFile, KINDS, Monitors};

/// A config file that is part of the agent.
struct BuiltIn {
    /// The flag that would name it.
    flag: &'static str,
    name: &'static str,
    content: &'static str,
}

/// The one in `deploy/config`, as NPD or we ship it.
macro_rules! built_in {
    ($flag:literal, $file:literal) => {
        BuiltIn {
            flag: $flag,
            name: concat!("built-in ", $file),
            content: include_str!(concat!("../../deploy/config/", $file)),
        }
    };
}

/// What runs when no config file is named.
const BUILT_IN: &[BuiltIn] = &[
    built_in!("config.system-log-monitor", "kernel-monitor.json"),
    built_in!("config.system-log-monitor", "readonly-monitor.json"),
    built_in!("config.system-stats-monitor", "system-stats-monitor.json"),
    built_in!("config.ebpf-monitor", "ebpf-monitor.json"),
];

/// Makes the monitors of the named files, or the built-in ones if none is named.
/// `configs` has a list for each of [`KINDS`].
pub fn load(configs: &[Vec<PathBuf>]) -> anyhow::Result<Monitors> {
    let none_named = configs.iter().all(Vec::is_empty);
    let mut seen = BTreeSet::new();
    let mut monitors = Vec::new();
    for (kind, paths) in KINDS.iter().zip(configs) {
        let mut files = Vec::new();
        if none_named {
            files.extend(built_in(kind.flag));
        }
        for path in paths {
            if seen.insert(path.clone()) {
                files.push(read(path)?);
            } else {
                warn!(file = %path.display(), "Config file is named twice; skipping the second");
            }
        }
        monitors.extend((kind.load)(&files)?);
    }
    Ok(monitors)
}

fn built_in(flag: &str) -> impl Iterator<Item = ConfigFile> {
    let files = BUILT_IN.iter().filter(move |file| file.flag == flag);
    files.map(|file| ConfigFile {
        name: Arc::from(file.name),
        dir: None,
        bytes: file.content.as_bytes().to_vec(),
    })
}

fn read(path: &Path) -> anyhow::Result<ConfigFile> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("reading the config file {name}"))?;
    let dir = path.parent().map(Path::to_path_buf);
    Ok(ConfigFile {
        name: Arc::from(name),
        dir,
        bytes,
    })
}
