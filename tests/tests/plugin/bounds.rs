//! What a plugin and its descendants may take.

use std::fs;

use anyhow::ensure;
use npd_tests::agent::{Agent, Line, PATIENCE};
use serde_json::json;

use crate::guard::Guard;
use crate::wait_until;

pub(crate) fn a_fork_bomb_is_bounded_and_removed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // Half of it leaves the process group.
    let bomb = "b() { b & setsid sh -c 'sleep 1000' & b; }; b";
    let config = json!({
        "plugin": "custom",
        "pluginConfig": {"invoke_interval": "1h", "timeout": "2s"},
        "rules": [{"type": "temporary", "reason": "Bomb", "path": "/bin/sh", "args": ["-c", bomb]}],
    });
    fs::write(folder.path().join("plugin.json"), config.to_string())?;
    let guard = Guard::new("bomb")?;
    let mut agent = guard.start(
        folder.path(),
        &["--config.custom-plugin-monitor=plugin.json"],
    )?;
    // The plugin's 256, and a few of the agent's own.
    wait_until(|| guard.processes().is_ok_and(|now| now > 200))?;
    let mut most = 0;
    agent.wait_until("its deadline", PATIENCE, || {
        most = most.max(guard.processes()?);
        let is_over = |line: &Line| line.is_event("Bomb", "Timeout");
        Ok(agent.lines().iter().any(is_over).then_some(()))
    })?;
    ensure!(most < 300, "{most} processes");
    wait_until(|| guard.processes().is_ok_and(|now| now < 20))?;
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(())
}

pub(crate) fn memory_is_bounded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // What has no end of line is kept until it ends.
    let script = "head -c 300000000 /dev/zero | tail -n 1 | wc -c";
    let config = json!({
        "plugin": "custom",
        "rules": [{
            "type": "temporary", "reason": "Greedy", "path": "/bin/sh",
            "args": ["-c", format!("{script}; exit 1")],
        }],
    });
    fs::write(folder.path().join("plugin.json"), config.to_string())?;
    let mut agent = Agent::start(
        folder.path(),
        &["--config.custom-plugin-monitor=plugin.json"],
    )?;
    // All of it would be 300000000.
    ensure!(agent.event()? == ("Greedy".to_owned(), "0".to_owned()));
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(())
}
