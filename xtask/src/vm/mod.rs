//! `cargo xtask vm`
//!
//! A guest has no disk. It starts from an archive with the few modules that it needs to read the host's
//! files, and puts a file system in memory over them. So it runs the binaries that the host has built,
//! and changes nothing on the host. It does not use KVM, because KVM cannot be nested everywhere. It
//! starts within seconds, and is about ten times slower than the host.

mod guest;
mod kernel;

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use self::kernel::Kernel;
use crate::debian::{self, package};
use crate::workspace::{self, say};
use crate::{Command, agent};

pub(crate) const COMMAND: Command = Command {
    name: "vm",
    args: "[VERSION…] [FILTER or FLAGS]",
    help: "Runs the kernel fault tests with Debian's kernels of these versions (default 6.1 6.12), in\n\
           virtual machines. They can read this machine's files and cannot change them. Takes some minutes\n\
           per version.",
    run,
};

/// The default versions.
const VERSIONS: [&str; 2] = ["6.1", "6.12"];

const PACKAGES: &[(&str, &str)] = &[
    ("qemu-system-x86", "a machine for another kernel"),
    ("busybox-static", "its first programs"),
    ("kmod", "which kernel module needs which"),
    ("xz-utils", "modules are compressed"),
    ("cpio", "the archive that it starts from"),
    ("mdadm", "arrays that lose a disk there"),
    ("dmsetup", "devices that fail or are full there"),
    ("iproute2", "RDMA ports that go down there"),
    ("nfs-kernel-server", "an NFS server that goes away there"),
];

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let packages = PACKAGES.iter().map(|&(name, why)| package(name, why));
    debian::install(shell, &debian::missing(shell, packages.collect()))?;
    let agent = agent::quick(shell, false)?;
    let tests = build_tests(shell)?;
    let is_version = |arg: &&String| arg.starts_with(|first: char| first.is_ascii_digit());
    let (mut versions, rest): (Vec<_>, Vec<_>) = args.iter().partition(is_version);
    let default = VERSIONS.map(str::to_owned);
    if versions.is_empty() {
        versions.extend(&default);
    }
    let mut failed = Vec::new();
    for version in versions {
        let kernel = Kernel::get(shell, version)?;
        say(format_args!("booting {}", kernel.release));
        if !guest::run(shell, &kernel, &agent, &tests, &rest)? {
            failed.push(&**version);
        }
    }
    ensure!(failed.is_empty(), "failed under {}", failed.join(", "));
    Ok(())
}

/// Builds the kernel fault tests, and returns their binary's path.
fn build_tests(shell: &Shell) -> anyhow::Result<String> {
    let cargo = workspace::cargo_path();
    let messages = cmd!(
        shell,
        "{cargo} test --locked --package npd-tests --test kernel --no-run --message-format=json"
    )
    .quiet()
    .read()
    .context("building the tests")?;
    let mut messages = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_wanted = message["target"]["name"] == "kernel";
        message["executable"]
            .as_str()
            .filter(|_| is_wanted)
            .map(str::to_owned)
    });
    messages
        .next()
        .context("cargo names no binary of the tests")
}
