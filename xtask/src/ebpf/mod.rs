//! Builds the eBPF object that the agent embeds.
//!
//! No toolchain carries a core library for the BPF target, so cargo builds it, which takes the
//! source of exactly the compiler in use ([`compiler`]) and a linker that reads that compiler's
//! LLVM bitcode ([`linker`]). Everything lies in folders of its own under `target`: building for
//! the kernel and building for the host never invalidate each other.

mod compiler;
mod linker;

use anyhow::Context as _;
use xshell::{Cmd, Shell, cmd};

use self::compiler::Compiler;
use crate::workspace::{prepare, say};

/// Where the agent's build script looks for the object.
const OBJECT: &str = "target/bpf/npd-ebpf";

/// The flag with which commands ask for programs that log.
pub(crate) const LOG_FLAG: &str = "--ebpf-log";

/// How programs that log are compiled: with BTF, so that the verifier and bpftool quote source
/// lines. Otherwise the linker strips all debug information, and the agent does not carry it.
const LOG_FLAGS: &str = "-Cdebuginfo=2\x1f-Clink-arg=--btf";

/// Builds [`OBJECT`], with programs that log if asked to. Installs what is missing.
pub(crate) fn build(shell: &Shell, log: bool) -> anyhow::Result<()> {
    let compiler = compiler::find_or_install(shell)?;
    let linker = linker::find_or_install(shell, &compiler)?;
    let (features, flags): (&[&str], _) = if log {
        (&["--features", "ebpf-log"], LOG_FLAGS)
    } else {
        (&[], "")
    };
    let build = cargo(shell, &compiler, "build")
        .args(features)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker)
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    prepare(build).context("building the eBPF programs")?;
    publish(shell)
}

/// Lints the programs, which the host's clippy does not see, with the clippy that belongs to
/// their compiler. Warnings are errors.
pub(crate) fn clippy(shell: &Shell) -> anyhow::Result<()> {
    let compiler = compiler::find_or_install(shell)?;
    let Some(clippy) = compiler::find_or_install_clippy(shell, &compiler) else {
        say("the eBPF programs are not linted: their compiler has no clippy");
        return Ok(());
    };
    let check = cargo(shell, &compiler, "check")
        .args(["-Z", "warnings", "--config", "build.warnings=\"deny\""])
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        .env("RUSTC_WORKSPACE_WRAPPER", clippy);
    prepare(check).context("linting the eBPF programs")
}

/// A cargo command for the programs. It must set `CARGO_ENCODED_RUSTFLAGS`, even if to nothing:
/// `RUSTFLAGS` are meant for the host.
fn cargo<'a>(shell: &'a Shell, compiler: &Compiler, command: &str) -> Cmd<'a> {
    let Compiler { rustc, cargo, .. } = compiler;
    cmd!(
        shell,
        "{cargo} {command} --locked --package npd-ebpf --bin npd-ebpf --profile bpf
         -Z build-std=core --target bpfel-unknown-none --target-dir target/bpf"
    )
    .env("RUSTC", rustc)
    .env("RUSTC_BOOTSTRAP", "1") // lets a stable compiler take -Z
}

/// Copies the object to its stable place unless it is there already: a new time stamp would
/// rebuild the agent.
fn publish(shell: &Shell) -> anyhow::Result<()> {
    let built = shell.read_binary_file("target/bpf/bpfel-unknown-none/bpf/npd-ebpf")?;
    let is_new = shell
        .read_binary_file(OBJECT)
        .map_or(true, |published| published != built);
    if is_new {
        shell.write_file(OBJECT, &built)?;
    }
    let state = if is_new { "new" } else { "unchanged" };
    say(format_args!("{OBJECT}: {} bytes, {state}", built.len()));
    Ok(())
}
