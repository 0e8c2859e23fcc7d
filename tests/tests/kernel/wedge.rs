//! What hung tasks wait for, and who else does.

use std::fs;

use anyhow::ensure;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::fuse::SilentFuse;
use npd_tests::faults::hang::HungTask;
use tempfile::TempDir;

use crate::{count_events, settle, watching};

/// A task that sleeps for two seconds hangs.
const CONFIG: &str = r#"{"plugin": "ebpf", "source": "test", "pluginConfig": {"hungTaskThreshold": "2s"},
    "rules": [{"type": "temporary", "reason": "TaskHung", "probe": "hung_task"}]}"#;

/// How many tasks hang before an incident is reported a second time.
const MANY: usize = 10;

fn impatient() -> anyhow::Result<Agent> {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("config.json"), CONFIG)?;
    watching(Agent::start(
        folder.path(),
        &["--config.ebpf-monitor=config.json"],
    )?)
}

/// Waits for the Event about `task`, which must say all of this.
fn wait_for(agent: &Agent, task: &HungTask, expected: &[&str]) -> anyhow::Result<()> {
    let pid = format!(":{} ", task.pid());
    let line = agent.wait_for("the hung task", PATIENCE, |line| {
        line.is_event("TaskHung", &pid)
    })?;
    let message = line.report["event"]["message"].to_string();
    for expected in expected {
        ensure!(message.contains(expected), "no {expected} in {message}");
    }
    Ok(())
}

/// All tasks that wait for one file system are reported together.
pub(crate) fn tasks_that_wait_for_the_same_are_one_event() -> anyhow::Result<()> {
    const NAME: &str = "npd-test-wedge";
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let agent = impatient()?;
    let mut stuck = Vec::new();
    let _frozen = mount.freeze()?;
    let start = || HungTask::start(&mount, NAME);
    stuck.push(start()?);
    let place = format!("on {} (ext4 on {})", disk.name(), mount.point().display());
    let waits = ["waiting for a frozen file system to be thawed", &place];
    wait_for(&agent, &stuck[0], &waits)?;
    while stuck.len() < MANY {
        stuck.push(start()?);
    }
    agent.wait_until("the others to be reported", PATIENCE, || {
        Ok(
            (count_events(&agent, "TaskHung", " other tasks wait for the same thing")? == 1)
                .then_some(()),
        )
    })?;
    settle(&agent)?;
    ensure!(count_events(&agent, "TaskHung", NAME)? == 2);
    Ok(())
}

/// A server that does not answer stops everyone who looks.
pub(crate) fn a_silent_fuse_server_is_named() -> anyhow::Result<()> {
    let agent = impatient()?;
    let task;
    let fuse = SilentFuse::new("npd-test-fuse")?;
    task = HungTask::of("touch", "npd-test-fuse", fuse.point())?;
    let place = format!("on npd-test-fuse (fuse on {})", fuse.point().display());
    wait_for(
        &agent,
        &task,
        &["waiting for an answer of the FUSE server", &place],
    )
}
