//! A cgroup for an agent whose plugins fork without end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::retry;
use npd_tests::harness;

/// The hierarchy that counts processes, in version 1.
pub(crate) const PIDS: &str = "/sys/fs/cgroup/pids";

/// A cgroup that holds even an agent that fails its test.
pub(crate) struct Guard(PathBuf);

impl Guard {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(PIDS).join(format!("npd-test-{name}-{}", std::process::id()));
        fs::create_dir(&path)?;
        let guard = Self(path);
        fs::write(guard.0.join("pids.max"), "3000")?;
        Ok(guard)
    }

    /// Starts the agent inside.
    pub(crate) fn start(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<Agent> {
        let mut enter = self.enter();
        enter.arg(harness::agent()?);
        Agent::start_as(enter, folder, arguments)
    }

    /// The same, as process 1 of a pid namespace, as in a container.
    pub(crate) fn start_in_pid_namespace(
        &self,
        folder: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Agent> {
        let mut enter = self.enter();
        enter
            .args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(harness::agent()?);
        Agent::start_as(enter, folder, arguments)
    }

    fn enter(&self) -> Command {
        let mut enter = Command::new("/bin/sh");
        enter
            .args(["-c", r#"echo $$ > "$0/cgroup.procs"; exec "$@""#])
            .arg(&self.0);
        enter
    }

    /// The folders in which agents have their plugins' cgroups.
    pub(crate) fn folders(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let paths = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.path()));
        let paths: Vec<PathBuf> = paths.collect::<anyhow::Result<_>>()?;
        Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
    }

    /// The folders with a plugin that runs.
    pub(crate) fn plugins(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let runs = |folder: &PathBuf| {
            let current = fs::read_to_string(folder.join("pids.current"));
            current.is_ok_and(|number| number.trim() != "0")
        };
        Ok(self.folders()?.into_iter().filter(runs).collect())
    }

    /// How many processes are inside, zombies among them.
    pub(crate) fn processes(&self) -> anyhow::Result<usize> {
        let number = fs::read_to_string(self.0.join("pids.current"))?;
        Ok(number.trim().parse()?)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // No new processes start while the old ones are killed.
        drop(fs::write(self.0.join("pids.max"), "0"));
        if let Err(error) = retry(PATIENCE, || remove(&self.0)) {
            eprintln!("LEFT BEHIND: {}: {error:#}", self.0.display());
        }
    }
}

/// Removes a cgroup with all that is in it.
fn remove(cgroup: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    for process in fs::read_to_string(cgroup.join("cgroup.procs"))?.lines() {
        // It may have ended.
        _ = kill(Pid::from_raw(process.parse()?), Signal::SIGKILL);
    }
    Ok(fs::remove_dir(cgroup)?)
}
