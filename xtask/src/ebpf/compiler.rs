//! Finds a compiler for the BPF target.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::debian::{self, package};
use crate::workspace::{self, prepare, say};

/// The oldest minor version of rustc 1 that builds the workspace (`rust-version` in Cargo.toml).
const OLDEST: u32 = 95;

/// A compiler that has a core library for the BPF target, or the source of its own core library.
pub(super) struct Compiler {
    pub(super) rustc: PathBuf,
    /// The cargo to run it with.
    pub(super) cargo: PathBuf,
    /// Whether the core library must be built too. The programs are the same in both cases.
    pub(super) builds_core: bool,
    /// The major version of its LLVM, which the linker must read.
    pub(super) llvm: u32,
    /// Its exact version, and that of its LLVM.
    pub(super) version: String,
}

/// A usable compiler. Installs one if there is none and this process may.
pub(super) fn find_or_install(shell: &Shell) -> anyhow::Result<Compiler> {
    if let Some(compiler) = find(shell) {
        return Ok(compiler);
    }
    let mut failures = Vec::new();
    for install in [install_debian, install_nightly] {
        match install(shell) {
            Ok(()) => {
                if let Some(compiler) = find(shell) {
                    return Ok(compiler);
                }
            }
            Err(error) => failures.push(format!("\n  {error:#}")),
        }
    }
    bail!(
        "no compiler here can build for BPF. Install one of the following:\n\
         \x20 rustup toolchain install nightly --profile minimal --component rust-src\n\
         \x20 sudo apt-get install -y --no-install-recommends rustc-web libstd-rust-web-dev-bpf\n\
         What was tried:{}",
        failures.concat()
    )
}

/// The clippy of `compiler`. Installs Debian's if it is missing and this process may.
pub(super) fn find_or_install_clippy(shell: &Shell, compiler: &Compiler) -> Option<PathBuf> {
    let clippy = compiler.rustc.with_file_name("clippy-driver");
    let is_debian = compiler.rustc.starts_with("/usr/bin") && debian::is_here(shell);
    if is_debian && !clippy.exists() {
        let packages = [package("rust-web-clippy", "lints for the eBPF programs")];
        if let Err(error) = debian::install(shell, &packages) {
            say(format_args!("{error:#}"));
        }
    }
    clippy.exists().then_some(clippy)
}

/// The first usable compiler: rustup's nightly, then the distribution's.
fn find(shell: &Shell) -> Option<Compiler> {
    let nightly = cmd!(shell, "rustup which rustc --toolchain nightly")
        .env("RUSTUP_AUTO_INSTALL", "0")
        .quiet()
        .ignore_stderr()
        .read();
    let nightly = nightly.ok().map(PathBuf::from);
    let nightly = nightly.map(|rustc| (rustc.with_file_name("cargo"), rustc));
    let distribution = (workspace::cargo_path(), PathBuf::from("/usr/bin/rustc"));
    nightly
        .into_iter()
        .chain([distribution])
        .find_map(|(cargo, rustc)| examine(shell, cargo, rustc))
}

/// The compiler at `rustc`, if it is new enough and can build for the BPF target.
fn examine(shell: &Shell, cargo: PathBuf, rustc: PathBuf) -> Option<Compiler> {
    let ask = |question: &str| {
        let command = cmd!(shell, "{rustc} {question}").quiet().ignore_stderr();
        command.read().ok()
    };
    let rustlib = Path::new(&ask("--print=sysroot")?).join("lib/rustlib");
    let has_core = rustlib.join("bpfel-unknown-none/lib").exists();
    let has_source = rustlib.join("src/rust/library/Cargo.lock").exists();
    let answer = ask("-vV")?;
    let value = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key));
    let number = |text: &str| text.split('.').next()?.parse::<u32>().ok();
    let llvm = value("LLVM version: ")?;
    let is_usable = (has_core || has_source) && number(value("release: 1.")?)? >= OLDEST;
    is_usable.then_some(Compiler {
        cargo,
        builds_core: !has_core,
        llvm: number(llvm)?,
        version: format!("{} with LLVM {llvm}", answer.lines().next()?),
        rustc,
    })
}

fn install_debian(shell: &Shell) -> anyhow::Result<()> {
    let packages = vec![
        package("rustc-web", "the compiler for the eBPF programs"),
        package("libstd-rust-web-dev-bpf", "its core library for them"),
    ];
    debian::install(shell, &debian::missing(shell, packages))
}

fn install_nightly(shell: &Shell) -> anyhow::Result<()> {
    cmd!(shell, "rustup --version")
        .quiet()
        .ignore_stderr()
        .read()
        .context("rustup is missing")?;
    say("installing rustup's nightly toolchain with rust-src, the source of its core library");
    prepare(cmd!(
        shell,
        "rustup toolchain install nightly --profile minimal --component rust-src"
    ))
    .context("installing rustup's nightly toolchain")
}
