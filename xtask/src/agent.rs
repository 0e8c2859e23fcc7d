//! Builds the agent.

use std::path::PathBuf;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::{ebpf, workspace};

/// Names an eBPF object to embed in place of the one under version control.
const OBJECT_VARIABLE: &str = "NPD_EBPF_OBJECT";

/// The flag with which commands ask for [`release`] where the quick build would do.
pub(crate) const RELEASE_FLAG: &str = "--release";

/// Makes the linked libraries part of the executable: it runs in an image that has none.
const STATIC: &str = "-Ctarget-feature=+crt-static";

/// Builds the agent in a minute or two: not optimized, and with the crates that tests use, too.
/// Returns the executable's path. `ebpf_log`: it prints what the eBPF programs log.
pub(crate) fn quick(shell: &Shell, ebpf_log: bool) -> anyhow::Result<PathBuf> {
    let cargo = workspace::cargo_path();
    let features = if ebpf_log { "ebpf-log" } else { "" };
    // Flags for the executable only: its crates are those of `cargo test`.
    let build = cmd!(
        shell,
        "{cargo} rustc --locked --package npd-agent --bin npd-agent --features {features} -- {STATIC}"
    );
    let build = if ebpf_log {
        build.env(OBJECT_VARIABLE, ebpf::build_logging(shell)?)
    } else {
        ensure_object(shell)?;
        build
    };
    workspace::prepare(build).context("building the agent")?;
    Ok(workspace::target_dir(shell).join("debug/npd-agent"))
}

/// Builds the agent as it is shipped: small, fast, and the same bytes on every machine. Returns the
/// executable's path.
pub(crate) fn release(shell: &Shell) -> anyhow::Result<PathBuf> {
    ensure_object(shell)?;
    let cargo = workspace::cargo_path();
    // With a target named, the flags spare build scripts and procedural macros.
    let version = cmd!(shell, "{cargo} -vV").quiet().read()?;
    let mut lines = version.lines();
    let target = lines.find_map(|line| line.strip_prefix("host: "));
    let target = target.context("asking cargo what this machine is")?;
    let build = cmd!(
        shell,
        "{cargo} build --locked --release --package npd-agent --target {target}"
    )
    .env("CARGO_ENCODED_RUSTFLAGS", flags(shell));
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
        STATIC.to_owned(),
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
