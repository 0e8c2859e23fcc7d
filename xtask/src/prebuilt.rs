//! The eBPF object under version control. Because of it, only those who change a kernel program need a
//! second compiler, LLVM and bpf-linker.
//!
//! A record next to the object says what it was built from. [`staleness`] compares the record with the
//! sources and needs no toolchain. `cargo xtask lint --ebpf` builds the object again and compares the
//! bytes.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::oci::digest;

/// The object, from the workspace's root.
pub const OBJECT: &str = "npd-ebpf/prebuilt/npd-ebpf";

/// What it was built from.
const RECORD: &str = "npd-ebpf/prebuilt/built-from";

/// Writes `object` and its record, unless they are already there: a new time stamp would rebuild the
/// agent. `toolchain` names everything that the bytes depend on, besides the sources. Returns whether the
/// object is new.
pub fn store(shell: &Shell, object: &[u8], toolchain: &str) -> anyhow::Result<bool> {
    let record = format!(
        "Written by `cargo xtask build-ebpf`, as is the object beside it.\n\
         sources: {}\nobject: {}\ntoolchain: {toolchain}\n",
        sources(shell)?,
        digest(object),
    );
    let is_new = |path: &str, content: &[u8]| {
        let stored = shell.read_binary_file(path);
        stored.map_or(true, |stored| stored != content)
    };
    if is_new(RECORD, record.as_bytes()) {
        shell.write_file(RECORD, &record)?;
    }
    let is_new = is_new(OBJECT, object);
    if is_new {
        shell.write_file(OBJECT, object)?;
    }
    Ok(is_new)
}

/// The toolchain that built the object.
pub fn toolchain(shell: &Shell) -> anyhow::Result<String> {
    let record = shell.read_file(RECORD)?;
    let toolchain = recorded(&record, "toolchain").context("no toolchain in the record")?;
    Ok(toolchain.to_owned())
}

/// Why the object is not up to date; `None` if it is.
pub fn staleness(shell: &Shell) -> anyhow::Result<Option<&'static str>> {
    let (Ok(object), Ok(record)) = (shell.read_binary_file(OBJECT), shell.read_file(RECORD)) else {
        return Ok(Some(
            "there is none, or no record of what it was built from",
        ));
    };
    if recorded(&record, "object") != Some(&digest(&object)) {
        return Ok(Some("it is not the one that its record is about"));
    }
    let is_current = recorded(&record, "sources") == Some(&sources(shell)?);
    Ok((!is_current).then_some("it was built from other sources"))
}

fn recorded<'a>(record: &'a str, key: &str) -> Option<&'a str> {
    let mut values = record.lines().filter_map(|line| line.strip_prefix(key));
    values.find_map(|rest| rest.strip_prefix(": "))
}

/// The digest of what the object's bytes depend on, besides the toolchain: the package without comments,
/// the versions of its dependencies, and the profile.
fn sources(shell: &Shell) -> anyhow::Result<String> {
    let mut text = String::new();
    for path in files(shell, "npd-ebpf/src")?
        .iter()
        .chain([&"npd-ebpf/Cargo.toml".into()])
    {
        writeln!(text, "{}:", path.display())?;
        for line in shell.read_file(path)?.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with("//") {
                writeln!(text, "{line}")?;
            }
        }
    }
    text += &dependencies(shell)?;
    let manifest = shell.read_file("Cargo.toml")?;
    let (_, profile) = manifest
        .split_once("\n[profile.bpf]\n")
        .context("no profile `bpf`")?;
    let profile = profile.split("\n[").next().unwrap_or_default();
    text += profile;
    Ok(digest(text.as_bytes()))
}

/// Every file in a folder, and in those that it holds.
fn files(shell: &Shell, folder: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in shell.read_dir(&folder)? {
            let is_folder = path.is_dir();
            let path = folder.join(path.file_name().context("a file without a name")?);
            let list = if is_folder { &mut folders } else { &mut files };
            list.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Names and versions of the crates of the programs, one per line.
fn dependencies(shell: &Shell) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let listed = cmd!(
        shell,
        "{cargo} tree --locked --package npd-ebpf --target bpfel-unknown-none --edges normal
         --prefix none --no-dedupe"
    );
    let listed = listed
        .quiet()
        .read()
        .context("listing the crates of the kernel programs")?;
    // After the version comes where the source lies, which differs from machine to machine.
    let name = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let mut names: Vec<String> = listed.lines().map(name).collect();
    names.sort();
    names.dedup();
    names.retain(|name| !name.starts_with("npd-ebpf ")); // its version decides nothing
    Ok(names.join("\n"))
}
