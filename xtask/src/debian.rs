//! Finds and installs missing Debian packages.

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::workspace::{is_root, prepare, say};

/// A package, and what it is needed for.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) reason: &'static str,
}

/// A [`Package`].
pub(crate) fn package(name: impl Into<String>, reason: &'static str) -> Package {
    Package {
        name: name.into(),
        reason,
    }
}

/// Whether this system has Debian's package tools.
pub(crate) fn is_here(shell: &Shell) -> bool {
    cmd!(shell, "apt-get --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_ok()
}

/// The `packages` that are not installed.
pub(crate) fn missing(shell: &Shell, packages: Vec<Package>) -> Vec<Package> {
    let is_installed = |package: &Package| {
        let (format, name) = ("--showformat=${db:Status-Status}", &package.name);
        cmd!(shell, "dpkg-query --show {format} {name}")
            .quiet()
            .ignore_stderr()
            .read()
            .is_ok_and(|status| status == "installed")
    };
    packages
        .into_iter()
        .filter(|package| !is_installed(package))
        .collect()
}

/// Installs `packages`, or fails with the command that would.
pub(crate) fn install(shell: &Shell, packages: &[Package]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let command = format!(
        "apt-get update && apt-get install -y --no-install-recommends {}",
        names.join(" ")
    );
    anyhow::ensure!(is_here(shell), "not a Debian system: apt-get is missing");
    anyhow::ensure!(
        is_root(),
        "not root, so run this first: sudo sh -c '{command}'"
    );
    say("installing Debian packages:");
    for Package { name, reason } in packages {
        say(format_args!("  {name}: {reason}"));
    }
    let apt = || {
        cmd!(shell, "apt-get --quiet --option DPkg::Lock::Timeout=600")
            .env("DEBIAN_FRONTEND", "noninteractive")
    };
    // Old lists may name versions that are too old. One broken source must not stop the others.
    if let Err(error) = prepare(apt().arg("update")) {
        say(format_args!("{error:#}"));
    }
    let install = apt().args(["install", "--yes", "--no-install-recommends"]);
    prepare(install.args(names)).with_context(|| format!("installing with `{command}`"))
}
