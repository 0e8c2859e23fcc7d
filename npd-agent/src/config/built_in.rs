//! The config files that are part of the agent.

use std::sync::Arc;

use anyhow::bail;

use crate::monitor::ConfigFile;

/// A config file that is part of the agent.
struct BuiltIn {
    /// The flag that would name it.
    flag: &'static str,
    /// Its name, after `builtin:`.
    name: &'static str,
    content: &'static str,
    /// Whether it runs when no config file is named.
    default: bool,
}

/// The one in `deploy/config`, as NPD or we ship it.
macro_rules! built_in {
    ($flag:literal, $file:literal, $default:literal) => {
        BuiltIn {
            flag: concat!("--config.", $flag),
            name: concat!("builtin:", $file),
            content: include_str!(concat!("../../../deploy/config/", $file)),
            default: $default,
        }
    };
}

/// In the order in which they run.
const BUILT_IN: &[BuiltIn] = &[
    built_in!("system-log-monitor", "kernel/core.json", true),
    built_in!("system-log-monitor", "kernel/init.json", true),
    built_in!("system-log-monitor", "kernel/memory.json", true),
    built_in!("system-log-monitor", "kernel/cpu.json", true),
    built_in!("system-log-monitor", "kernel/pcie.json", true),
    built_in!("system-log-monitor", "kernel/block.json", true),
    built_in!("system-log-monitor", "kernel/filesystems.json", true),
    built_in!("system-log-monitor", "kernel/network.json", true),
    built_in!("system-log-monitor", "kernel/network-storage.json", true),
    built_in!("system-log-monitor", "kernel/limits.json", true),
    built_in!("system-log-monitor", "kernel/gpu.json", true),
    // NPD's own rules, for those who want nothing else.
    built_in!("system-log-monitor", "kernel-monitor.json", false),
    built_in!("system-log-monitor", "readonly-monitor.json", false),
    built_in!("system-stats-monitor", "system-stats-monitor.json", true),
    built_in!("system-stats-monitor", "links-monitor.json", true),
    built_in!("ebpf-monitor", "ebpf-monitor.json", true),
    built_in!("condition-aliases", "aliases/eks.json", false),
];

/// The files that run by default for `flag`, or for every flag.
pub(super) fn built_in(flag: Option<&str>) -> impl Iterator<Item = ConfigFile> {
    let files = BUILT_IN.iter().filter(move |file| file.is_for(flag));
    files.filter(|file| file.default).map(BuiltIn::file)
}

/// The file for `flag`, or for any flag, with this name, which begins with `builtin:`.
pub(super) fn named_built_in(flag: Option<&str>, name: &str) -> anyhow::Result<ConfigFile> {
    let files = BUILT_IN.iter().filter(|file| file.is_for(flag));
    if let Some(file) = files.clone().find(|file| file.name == name) {
        return Ok(file.file());
    }
    let known: Vec<_> = files.map(|file| file.name).collect();
    let flag = flag.map_or_else(String::new, |flag| format!("{flag}="));
    bail!(
        "{flag}{name}: the agent has no such config file, only {}",
        known.join(", ")
    )
}

impl BuiltIn {
    fn is_for(&self, flag: Option<&str>) -> bool {
        flag.is_none_or(|flag| flag == self.flag)
    }

    fn file(&self) -> ConfigFile {
        ConfigFile {
            name: Arc::from(self.name),
            dir: None,
            bytes: self.content.as_bytes().to_vec(),
        }
    }
}
