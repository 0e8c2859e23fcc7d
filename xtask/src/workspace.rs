//! Finds folders and programs, and runs programs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use xshell::{Cmd, Shell};

/// A shell in the workspace's root.
///
/// Cargo gives the folder of this package at run time. The folder at build time is wrong if the tree was
/// moved or copied.
pub(crate) fn shell() -> anyhow::Result<Shell> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = package.parent().context("finding the workspace's root")?;
    let shell = Shell::new().context("opening a shell")?;
    shell.change_dir(root);
    Ok(shell)
}

/// The folder of builds for this machine. Builds for the kernel and tools are always in the workspace's own
/// `target`, where the agent's build script finds them.
pub(crate) fn target_dir(shell: &Shell) -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    shell.current_dir().join(chosen)
}

/// The cargo that runs us.
pub(crate) fn cargo_path() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|process| process.uid() == 0)
}

/// Runs a program that prepares something, without input.
///
/// Its output goes to standard error, because it is for people. Standard output has only the result, such
/// as the path that `cargo xtask image` prints.
#[expect(
    clippy::disallowed_types,
    reason = "xshell cannot send what a program prints to standard error"
)]
pub(crate) fn prepare(command: Cmd<'_>) -> anyhow::Result<()> {
    let name = command.to_string();
    let status = std::process::Command::from(command)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("starting `{name}`"))?;
    ensure!(status.success(), "`{name}` failed: {status}");
    Ok(())
}

/// Prints what happens next, or why something failed.
pub(crate) fn say(what: impl std::fmt::Display) {
    eprintln!("xtask: {what}");
}
