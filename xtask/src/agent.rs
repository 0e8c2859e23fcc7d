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
                .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
            folder.push(target);
        }
    }
    command.run().context("building the agent")?;
    Ok(folder.join("release/npd-agent"))
}
