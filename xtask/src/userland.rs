//! The userland of the full image: a small Debian for plugins.

use std::env::consts::ARCH;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use tempfile::NamedTempFile;
use xshell::{Shell, cmd};
use xtask::oci;

use crate::debian::{self, package};
use crate::workspace::{is_root, prepare, say};

const SUITE: &str = "bookworm";

/// The file with the packages that are added to Debian's required ones.
const PACKAGES: &str = include_str!("../../deploy/image/packages");

/// What the Dockerfile's base image leaves out, too.
const EXCLUDED: [&str; 5] = [
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-include=/usr/share/doc/apt/examples/sources.list", // for FINISH
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
];

/// Runs on the finished root `$1`. Removes traces of the machine that built it: apt's sources become
/// Debian's own, from apt's example, so that a derived image can add packages. The time zone becomes a
/// file, not a link, so that the node's can be mounted over it.
const FINISH: &str = r#"--customize-hook=
cd "$1" && rm -f etc/hostname etc/resolv.conf &&
sed -n 's/^\(deb .* main\) .*/\1/p' usr/share/doc/apt/examples/sources.list >etc/apt/sources.list &&
cp --remove-destination usr/share/zoneinfo/Etc/UTC etc/localtime"#;

/// The layer with the userland, from its archive in `folder`. If there is none, makes it from Debian's
/// packages. The same packages make the same archive.
pub(crate) fn layer(shell: &Shell, folder: &Path) -> anyhow::Result<Vec<u8>> {
    let options = options();
    let inputs = format!("{ARCH} {SUITE} {}", options.join(" "));
    let digest = oci::digest(inputs.as_bytes()).replace("sha256:", "");
    let path = folder.join(format!("{SUITE}-{digest:.16}.tar"));
    if !path.exists() {
        install_tools(shell)?;
        make(shell, &options, &path).with_context(|| format!("making {}", path.display()))?;
    }
    fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

fn install_tools(shell: &Shell) -> anyhow::Result<()> {
    let tools = vec![
        package("mmdebstrap", "makes the image's Debian"),
        package("debian-archive-keyring", "knows Debian's packages"),
    ];
    debian::install(shell, &debian::missing(shell, tools))
}

fn make(shell: &Shell, options: &[String], path: &Path) -> anyhow::Result<()> {
    say(format_args!("installing Debian {SUITE} into the image:"));
    say("  its required packages");
    for (name, reason) in packages() {
        say(format_args!("  {name}: {reason}"));
    }
    let unfinished = NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    let command = if is_root() {
        // In a namespace of its own, so that nothing stays mounted however it ends.
        cmd!(shell, "unshare --mount mmdebstrap")
    } else {
        cmd!(shell, "mmdebstrap")
    };
    let command = command
        .args(options)
        .arg(SUITE)
        .arg(unfinished.path())
        .args(mirrors(shell)?)
        .env("SOURCE_DATE_EPOCH", "0");
    prepare(command)?;
    unfinished.persist(path)?;
    Ok(())
}

/// What the archive's content depends on, besides the versions of the packages.
fn options() -> Vec<String> {
    let names: Vec<&str> = packages().map(|(name, _)| name).collect();
    let options = [
        "--format=tar",
        "--skip=output/dev", // a container's /dev is made when it starts
        "--variant=required",
        // As any Debian has it now; else a package comes in that makes it so, and Perl with it.
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        FINISH,
    ];
    let include = format!("--include={}", names.join(","));
    let fixed = options.into_iter().chain(EXCLUDED).map(str::to_owned);
    fixed.chain([include]).collect()
}

/// Names and reasons.
fn packages() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = PACKAGES.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        line.split_once('#')
            .map(|(name, why)| (name.trim(), why.trim()))
    })
}

/// This machine's sources of the suite, as lines of a `sources.list`. If there are none, mmdebstrap uses
/// Debian's own.
fn mirrors(shell: &Shell) -> anyhow::Result<Vec<String>> {
    let format = "$(RELEASE) deb $(REPO_URI) $(RELEASE) $(COMPONENT)";
    let filters = ["Created-By: Packages", "Origin: Debian"];
    let sources = cmd!(shell, "apt-get indextargets --format {format} {filters...}").quiet();
    let sources = sources.read().context("asking apt for its sources")?;
    let of_suite = sources.lines().filter_map(|line| {
        let (release, source) = line.split_once(' ')?;
        release.starts_with(SUITE).then(|| source.to_owned())
    });
    Ok(of_suite.collect())
}
