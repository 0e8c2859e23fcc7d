//! Finds or builds kube-apiserver and the other programs of a cluster.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use super::go_module::GoModule;

/// All programs in one, of the version of Kubernetes in `go.mod`.
const CLUSTER: GoModule = GoModule {
    folder: "cluster",
    sources: &["go.mod", "go.sum", "main.go", "pause/main.go"],
    packages: &[".", "./pause"],
    flags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3",
};

/// The programs of a cluster: separate ones that the machine has, or all in one from `tests/cluster`.
#[derive(Clone, Debug)]
pub(super) enum Components {
    /// `$KUBEBUILDER_ASSETS` or directories of `$PATH`, where each has its own binary.
    Separate(Vec<PathBuf>),
    /// The directory of the built `cluster` and `pause`.
    Linked(PathBuf),
}

impl Components {
    /// The separate `programs`, if the machine has all of them; else the linked ones, built the
    /// first time (four minutes, from Go modules) and saved in `target/cluster`.
    pub(super) fn find(programs: &[&str]) -> anyhow::Result<Self> {
        match separate(programs) {
            Some(directories) => Ok(Self::Separate(directories)),
            None => Ok(Self::Linked(linked()?)),
        }
    }

    /// A command that runs `program`, such as `kube-apiserver`.
    pub(super) fn command(&self, program: &str) -> Command {
        match self {
            Self::Separate(directories) => Command::new(
                find_program(directories, program).unwrap_or_else(|| PathBuf::from(program)),
            ),
            Self::Linked(directory) => {
                let mut command = Command::new(directory.join("cluster"));
                command.arg(program);
                command
            }
        }
    }
}

/// Why [`Components::find`] cannot succeed, if so.
pub(super) fn missing(programs: &[&str]) -> Option<String> {
    let is_there = separate(programs).is_some() || linked_missing().is_none();
    (!is_there).then(|| format!("no Go to build Kubernetes, no {}", programs.join(", no ")))
}

/// Why there can be no linked programs, if so.
pub(super) fn linked_missing() -> Option<String> {
    CLUSTER.missing()
}

/// The static `pause` of `tests/cluster/pause`.
pub(super) fn pause() -> anyhow::Result<PathBuf> {
    Ok(linked()?.join("pause"))
}

/// Whether a directory of `$PATH` has `program`.
pub(super) fn has_program(program: &str) -> bool {
    find_program(&search_path(), program).is_some()
}

fn separate(programs: &[&str]) -> Option<Vec<PathBuf>> {
    let directories = search_path();
    let complete = programs
        .iter()
        .all(|program| find_program(&directories, program).is_some());
    complete.then_some(directories)
}

fn search_path() -> Vec<PathBuf> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    assets.into_iter().chain(env::split_paths(&path)).collect()
}

fn find_program(directories: &[PathBuf], program: &str) -> Option<PathBuf> {
    directories
        .iter()
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

fn linked() -> anyhow::Result<PathBuf> {
    CLUSTER.built()
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Makes `target/cluster`, and returns its path.
pub(super) fn cache() -> anyhow::Result<PathBuf> {
    let cache = package().join("../target/cluster");
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    Ok(cache.canonicalize()?)
}

/// The folder of this package: Cargo knows at run time where the tree has been moved.
pub(super) fn package() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}
