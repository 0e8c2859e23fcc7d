//! Runs the programs that a drill needs: only unsafe code makes loop devices without them.

#![expect(
    clippy::disallowed_types,
    reason = "a drill is not the agent, and may wait for its programs"
)]

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

/// The agent's own file.
const OURSELVES: &str = "/proc/self/exe";

/// Runs a program to its end, and returns what it printed, without the last newline. It holds `leash` until
/// then: see [`Guardian`].
pub(super) fn run(program: &str, args: &[&str], leash: Option<&OwnedFd>) -> anyhow::Result<String> {
    let leash = leash.map(OwnedFd::try_clone).transpose();
    let leash = leash.context("copying a descriptor")?;
    let output = Command::new(program)
        .args(args)
        .stdin(leash.map_or_else(Stdio::null, Stdio::from))
        .output();
    let output = output.with_context(|| format!("starting {program}; is it installed?"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", said.trim());
    let printed = String::from_utf8_lossy(&output.stdout);
    Ok(printed.trim_end().to_owned())
}

/// Starts a process of this program that does one thing.
pub(super) fn start(what: &str, path: &Path) -> anyhow::Result<Child> {
    Command::new(OURSELVES)
        .args([super::NAME, what])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting a process")
}

/// A process that undoes everything when this one has ended, however it has ended, and the programs that it
/// was running as well: a killed drill may leave a `mount` behind that has not mounted yet. All of them hold
/// the leash, a pipe, and the guardian waits for its end.
pub(super) struct Guardian(Child);

impl Guardian {
    /// Starts it in a process group of its own, so that Ctrl-C does not end it.
    pub(super) fn start() -> anyhow::Result<Self> {
        let guardian = Command::new(OURSELVES)
            .args([super::NAME, super::UNDO])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn();
        Ok(Self(
            guardian.context("starting the process that undoes the faults")?,
        ))
    }

    /// What the programs hold that a drill runs.
    pub(super) fn leash(&self) -> anyhow::Result<OwnedFd> {
        let pipe = self.0.stdin.as_ref().context("it has no pipe")?;
        let leash = pipe.as_fd().try_clone_to_owned();
        leash.context("copying a descriptor")
    }

    /// Lets it undo everything now. Nobody else may hold the leash.
    pub(super) fn undo(mut self) -> anyhow::Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait().context("waiting until all is undone")?;
        ensure!(
            status.success(),
            "not everything is undone; the next drill tries again"
        );
        Ok(())
    }
}
