//! Builds the agent.

use std::path::PathBuf;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::{ebpf, workspace};

/// Names an eBPF object to embed in place of the one under version control.
const OBJECT_VARIABLE: &str = "NPD_EBPF_OBJECT";

/// Builds the agent with the eBPF object inside, in release. Returns the binary's path.
///
/// There is one build for all purposes, so what is tested is what images and guests have: it needs
/// no library on the machine that it runs on. `ebpf_log`: it prints what the eBPF programs log.
pub(crate) fn build(shell: &Shell, ebpf_log: bool) -> anyhow::Result<PathBuf> {
    let cargo = workspace::cargo_path();
    // With a target named, the flags spare build scripts and procedural macros.
    let version = cmd!(shell, "{cargo} -vV").quiet().read()?;
    let mut lines = version.lines();
    let target = lines.find_map(|line| line.strip_prefix("host: "));
    let target = target.context("asking cargo what this machine is")?;
    let features = if ebpf_log { "ebpf-log" } else { "" };
    let build = cmd!(
        shell,
        "{cargo} build --locked --release --package npd-agent --target {target} --features {features}"
    )
    .env("CARGO_ENCODED_RUSTFLAGS", flags(shell));
    let build = if ebpf_log {
        build.env(OBJECT_VARIABLE, ebpf::build_logging(shell)?)
    } else {
        ensure_object(shell)?;
        build
    };
    workspace::prepare(build).context("building the agent")?;
    let folder = workspace::target_dir(shell).join(target);
    Ok(folder.join("release/npd-agent"))
}

/// Sees to it that the agent embeds what the eBPF programs' sources make, or what the caller's
/// environment names.
fn ensure_object(shell: &Shell) -> anyhow::Result<()> {
    if std::env::var_os(OBJECT_VARIABLE).is_some() {
        return Ok(());
    }
    ebpf::refresh(shell)
}

/// Compiler flags for an executable that needs no library, and that is the same wherever the
/// sources lie: panics name their files by paths. The list of what to relocate, all of which is read
/// at the start and stays in memory, is packed: it shrinks from 0.6 MB to next to nothing.
fn flags(shell: &Shell) -> String {
    let sources = shell.current_dir();
    [
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned(),
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
