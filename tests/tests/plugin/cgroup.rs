//! The limits of a plugin and its descendants.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, Line, PATIENCE};
use serde_json::{Value, json};

use crate::guard::Guard;
use crate::wait_until;

pub(crate) fn a_fork_bomb_is_bounded_and_removed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // Half of it leaves the process group. It has ten seconds: a busy machine is slow to fork.
    let bomb = "b() { b & setsid sh -c 'sleep 1000' & b; }; b";
    let config = json!({
        "plugin": "custom",
        "pluginConfig": {"invoke_interval": "1h", "timeout": "10s"},
        "rules": [{"type": "temporary", "reason": "Bomb", "path": "/bin/sh", "args": ["-c", bomb]}],
    });
    fs::write(folder.path().join("plugin.json"), config.to_string())?;
    let guard = Guard::new("bomb")?;
    let mut agent = guard.start(
        folder.path(),
        &["--config.custom-plugin-monitor=plugin.json"],
    )?;
    // The plugin's 1024, and a few of the agent's own.
    wait_until(|| guard.processes().is_ok_and(|now| now > 1000))?;
    let mut most = 0;
    agent.wait_until("its deadline", PATIENCE, || {
        most = most.max(guard.processes()?);
        let limit = "its limit is 1024 processes, and pluginConfig.pids_limit raises it";
        let is_over =
            |line: &Line| line.is_event("Bomb", "Timeout") && line.is_event("Bomb", limit);
        Ok(agent.lines().iter().any(is_over).then_some(()))
    })?;
    ensure!(most < 1100, "{most} processes");
    wait_until(|| guard.processes().is_ok_and(|now| now < 20))?;
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(())
}

/// A plugin that takes 300 MB, with these settings.
fn config(settings: &Value) -> String {
    // Output without an end of line is stored until the line ends.
    let script = "head -c 300000000 /dev/zero | tail -n 1 | wc -c; exit 1";
    json!({
        "plugin": "custom",
        "pluginConfig": settings,
        "rules": [{
            "type": "temporary", "reason": "Greedy", "path": "/bin/sh", "args": ["-c", script],
        }],
    })
    .to_string()
}

/// What is reported of such a plugin.
fn greedy(settings: &Value) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("plugin.json"), config(settings))?;
    let mut agent = Agent::start(
        folder.path(),
        &["--config.custom-plugin-monitor=plugin.json"],
    )?;
    let (reason, message) = agent.event()?;
    ensure!(reason == "Greedy", "{reason}: {message}");
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(message)
}

pub(crate) fn memory_is_bounded_if_the_file_says_so() -> anyhow::Result<()> {
    let message = greedy(&json!({"timeout": "50s"}))?;
    ensure!(message == "300000000", "without a limit: {message}");
    let message = greedy(&json!({"timeout": "50s", "memory_limit": "64Mi"}))?;
    let limit = "the plugin was out of memory: its limit is 64Mi, \
                 and pluginConfig.memory_limit raises it";
    ensure!(message == format!("0; {limit}"), "with 64Mi: {message}");
    Ok(())
}

/// The message names the plugin, so nobody searches for a pod that is not involved.
pub(crate) fn the_kill_of_a_plugin_names_it() -> anyhow::Result<()> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    for monitor in [
        "--config.system-log-monitor=kernel-monitor.json",
        "--config.ebpf-monitor=ebpf-monitor.json",
    ] {
        let folder = tempfile::tempdir()?;
        for file in ["kernel-monitor.json", "ebpf-monitor.json"] {
            fs::copy(shipped.join(file), folder.path().join(file))?;
        }
        fs::write(
            folder.path().join("plugin.json"),
            config(&json!({"invoke_interval": "2s", "memory_limit": "64Mi"})),
        )?;
        let mut agent = Agent::start(
            folder.path(),
            &["--config.custom-plugin-monitor=plugin.json", monitor],
        )?;
        let plugin = "plugin rules[0] of plugin.json, whose memory_limit is 64Mi";
        agent
            .wait_for("the kill", PATIENCE, |line| {
                line.is_event("OOMKilling", plugin)
            })
            .context(monitor)?;
        ensure!(agent.stop()?.success(), "it was asked to stop");
    }
    Ok(())
}

/// Two containers of one pod, or two pods with a cgroup folder from the host: each agent is process 1
/// of its own pid namespace.
pub(crate) fn agents_that_share_a_folder_leave_each_other_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let config = json!({
        "plugin": "custom",
        "pluginConfig": {"timeout": "1h"},
        "rules": [{"type": "temporary", "reason": "Slow", "path": "/bin/sleep", "args": ["1000"]}],
    });
    fs::write(folder.path().join("plugin.json"), config.to_string())?;
    let guard = Guard::new("shared")?;
    let start = || {
        guard.start_in_pid_namespace(
            folder.path(),
            &["--config.custom-plugin-monitor=plugin.json"],
        )
    };
    let first = start()?;
    wait_until(|| guard.plugins().is_ok_and(|running| running.len() == 1))?;
    let of_first = guard.plugins()?;
    let second = start()?;
    wait_until(|| guard.plugins().is_ok_and(|running| running.len() == 2))?;
    ensure!(guard.plugins()?.is_superset(&of_first));

    // What the first leaves behind, the next one removes; and nothing of the second's.
    first.kill()?;
    wait_until(|| guard.plugins().is_ok_and(|running| running.len() == 1))?;
    let of_second = guard.plugins()?;
    ensure!(guard.folders()?.len() == 2);
    let third = start()?;
    wait_until(|| guard.plugins().is_ok_and(|running| running.len() == 2))?;
    ensure!(guard.plugins()?.is_superset(&of_second));
    ensure!(guard.folders()?.len() == 2);
    second.kill()?;
    third.kill()?;
    wait_until(|| guard.processes().is_ok_and(|left| left == 0))
}
