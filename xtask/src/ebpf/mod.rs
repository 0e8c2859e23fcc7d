//! Builds the eBPF object that the agent embeds.
//!
//! This needs a compiler for the BPF target with a core library, or with the source of its core library
//! ([`compiler`]), and a linker for this compiler's LLVM bitcode ([`linker`]). The results are in a folder
//! of their own under `target`, so builds for the kernel and for the host do not invalidate each other.
//!
//! The object is under version control ([`xtask::prebuilt`]), so most people never build it.

mod compiler;
mod linker;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use xshell::{Cmd, Shell, cmd};
use xtask::prebuilt;

use self::compiler::Compiler;
use self::linker::Linker;
use crate::workspace::{prepare, say};

/// The flag that selects programs that log.
pub(crate) const LOG_FLAG: &str = "--ebpf-log";

/// How programs that log are compiled: with BTF, so that the verifier and bpftool quote source
/// lines. Otherwise the linker strips all debug information, and the agent does not carry it.
const LOG_FLAGS: &str = "-Cdebuginfo=2\x1f-Clink-arg=--btf";

/// Ensures that the object under version control is up to date. If the sources have changed, builds it,
/// and installs what is needed for that.
pub(crate) fn refresh(shell: &Shell) -> anyhow::Result<()> {
    if let Some(reason) = prebuilt::staleness(shell)? {
        say(format_args!("building {}: {reason}", prebuilt::OBJECT));
        build(shell)?;
    }
    Ok(())
}

/// Builds the object that is under version control.
pub(crate) fn build(shell: &Shell) -> anyhow::Result<()> {
    let toolchain = Toolchain::find_or_install(shell)?;
    let object = shell.read_binary_file(toolchain.build(shell, &[], "")?)?;
    let is_new = prebuilt::store(shell, &object, &toolchain.version())?;
    let state = if is_new {
        "new: commit it"
    } else {
        "unchanged"
    };
    say(format_args!(
        "{}: {} bytes, {state}",
        prebuilt::OBJECT,
        object.len()
    ));
    Ok(())
}

/// Builds an object whose programs log. Returns its path.
pub(crate) fn build_logging(shell: &Shell) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find_or_install(shell)?;
    toolchain.build(shell, &["--features", "ebpf-log"], LOG_FLAGS)
}

/// Builds the object in another folder, and compares it with the one under version control, byte by byte.
/// With another toolchain the bytes differ, so then nothing is compared.
pub(crate) fn verify(shell: &Shell) -> anyhow::Result<()> {
    let toolchain = Toolchain::find_or_install(shell)?;
    let built = toolchain.build(shell, &[], "")?;
    let (here, there) = (toolchain.version(), prebuilt::toolchain(shell)?);
    if here != there {
        say(format_args!(
            "{} cannot be compared: it was built by {there}, and here is {here}",
            prebuilt::OBJECT
        ));
        return Ok(());
    }
    ensure!(
        shell.read_binary_file(&built)? == shell.read_binary_file(prebuilt::OBJECT)?,
        "{} is not what the sources make, {}: run `cargo xtask build-ebpf` and commit it",
        prebuilt::OBJECT,
        built.display()
    );
    say(format_args!(
        "{} is what the sources make",
        prebuilt::OBJECT
    ));
    Ok(())
}

/// Lints the programs with the clippy of their compiler; the host's clippy does not see them. Warnings are
/// errors.
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

/// The tools that build an object.
struct Toolchain {
    compiler: Compiler,
    linker: Linker,
}

impl Toolchain {
    fn find_or_install(shell: &Shell) -> anyhow::Result<Self> {
        let compiler = compiler::find_or_install(shell)?;
        let linker = linker::find_or_install(shell, &compiler)?;
        Ok(Self { compiler, linker })
    }

    /// What the object's bytes depend on, besides the sources.
    fn version(&self) -> String {
        format!("{}, {}", self.compiler.version, self.linker.version)
    }

    /// Builds an object under `target`, and returns its path.
    fn build(&self, shell: &Shell, features: &[&str], flags: &str) -> anyhow::Result<PathBuf> {
        let build = cargo(shell, &self.compiler, "build")
            .args(features)
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker.path)
            .env_remove("RUSTC_WORKSPACE_WRAPPER");
        prepare(build).context("building the eBPF programs")?;
        let folder = shell.current_dir().join("target/bpf/bpfel-unknown-none");
        Ok(folder.join("bpf/npd-ebpf"))
    }
}

/// A cargo command for the programs. It must set `CARGO_ENCODED_RUSTFLAGS`, even if to nothing:
/// `RUSTFLAGS` are meant for the host.
fn cargo<'a>(shell: &'a Shell, compiler: &Compiler, command: &str) -> Cmd<'a> {
    let Compiler { rustc, cargo, .. } = compiler;
    let core: &[&str] = if compiler.builds_core {
        &["-Z", "build-std=core"]
    } else {
        &[]
    };
    cmd!(
        shell,
        "{cargo} {command} --locked --package npd-ebpf --bin npd-ebpf --profile bpf
         --target bpfel-unknown-none --target-dir target/bpf {core...}"
    )
    .env("RUSTC", rustc)
    .env("RUSTC_BOOTSTRAP", "1") // lets a stable compiler take -Z, and aya-ebpf unstable features
}
