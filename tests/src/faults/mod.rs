//! Real faults of the running kernel, on demand.
//!
//! Each is a guard: when it is dropped, it restores what it changed on the machine, also when a test
//! fails.

pub mod cgroup;
pub mod dead;
pub mod disk;
pub mod fuse;
pub mod hang;
pub mod kmsg;
pub mod mapper;
pub mod namespace;
pub mod nfs;
pub mod nvme;
pub mod raid;
pub mod rdma;
pub mod sysctl;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

/// Runs a program to its end and returns what it printed.
pub fn run(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("running {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {args:?} ended with {}: {}",
        output.status,
        errors.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Tries until it succeeds, for at most `patience`.
pub fn retry<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Prints that something could not be restored. A panic while a test panics would hide the reason.
fn left_behind(what: &str, result: anyhow::Result<impl Sized>) {
    if let Err(error) = result {
        eprintln!("LEFT BEHIND: {what}: {error:#}");
    }
}

/// A program under another name, which becomes its process's name.
pub struct Alias {
    folder: TempDir,
    name: &'static str,
}

impl Alias {
    /// Makes `program`, one on the `PATH`, available as `name`, of at most 15 bytes.
    pub fn new(program: &str, name: &'static str) -> anyhow::Result<Self> {
        ensure!(name.len() <= 15, "the kernel cuts the name {name}");
        let folder = tempfile::tempdir().context("making a folder")?;
        std::os::unix::fs::symlink(find(program)?, folder.path().join(name))
            .with_context(|| format!("linking {program}"))?;
        Ok(Self { folder, name })
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }
}

fn find(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program));
    match found.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("{program} is not on the PATH"),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("reading {}", path.display()))?;
    Ok(text.trim().to_owned())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {text:?} to {}", path.display()))
}
