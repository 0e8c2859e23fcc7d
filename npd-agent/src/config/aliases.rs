//! Config files of aliases: conditions under further names.
//!
//! NPD has no such files, so every mistake in one is an error. A source that is not declared would make an
//! alias that says that a sick node is well.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::ensure;
use serde::Deserialize;

use super::named;
use crate::aliases::{Alias, FLAG};
use crate::go::json::ConfigProblem;
use crate::monitor::{ConfigFile, FileCheck};
use crate::problem::{ConditionStatus, Healthy};

#[derive(Deserialize)]
struct AliasFile {
    aliases: Vec<AliasConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AliasConfig {
    r#type: String,
    healthy: ConditionStatus,
    reason: String,
    message: String,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    optional_sources: Vec<String>,
}

/// The aliases of config files.
#[derive(Debug, Default)]
pub(super) struct LoadedAliases {
    /// Those that have a source.
    pub(super) aliases: Vec<Alias>,
    /// The types of the others.
    pub(super) without_source: Vec<Arc<str>>,
    /// The names of the files.
    pub(super) files: Vec<Arc<str>>,
}

/// The aliases in the files that `paths` name. `declared` are the conditions of all monitors.
pub(super) fn load(
    paths: &[PathBuf],
    declared: &BTreeSet<Arc<str>>,
    problems: &mut Vec<ConfigProblem>,
) -> anyhow::Result<LoadedAliases> {
    let mut loaded = LoadedAliases::default();
    let mut taken = declared.clone();
    for path in paths {
        let files = named(Some(FLAG), path)?;
        ensure!(
            !files.is_empty(),
            "{FLAG}=builtin: no aliases are loaded by default; name the file"
        );
        for file in files {
            for (index, config) in decode(&file, problems)?.into_iter().enumerate() {
                let path = format!("aliases[{index}]");
                let r#type: Arc<str> = Arc::from(&*config.r#type);
                if !taken.insert(Arc::clone(&r#type)) {
                    let message = "a condition or another alias already has this type";
                    return Err(file.problem(&format!("{path}.type"), message).into());
                }
                let alias = config.alias(declared, &file, &path)?;
                if alias.sources.is_empty() {
                    loaded.without_source.push(r#type);
                } else {
                    loaded.aliases.push(alias);
                }
            }
            loaded.files.push(file.name);
        }
    }
    Ok(loaded)
}

/// Checks a file by itself: whether others declare its sources is not checked.
pub fn check(file: &ConfigFile, problems: &mut Vec<ConfigProblem>) -> Result<(), ConfigProblem> {
    decode(file, problems).map(drop)
}

fn decode(
    file: &ConfigFile,
    problems: &mut Vec<ConfigProblem>,
) -> Result<Vec<AliasConfig>, ConfigProblem> {
    let AliasFile { aliases } = FileCheck::new(file, problems).decode()?;
    let mut types = BTreeSet::new();
    for (index, alias) in aliases.iter().enumerate() {
        let refused = |key: &str, message: &str| {
            Err(file.problem(&format!("aliases[{index}].{key}"), message))
        };
        if alias.r#type.is_empty() {
            return refused("type", "is empty");
        }
        if !types.insert(&alias.r#type) {
            return refused("type", "another alias already has this type");
        }
        if alias.healthy == ConditionStatus::Unknown {
            return refused("healthy", "must be True or False");
        }
        if alias.reason.is_empty() {
            return refused("reason", "is empty");
        }
        if alias.sources.is_empty() && alias.optional_sources.is_empty() {
            return refused("sources", "there is none");
        }
    }
    Ok(aliases)
}

impl AliasConfig {
    /// The alias, with those of its sources that are declared. `path` is its own in `file`.
    fn alias(
        self,
        declared: &BTreeSet<Arc<str>>,
        file: &ConfigFile,
        path: &str,
    ) -> Result<Alias, ConfigProblem> {
        let missing = |source: &String| !declared.contains(&**source);
        if let Some(index) = self.sources.iter().position(missing) {
            let message = format!(
                "no loaded config file declares the condition {:?}; if none has to, it belongs \
                 into optionalSources",
                self.sources[index]
            );
            return Err(file.problem(&format!("{path}.sources[{index}]"), message));
        }
        let sources = self.sources.iter().chain(&self.optional_sources);
        let sources = sources.filter_map(|source| declared.get(&**source).cloned());
        Ok(Alias {
            sources: sources.collect(),
            healthy: Healthy {
                r#type: Arc::from(self.r#type),
                reason: Arc::from(self.reason),
                message: self.message,
            },
            well: self.healthy,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::config::load;
    use crate::monitor::KINDS;

    const MONITOR: &str = r#"{"plugin": "kmsg",
        "conditions": [{"type": "Deadlock", "reason": "NoDeadlock"}],
        "rules": [{"type": "permanent", "condition": "Deadlock", "reason": "Hung", "pattern": "x"}]}"#;

    /// What is loaded of a file of aliases, beside a monitor that declares `Deadlock`.
    #[track_caller]
    fn check(aliases: &str, expect: &Expect) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let mut lists = vec![Vec::new(); KINDS.len()];
        lists[0].push(write("kernel.json", MONITOR));
        let said = match load(&lists, &[write("aliases.json", aliases)]) {
            Ok(loaded) => format!(
                "{:?} {:?} {:?}",
                loaded.aliases, loaded.without_source, loaded.conditions
            ),
            Err(error) => format!("{error:#}"),
        };
        let folder = format!("{}/", folder.path().display());
        expect.assert_eq(&said.replace(&folder, ""));
    }

    #[test]
    fn sources_that_no_file_declares_are_left_out_only_if_they_are_optional() {
        check(
            r#"{"aliases": [
{"type": "KernelReady", "healthy": "True", "reason": "Ready", "message": "", "sources": ["Deadlock"],
 "optionalSources": ["Hardware"]},
{"type": "DiskReady", "healthy": "True", "reason": "Ready", "message": "", "optionalSources": ["Disk"]}]}"#,
            &expect![[
                r#"[Alias { healthy: Healthy { type: "KernelReady", reason: "Ready", message: "" }, well: True, sources: ["Deadlock"] }] ["DiskReady"] {"Deadlock", "KernelReady"}"#
            ]],
        );
        check(
            r#"{"aliases": [
{"type": "KernelReady", "healthy": "True", "reason": "Ready", "message": "",
 "sources": ["Deadlock", "Dedlock"]}]}"#,
            &expect![[
                r#"aliases.json:3:26: aliases[0].sources[1]: no loaded config file declares the condition "Dedlock"; if none has to, it belongs into optionalSources"#
            ]],
        );
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        let alias = |rest: &str| {
            format!(r#"{{"aliases": [{{"reason": "Ready", "message": "", {rest}}}]}}"#)
        };
        check(
            &alias(r#""type": "", "healthy": "True", "sources": ["Deadlock"]"#),
            &expect!["aliases.json:1:57: aliases[0].type: is empty"],
        );
        check(
            &alias(r#""type": "A", "healthy": "Unknown", "sources": ["Deadlock"]"#),
            &expect!["aliases.json:1:73: aliases[0].healthy: must be True or False"],
        );
        check(
            &alias(r#""type": "A", "healthy": "true", "sources": ["Deadlock"]"#),
            &expect![
                "aliases.json:1:73: aliases[0].healthy: unknown variant `true`, expected one of `True`, `False`, `Unknown`"
            ],
        );
        check(
            &alias(r#""type": "A", "sources": ["Deadlock"]"#),
            &expect!["aliases.json:1:14: aliases[0]: missing field `healthy`"],
        );
        check(
            &alias(r#""type": "A", "healthy": "True""#),
            &expect!["aliases.json:1:14: aliases[0].sources: there is none"],
        );
        check(
            &alias(r#""type": "Deadlock", "healthy": "True", "sources": ["Deadlock"]"#),
            &expect![
                "aliases.json:1:57: aliases[0].type: a condition or another alias already has this type"
            ],
        );
        check("{}", &expect!["aliases.json:1:1: missing field `aliases`"]);
    }

    #[test]
    fn the_ready_made_aliases_work_with_the_monitors_that_run_by_default() {
        let none = vec![Vec::new(); KINDS.len()];
        let loaded = load(&none, &[PathBuf::from("builtin:aliases/eks.json")]).unwrap();
        let aliases = loaded.aliases.iter();
        let sources =
            aliases.map(|alias| format!("{}: {:?}\n", alias.healthy.r#type, alias.sources));
        expect![[r#"
            KernelReady: ["KernelDeadlock", "MemoryFailing", "CperHardwareErrorFatal"]
            StorageReady: ["StorageFailing", "ReadonlyFilesystem", "XfsShutdown"]
            NetworkingReady: ["NICFailing"]
            AcceleratedHardwareReady: ["GPUFailing"]
        "#]]
        .assert_eq(&sources.collect::<String>());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let error = load(&none, &[PathBuf::from("builtin")]).err().unwrap();
        expect![
            "--config.condition-aliases=builtin: no aliases are loaded by default; name the file"
        ]
        .assert_eq(&error.to_string());
    }
}
