//! From config files to monitors. Nothing is started here, and nothing opened but the files.

pub mod aliases;
mod built_in;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tracing::{info, warn};

use self::aliases::LoadedAliases;
use self::built_in::{built_in, named_built_in};
use crate::aliases::Alias;
use crate::go::json::ConfigProblem;
use crate::metrics::Metrics;
use crate::monitor::{ConfigFile, KINDS, Monitors, condition_types};
use crate::status_page::StatusPage;

/// The result of loading the config files.
pub struct Loaded {
    /// The monitors.
    pub monitors: Monitors,
    /// The aliases that have a source.
    pub aliases: Vec<Alias>,
    /// The types of the aliases that have none, because no file declares it. They are not published.
    pub without_source: Vec<Arc<str>>,
    /// The types of all conditions that may be published, now or later, with those of aliases.
    pub conditions: BTreeSet<Arc<str>>,
    /// The names of the files.
    pub files: Vec<Arc<str>>,
    /// Mistakes in files with which NPD starts, and so the agent starts too.
    pub problems: Vec<ConfigProblem>,
}

/// Makes the monitors of the named files, or the built-in ones if none is named.
/// `configs` has a list for each of [`KINDS`]; `aliases` are the files of aliases.
pub fn load(configs: &[Vec<PathBuf>], aliases: &[PathBuf]) -> anyhow::Result<Loaded> {
    let none_named = configs.iter().all(Vec::is_empty);
    let mut seen = BTreeSet::new();
    let mut loaded = Loaded {
        monitors: Vec::new(),
        aliases: Vec::new(),
        without_source: Vec::new(),
        conditions: BTreeSet::new(),
        files: Vec::new(),
        problems: Vec::new(),
    };
    for (kind, paths) in KINDS.iter().zip(configs) {
        let mut files = Vec::new();
        if none_named {
            files.extend(built_in(Some(kind.flag)));
        }
        for path in paths {
            for file in named(Some(kind.flag), path)? {
                if seen.insert(Arc::clone(&file.name)) {
                    files.push(file);
                } else {
                    let twice = file.problem("", "the file is named twice; it counts once");
                    loaded.problems.push(twice);
                }
            }
        }
        let names = files.iter().map(|file| Arc::clone(&file.name));
        loaded.files.extend(names);
        let monitors = (kind.load)(&files, &mut loaded.problems)?;
        loaded.monitors.extend(monitors);
    }
    if loaded.monitors.is_empty() {
        let problems = loaded.problems.iter().map(ToString::to_string);
        let problems: Vec<_> = problems.collect();
        bail!(
            "no config file has anything to watch: {}",
            problems.join("; ")
        );
    }
    let declared = condition_types(&loaded.monitors);
    let LoadedAliases {
        aliases,
        without_source,
        files,
    } = aliases::load(aliases, &declared, &mut loaded.problems)?;
    let of_aliases = aliases
        .iter()
        .map(|alias| Arc::clone(&alias.healthy.r#type));
    loaded.conditions = declared.into_iter().chain(of_aliases).collect();
    loaded.files.extend(files);
    loaded.without_source = without_source;
    loaded.aliases = aliases;
    Ok(loaded)
}

impl Loaded {
    /// Logs what is wrong with files, counts it and shows it.
    pub fn report(&self, metrics: &Metrics, status_page: &StatusPage) {
        for r#type in &self.without_source {
            let r#type = &**r#type;
            info!(r#type, "Alias has no source and is not published");
        }
        for file in &self.files {
            metrics.config_problems.with_label_values(&[file]).set(0);
        }
        for problem in &self.problems {
            let ConfigProblem {
                file,
                line,
                column,
                path,
                message,
            } = problem;
            warn!(
                file,
                line,
                column,
                field = path,
                problem = message,
                "Config file has a problem"
            );
            metrics.config_problems.with_label_values(&[file]).inc();
        }
        status_page.update(|shown| shown.config_problems.clone_from(&self.problems));
    }
}

/// The config files that a value of `flag` names: `builtin` is all that run by default,
/// `builtin:NAME` is one that is part of the agent, and anything else is a path.
/// Without `flag`, the built-in files of every flag are meant.
pub fn named(flag: Option<&str>, path: &Path) -> anyhow::Result<Vec<ConfigFile>> {
    match path.to_str() {
        Some("builtin") => Ok(built_in(flag).collect()),
        Some(name) if name.starts_with("builtin:") => Ok(vec![named_built_in(flag, name)?]),
        _ => Ok(vec![read(path)?]),
    }
}

/// How large a config file may be: more than any that people write, and less than the memory of a pod.
const LARGEST: usize = 16 << 20;

/// The bytes of a file, which may be a pipe, or a device without end.
fn bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= LARGEST, "it is larger than 16 MiB");
    Ok(bytes)
}

/// Reads a config file, without parsing it.
pub fn read(path: &Path) -> anyhow::Result<ConfigFile> {
    let name = path.display().to_string();
    let bytes = bounded(path).with_context(|| format!("reading the config file {name}"))?;
    let dir = path.parent().map(Path::to_path_buf);
    Ok(ConfigFile {
        name: Arc::from(name),
        dir,
        bytes,
    })
}

#[cfg(test)]
mod tests;
