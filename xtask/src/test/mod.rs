//! `cargo xtask test`

mod failures;

use xshell::{Shell, cmd};

use crate::workspace::{self, say};
use crate::{Command, agent, debian};

pub(crate) const COMMAND: Command = Command {
    name: "test",
    args: "[--release] [FILTER] [FLAGS]",
    help: "Builds everything and runs every test, or those whose names contain FILTER. As root, it causes\n\
           real faults in this machine's kernel and undoes them. A test that cannot run here is listed as\n\
           SKIPPED, with the reason, and counted as ignored. The last lines name each test that failed, and\n\
           why. FLAGS go to the test binaries: --exact, …\n\
           --release: tests the release build of the agent, which takes some minutes longer to build.",
    run,
};

/// Debian packages with the programs that tests use, and what for. Without a program, its tests are
/// skipped, so a package that cannot be installed is no error.
const PACKAGES: &[(&str, &str)] = &[
    ("e2fsprogs", "ext4 file systems to break"),
    ("xfsprogs", "XFS file systems to break"),
    ("mount", "loop devices to put them on"),
    ("util-linux", "freezing them, so that tasks hang"),
    ("containerd", "a Kubernetes node's pods"),
    ("runc", "their containers"),
    ("logrotate", "logs to rotate"),
    ("bsdutils", "entries for a journal"),
    ("systemd", "a journal to write them to"),
    ("systemd-journal-remote", "journal files to compare with"),
    ("python3-minimal", "processes that run out of memory"),
    ("prometheus", "promtool, which reads the page of metrics"),
];

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    run_tests(shell, &["--workspace"], args)
}

/// Runs the tests of `selection`, which are flags of `cargo test`. First installs what they need.
pub(crate) fn run_tests(shell: &Shell, selection: &[&str], args: &[String]) -> anyhow::Result<()> {
    if let Err(error) = install_packages(shell) {
        say(format_args!("some tests will be skipped: {error:#}"));
    }
    let (agent, args) = match args {
        [flag, rest @ ..] if flag == agent::RELEASE_FLAG => (agent::release(shell)?, rest),
        args => (agent::quick(shell, false)?, args),
    };
    let cargo = workspace::cargo_path();
    let tests = cmd!(
        shell,
        "{cargo} test --locked --no-fail-fast {selection...} -- {args...}"
    )
    .env("NPD_AGENT", agent)
    // A failed test must say why, not where it was called.
    .env("RUST_BACKTRACE", "0");
    failures::run(tests)
}

fn install_packages(shell: &Shell) -> anyhow::Result<()> {
    let packages = PACKAGES
        .iter()
        .map(|&(name, reason)| debian::package(name, reason))
        .collect();
    if !debian::is_here(shell) {
        return Ok(());
    }
    debian::install(shell, &debian::missing(shell, packages))
}
