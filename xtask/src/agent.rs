//! Builds the agent.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::{ebpf, workspace};

/// What a release build of the agent is for.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    /// This machine, with its C library.
    Host,
    /// Any machine, with no library at all: containers from scratch, guests.
    Static,
    /// Debugging the eBPF programs: prints what they log.
    EbpfLog,
}

/// Builds the eBPF object, then the agent with it inside, in release. Returns the binary's path.
pub(crate) fn build(shell: &Shell, build: Build) -> anyhow::Result<PathBuf> {
    ebpf::build(shell, matches!(build, Build::EbpfLog))?;
    let cargo = workspace::cargo_path();
    let mut command = cmd!(
        shell,
        "{cargo} build --locked --release --package npd-agent"
    )
    .quiet();
    let mut folder = workspace::target_dir(shell);
    match build {
        Build::Host => {}
        Build::EbpfLog => command = command.args(["--features", "ebpf-log"]),
        Build::Static => {
            // With a target named, the flags spare build scripts and procedural macros.
            let target = match std::env::consts::ARCH {
                arch @ ("x86_64" | "aarch64") => format!("{arch}-unknown-linux-gnu"),
                arch => bail!("no static build for {arch}"),
            };
            command = command
                .args(["--target", &target])
                .env("CARGO_ENCODED_RUSTFLAGS", static_flags(shell));
            folder.push(target);
        }
    }
    command.run().context("building the agent")?;
    Ok(folder.join("release/npd-agent"))
}

/// Compiler flags for an executable that needs no library, and that is the same wherever the
/// sources lie: panics name their files by paths.
fn static_flags(shell: &Shell) -> String {
    let sources = shell.current_dir();
    [
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=/cargo", cargo_home().display()),
        format!("--remap-path-prefix={}=/npd-ebpf", sources.display()),
    ]
    .join("\x1f")
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> PathBuf {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let default = || std::env::home_dir().unwrap_or_default().join(".cargo");
    named.unwrap_or_else(default)
}
