//! `cargo xtask test`

mod failures;
mod runner;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, ensure};
use xshell::{Cmd, Shell, cmd};

use self::runner::Run;
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
    ("btrfs-progs", "btrfs file systems to break"),
    ("mount", "loop devices to put them on"),
    ("util-linux", "freezing them, so that tasks hang"),
    ("containerd", "a Kubernetes node's pods"),
    ("runc", "their containers"),
    ("iproute2", "a network that only one test has"),
    ("logrotate", "logs to rotate"),
    ("bsdutils", "entries for a journal"),
    ("systemd", "a journal to write them to"),
    ("systemd-journal-remote", "journal files to compare with"),
    ("python3-minimal", "processes that run out of memory"),
    ("prometheus", "promtool, which reads the page of metrics"),
];

/// The suites whose tests mind nothing but their own files, processes and API servers.
const OWN_AFFAIRS: &[&str] = &[
    "alerts",
    "answers",
    "chart",
    "cluster_exporter",
    "dashboard",
    "descriptors",
    "log",
    "prebuilt",
    "tidy",
];

/// Suites that mostly wait: for the kernel, for packages, for others to act.
const WAITING: &[&str] = &["image", "kernel", "cluster_consumers"];

/// The suites that need a quiet machine, count what is on it, or use the agent's own ports.
const ALONE: &[&str] = &[
    "cli",
    "plugin",
    "stats",
    "cluster_smoke",
    "cluster_daemonset",
];

/// Runs unit tests and the suites that disturb nobody while other suites wait, and then the rest.
fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let (agent, args) = prepare(shell, args)?;
    let cargo = workspace::cargo_path();
    // The runs share what is built here.
    cmd!(shell, "{cargo} test --locked --workspace --no-run")
        .quiet()
        .run()
        .context("building the tests")?;
    let run_beside = || {
        // A shell belongs to one thread.
        let shell = workspace::shell()?;
        let quick = [&suites(OWN_AFFAIRS)[..], &["--lib", "--bins"]].concat();
        anyhow::Ok([
            runner::silent(tests(&shell, &agent, &quick, args))?,
            runner::silent(tests(&shell, &agent, &["--workspace", "--doc"], args))?,
        ])
    };
    let (beside, waited) = thread::scope(|scope| {
        let beside = scope.spawn(run_beside);
        let waited = runner::shown(tests(shell, &agent, &suites(WAITING), args));
        (beside.join(), waited)
    });
    let mut runs = Vec::from(beside.ok().context("a thread has panicked")??);
    for run in &runs {
        std::io::stdout().write_all(run.output.as_bytes())?;
    }
    runs.push(waited?);
    runs.push(runner::shown(tests(shell, &agent, &suites(ALONE), args))?);
    conclude(&runs)
}

/// Runs the tests of `selection`, which are flags of `cargo test`.
pub(crate) fn run_tests(shell: &Shell, selection: &[&str], args: &[String]) -> anyhow::Result<()> {
    let (agent, args) = prepare(shell, args)?;
    let run = runner::shown(tests(shell, &agent, selection, args))?;
    conclude(&[run])
}

/// Installs what tests need and builds the agent. Returns the agent's path, and the arguments for the
/// tests.
fn prepare<'a>(shell: &Shell, args: &'a [String]) -> anyhow::Result<(PathBuf, &'a [String])> {
    if let Err(error) = install_packages(shell) {
        say(format_args!("some tests will be skipped: {error:#}"));
    }
    match args {
        [flag, rest @ ..] if flag == agent::RELEASE_FLAG => Ok((agent::release(shell)?, rest)),
        args => Ok((agent::quick(shell, false)?, args)),
    }
}

/// The flags that select these suites. All in one workspace: of one package, cargo would build the
/// dependencies again, with other features.
fn suites(names: &[&'static str]) -> Vec<&'static str> {
    let each = names.iter().flat_map(|name| ["--test", *name]);
    ["--workspace"].into_iter().chain(each).collect()
}

fn tests<'a>(shell: &'a Shell, agent: &Path, selection: &[&str], args: &[String]) -> Cmd<'a> {
    let cargo = workspace::cargo_path();
    cmd!(
        shell,
        "{cargo} test --locked --no-fail-fast {selection...} -- {args...}"
    )
    .env("NPD_AGENT", agent)
    // A failed test must say why, not where it was called.
    .env("RUST_BACKTRACE", "0")
}

/// Says last which tests have failed.
fn conclude(runs: &[Run]) -> anyhow::Result<()> {
    for failure in runs.iter().flat_map(|run| failures::failures(&run.output)) {
        eprintln!("FAILED {failure}");
    }
    ensure!(runs.iter().all(|run| run.succeeded), "tests have failed");
    Ok(())
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
