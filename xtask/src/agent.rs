//! Builds the agent.

use std::path::PathBuf;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::{ebpf, workspace};

/// The environment variable with the path of another eBPF object to embed.
const OBJECT_VARIABLE: &str = "NPD_EBPF_OBJECT";

/// The flag that selects [`release`] instead of the quick build.
pub(crate) const RELEASE_FLAG: &str = "--release";

/// Links libraries statically, because an image may have none.
const STATIC: &str = "-Ctarget-feature=+crt-static";

/// Builds the agent in one or two minutes: not optimized, and sharing its crates with the tests. Returns
/// the executable's path. `ebpf_log`: the agent prints what the eBPF programs log.
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

/// Builds the release build: small, fast, and the same bytes on every machine. Returns the executable's
/// path.
pub(crate) fn release(shell: &Shell) -> anyhow::Result<PathBuf> {
    ensure_object(shell)?;
    let cargo = workspace::cargo_path();
    // With a target named, the flags spare build scripts and procedural macros.
    let version = cmd!(shell, "{cargo} -vV").quiet().read()?;
    let mut lines = version.lines();
    let target = lines.find_map(|line| line.strip_prefix("host: "));
    let target = target.context("asking cargo for this machine's target")?;
    let build = cmd!(
        shell,
        "{cargo} build --locked --release --package npd-agent --target {target}"
    )
    .env("CARGO_ENCODED_RUSTFLAGS", flags(shell));
    workspace::prepare(build).context("building the agent")?;
    let folder = workspace::target_dir(shell).join(target);
    Ok(folder.join("release/npd-agent"))
}

/// Ensures that the agent embeds an up-to-date eBPF object, or the one that the environment names.
fn ensure_object(shell: &Shell) -> anyhow::Result<()> {
    if std::env::var_os(OBJECT_VARIABLE).is_some() {
        return Ok(());
    }
    ebpf::refresh(shell)
}

/// Compiler flags for an executable that needs no library, and that does not depend on the sources' folder
/// (panics contain paths). The relocation table, which is read at the start and stays in memory, is
/// packed: it shrinks from 0.6 MB to almost nothing.
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

/// The folder with the sources of dependencies.
fn cargo_home() -> PathBuf {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let default = || std::env::home_dir().unwrap_or_default().join(".cargo");
    named.unwrap_or_else(default)
}
