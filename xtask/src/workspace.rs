//! Where things are, and how they are run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::Shell;

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

/// Tells what happens next, or why something did not.
pub(crate) fn say(what: impl std::fmt::Display) {
    eprintln!("xtask: {what}");
}
