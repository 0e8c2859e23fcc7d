//! The project's rules that a machine can check. They read the files, built or not, committed or
//! not, and say which file breaks which rule.

mod config_keys;
mod dependencies;
mod deploy;
mod docs;
mod flags;
mod manifests;
mod markdown;
mod metrics;
mod names;
mod pages;
mod prebuilt;
mod probes;
mod reasons;
mod rules;
mod sources;
mod status_page;
mod suites;
mod words;

use std::path::Path;

use anyhow::Context as _;
use xshell::{Shell, cmd};

/// A text file of the project.
struct File {
    /// Its path from the root.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }
}

/// Every text file that is under version control or about to be.
fn files() -> anyhow::Result<Vec<File>> {
    let shell = root()?;
    let paths = cmd!(shell, "git ls-files --cached --others --exclude-standard").quiet();
    let read = |path: &str| {
        let text = shell.read_file(path).ok()?; // deleted, or not text
        let path = path.to_owned();
        Some(File { path, text })
    };
    Ok(paths.read()?.lines().filter_map(read).collect())
}

/// A shell in the project's root.
fn root() -> anyhow::Result<Shell> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("running under cargo")?;
    let shell = Shell::new()?;
    shell.change_dir(Path::new(&package).join(".."));
    Ok(shell)
}

/// Fails with one line a violation.
#[track_caller]
fn assert_none(rule: &str, violations: impl IntoIterator<Item = String>) {
    let violations: Vec<_> = violations.into_iter().collect();
    assert!(
        violations.is_empty(),
        "{rule}:\n{}\n",
        violations.join("\n")
    );
}
