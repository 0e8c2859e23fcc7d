//! Finds bpf-linker, which turns the compiler's LLVM bitcode into one object.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use super::compiler::Compiler;
use crate::debian::{self, package};
use crate::workspace::{self, prepare, say};

const VERSION: &str = "0.13.0";

/// The folder to install it in, which is not in the user's home.
const ROOT: &str = "target/tools";

/// The LLVM versions that this version of the linker supports.
const LLVM_VERSIONS: [u32; 3] = [21, 22, 23];

/// A linker.
pub(super) struct Linker {
    pub(super) path: PathBuf,
    /// Its exact version, and its LLVM.
    pub(super) version: String,
}

/// A linker for the bitcode of `compiler`. Builds it if there is none.
pub(super) fn find_or_install(shell: &Shell, compiler: &Compiler) -> anyhow::Result<Linker> {
    let llvm = compiler.llvm;
    let root = shell.current_dir().join(ROOT);
    if !fits(shell, llvm) {
        ensure!(
            LLVM_VERSIONS.contains(&llvm),
            "bpf-linker {VERSION} reads the bitcode of LLVM {LLVM_VERSIONS:?}, but {} is of LLVM {llvm}",
            compiler.rustc.display()
        );
        install(shell, llvm, &root)?;
    }
    let has_that_llvm = record(shell).contains(&feature(llvm));
    let own = if has_that_llvm {
        ""
    } else {
        " with an LLVM of its own"
    };
    Ok(Linker {
        path: root.join("bin/bpf-linker"),
        version: format!("bpf-linker {VERSION}{own}"),
    })
}

/// Whether this version is installed, built for this LLVM, or with an LLVM of its own as published
/// binaries are; that one is the newest.
fn fits(shell: &Shell, llvm: u32) -> bool {
    let record = record(shell);
    shell.path_exists(Path::new(ROOT).join("bin/bpf-linker"))
        && record.contains(&format!("\"bpf-linker {VERSION} "))
        && (record.contains(&feature(llvm)) || !record.contains("\"llvm-"))
}

/// Cargo's own record of what it installed. Empty if there is none.
fn record(shell: &Shell) -> String {
    let record = shell.read_file(Path::new(ROOT).join(".crates2.json"));
    record.unwrap_or_default()
}

/// What that record contains for a linker that was built for this LLVM.
fn feature(llvm: u32) -> String {
    format!("\"llvm-{llvm}\"")
}

fn install(shell: &Shell, llvm: u32, root: &Path) -> anyhow::Result<()> {
    let prefix_name = format!("LLVM_SYS_{llvm}1_PREFIX"); // what the crate llvm-sys asks for
    let prefix = if let Some(prefix) = std::env::var_os(&prefix_name) {
        PathBuf::from(prefix)
    } else {
        install_llvm(shell, llvm).with_context(|| {
            format!(
                "bpf-linker needs LLVM {llvm}. Or set {prefix_name} to where it is, or fetch a \
                 published linker: cargo binstall bpf-linker@{VERSION} --root {ROOT}"
            )
        })?;
        PathBuf::from(format!("/usr/lib/llvm-{llvm}"))
    };
    say(format_args!(
        "building bpf-linker {VERSION} for LLVM {llvm} into {ROOT} (about a minute)"
    ));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        [prefix.join("bin")]
            .into_iter()
            .chain(std::env::split_paths(&path)),
    )?;
    let cargo = workspace::cargo_path();
    let feature = format!("llvm-{llvm}");
    let build = cmd!(
        shell,
        "{cargo} install bpf-linker --version ={VERSION} --locked --force
         --no-default-features --features {feature} --root {root}"
    )
    .env(prefix_name, prefix)
    .env("PATH", path)
    .env_remove("RUSTFLAGS"); // a static linker could not load LLVM's library
    prepare(build).context("building bpf-linker")
}

fn install_llvm(shell: &Shell, llvm: u32) -> anyhow::Result<()> {
    let packages = vec![
        package(
            format!("llvm-{llvm}-dev"),
            "the LLVM that bpf-linker links with",
        ),
        package(format!("libpolly-{llvm}-dev"), "a part of that LLVM"),
        package("libzstd-dev", "a library that LLVM links with"),
        package("g++", "the C++ library that LLVM links with"),
    ];
    debian::install(shell, &debian::missing(shell, packages))
}
