//! No process id and no file descriptor is left: the agent does without for a while.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::get;
use npd_tests::harness::{Need, Test};

use crate::lab::{Agent, wait_until};

pub(crate) const TEST: Test = Test {
    name: "without_threads_and_descriptors_every_monitor_lives",
    needs: &[
        Need::Agent,
        Need::Root,
        Need::MemoryCgroup,
        Need::Tool("prlimit"),
    ],
    run: without_threads_and_descriptors_every_monitor_lives,
};

const PLUGIN: &str = r#"{"plugin": "custom", "source": "plugin",
    "pluginConfig": {"invoke_interval": "1s", "timeout": "1s"},
    "rules": [{"type": "temporary", "reason": "EndedRun", "path": "/bin/false"}]}"#;

const STATS: &str = r#"{"invokeInterval": "1s", "memory": {"metricsConfigs": {
    "memory/bytes_used": {"displayName": "memory/bytes_used"}}}}"#;

fn without_threads_and_descriptors_every_monitor_lives() -> anyhow::Result<()> {
    let monitors = [
        ("custom-plugin-monitor", PLUGIN),
        ("system-stats-monitor", STATS),
    ];
    let mut agent = Agent::with_monitors(&monitors, Stdio::null(), Stdio::null())?;
    let runs = |agent: &Agent| agent.counter("problem_counter", "reason", "EndedRun");
    agent.find(1, 1)?;
    wait_until("the plugin runs", || Ok(runs(&agent)? > 0))?;

    let limited = Limited::new(&agent)?;
    wait_until("the plugin cannot run", || {
        let page = get(agent.port.number, "/status")?;
        Ok(page.contains("Error in starting plugin"))
    })?;
    // The log and the HTTP servers need nothing new.
    agent.find(2, 1)?;
    agent.find(3, 1)?;
    let page = get(agent.port.number, "/status")?;
    ensure!(!page.contains(r#""running":false"#), "{page}");

    drop(limited);
    let before = runs(&agent)?;
    wait_until("the plugin runs again", || Ok(runs(&agent)? > before))?;
    wait_until("every source is up", || {
        Ok(!get(agent.port.number, "/status")?.contains(r#""up":false"#))
    })?;
    agent.find(4, 1)?;
    agent.stop()
}

/// A process that may have no more threads, children and descriptors than it has. Dropping this ends it.
struct Limited {
    process: u32,
    cgroup: PathBuf,
}

impl Limited {
    fn new(agent: &Agent) -> anyhow::Result<Self> {
        let process = agent.id();
        let v1 = Path::new("/sys/fs/cgroup/pids");
        let root = if v1.exists() {
            v1
        } else {
            // Already so wherever systemd runs.
            fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+pids")?;
            Path::new("/sys/fs/cgroup")
        };
        let cgroup = root.join(format!("npd-test-{process}"));
        fs::create_dir(&cgroup).with_context(|| format!("making {}", cgroup.display()))?;
        let limited = Self { process, cgroup };
        limited.write("cgroup.procs", &process.to_string())?;
        limited.write("pids.max", "1")?;
        // A connection or a plugin of before may still end, and leave its descriptor to others.
        let mut free = usize::MAX;
        wait_until("no descriptor is left", || {
            let before = std::mem::replace(&mut free, lowest_free_descriptor(process)?);
            limited.limit_descriptors(free)?;
            std::thread::sleep(Duration::from_millis(200));
            Ok(free == before)
        })?;
        Ok(limited)
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.cgroup.join(file);
        fs::write(&path, text).with_context(|| format!("writing {text} to {}", path.display()))
    }

    fn limit_descriptors(&self, count: usize) -> anyhow::Result<()> {
        let status = Command::new("prlimit")
            .args(["--pid", &self.process.to_string()])
            .arg(format!("--nofile={count}:"))
            .status()?;
        ensure!(status.success(), "prlimit: {status}");
        Ok(())
    }
}

/// The number that the next descriptor of a process will have.
fn lowest_free_descriptor(process: u32) -> anyhow::Result<usize> {
    let folder = format!("/proc/{process}/fd");
    let is_free = |number: &usize| !Path::new(&folder).join(number.to_string()).is_symlink();
    (0..1024)
        .find(is_free)
        .context("every descriptor is in use")
}

impl Drop for Limited {
    fn drop(&mut self) {
        drop(self.write("pids.max", "max"));
        drop(self.limit_descriptors(1024));
        // The agent goes back, so that the cgroup can be removed.
        if let Some(root) = self.cgroup.parent() {
            drop(fs::write(
                root.join("cgroup.procs"),
                self.process.to_string(),
            ));
        }
        drop(fs::remove_dir(&self.cgroup));
    }
}
