//! `osFeature`: the kernel's boot parameters and loaded modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tracing::warn;

use super::config::SectionConfig;
use super::metric::{Collect, Label, Metric, Sample};
use crate::go;
use crate::node::Roots;
use crate::node::files::read;

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[Metric::gauge(
    "system/os_feature",
    "system_os_feature",
    &["os_feature", "value"],
    "OS Features like GPU support, KTD kernel, third party modules as unknown modules. 1 if the \
     feature is enabled and 0, if disabled.",
)];

/// NPD's list, for the built-in config.
const SHIPPED: &str = include_str!("../../../../deploy/config/guestosconfig/known-modules.json");

/// Reads `/proc/cmdline` and `/proc/modules`. A kernel without modules has no second file; NPD exits then.
pub struct OsFeatureCollector {
    /// The file with the list of harmless modules; `None` for the shipped list.
    known_modules_file: Option<PathBuf>,
    /// The list, once read.
    known_modules: Option<BTreeSet<String>>,
}

/// NPD's default path.
const DEFAULT_FILE: &str = "guestosconfig/known-modules.json";

/// Makes the collector. The path is relative to the folder of the config file. The built-in config has no
/// folder and uses the shipped list.
pub fn new(config: &SectionConfig, dir: Option<&Path>) -> Box<dyn Collect> {
    let file = match &config.known_modules_config_path {
        unset if unset.as_os_str().is_empty() => Path::new(DEFAULT_FILE),
        file => file,
    };
    let known_modules_file = dir.map(|dir| dir.join(file));
    Box::new(OsFeatureCollector {
        known_modules_file,
        known_modules: None,
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KnownModule {
    #[serde(rename = "moduleName")]
    module_name: String,
}

impl Collect for OsFeatureCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let cmdline = read(&roots.proc.join("cmdline"))?;
        let arguments = arguments(&cmdline);
        let number = |name: &str| -> i64 {
            arguments
                .get(name)
                .and_then(|value| value.parse().ok())
                .unwrap_or(0)
        };
        let enforced = number("module.sig_enforce") == 1 && number("loadpin.enabled") == 1;
        let modules = read(&roots.proc.join("modules")).unwrap_or_default();
        let gpu = modules
            .lines()
            .filter_map(module)
            .any(|(name, _)| name.contains("nvidia"));
        let unknown = self.unknown_modules(&modules);
        for (feature, value, present) in [
            ("KTD", "", number("csm.enabled")),
            (
                "UnifiedCgroupHierarchy",
                "",
                number("systemd.unified_cgroup_hierarchy"),
            ),
            ("KernelModuleIntegrity", "", enforced.into()),
            ("GPUSupport", "", gpu.into()),
            ("UnknownModules", &*unknown, (!unknown.is_empty()).into()),
        ] {
            let labels = [Label::from(feature), Label::from(value)];
            sample.set("system/os_feature", labels, present as f64);
        }
        Ok(())
    }
}

impl OsFeatureCollector {
    /// Modules that taint the kernel as out-of-tree or proprietary, without NVIDIA's and known ones.
    fn unknown_modules(&mut self, modules: &str) -> String {
        let file = &self.known_modules_file;
        let known = self.known_modules.get_or_insert_with(|| {
            load_known(file.as_ref()).unwrap_or_else(|error| {
                warn!(
                    error = format!("{error:#}"),
                    "Cannot read the list of known modules; assuming that none is known"
                );
                BTreeSet::new()
            })
        });
        let tainting = modules.lines().filter_map(module).filter(|(name, taints)| {
            taints.contains(['O', 'P']) && !name.contains("nvidia") && !known.contains(*name)
        });
        tainting.map(|(name, _)| name).collect::<Vec<_>>().join(",")
    }
}

fn load_known(file: Option<&PathBuf>) -> anyhow::Result<BTreeSet<String>> {
    let (name, text) = match file {
        Some(file) => (file.display().to_string(), read(file)?),
        None => ("built-in known modules".to_owned(), SHIPPED.to_owned()),
    };
    let modules: Vec<KnownModule> = go::json::from_slice(&name, text.as_bytes())?.value;
    let names = modules.into_iter().map(|module| module.module_name);
    Ok(names.collect())
}

/// Name and taint flags of a line of `/proc/modules`: `nvidia 123 0 - Live 0x0 (PO)`. procfs ignores the
/// flags.
fn module(line: &str) -> Option<(&str, &str)> {
    let mut columns = line.split_whitespace();
    Some((columns.next()?, columns.nth(5).unwrap_or_default()))
}

/// The kernel's arguments: `key=value`, split at blanks outside quotes. procfs also splits inside quotes.
fn arguments(cmdline: &str) -> BTreeMap<String, String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in cmdline.lines().next().unwrap_or_default().chars() {
        quoted ^= c == '"';
        match words.last_mut() {
            Some(word) if quoted || c != ' ' => word.push(c),
            _ => words.push(String::new()),
        }
    }
    let words = words
        .iter()
        .filter(|word| !word.is_empty() && !word.starts_with('"'));
    let pair = |word: &String| {
        let mut parts = word.split('=');
        let key = parts.next().unwrap_or_default().to_owned();
        (
            key,
            parts
                .next()
                .unwrap_or_default()
                .trim_matches('"')
                .to_owned(),
        )
    };
    words.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_as_npd_splits_them() {
        let line = "BOOT=/vmlinuz csm.enabled=1 \"quoted word\" a=\"b c\" a=d=e csm.enabled=0\n";
        let expected = [("BOOT", "/vmlinuz"), ("a", "d"), ("csm.enabled", "0")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(arguments(line), BTreeMap::from(expected));
    }

    #[test]
    fn unknown_modules_are_those_that_taint_and_are_not_listed() {
        let modules = "foo_oot 16384 0 - Live 0x0 (OE)\nnvidia 1 0 - Live 0x0 (PO)\n\
                       xfs 1 0 - Live 0x0\nbar_prop 1 0 - Live 0x0 (P)\nx_tables 1 0 - Live 0x0 (O)\nshort\n";
        let mut feature = OsFeatureCollector {
            known_modules_file: None,
            known_modules: None,
        };
        assert_eq!(feature.unknown_modules(modules), "foo_oot,bar_prop");
    }
}
