//! Where things are, and how they are run.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use xshell::{Cmd, Shell};

/// A shell in the workspace's root.
///
/// Cargo says at run time where this package lies: what it said when the package was built is
/// wrong once the tree has been moved or copied.
pub(crate) fn shell() -> anyhow::Result<Shell> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = package.parent().context("finding the workspace's root")?;
    let shell = Shell::new().context("opening a shell")?;
    shell.change_dir(root);
    Ok(shell)
}

/// The folder for what is built for this machine. What is built for the kernel, and with which
/// tools, is always under the workspace's own `target`, where the agent's build script looks.
pub(crate) fn target_dir(shell: &Shell) -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    shell.current_dir().join(chosen)
}

/// The cargo that runs us.
pub(crate) fn cargo_path() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Whether this process may do what only root may.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|process| process.uid() == 0)
}

/// Runs a program that makes what the command needs, and does not wait for input.
///
/// What it prints is for people, so it goes to standard error: our standard output has only the
/// answer, such as the path that `cargo xtask image` prints.
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

/// Tells what happens next, or why something did not.
pub(crate) fn say(what: impl std::fmt::Display) {
    eprintln!("xtask: {what}");
}
