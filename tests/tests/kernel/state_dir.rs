//! A disk that hangs under the agent's own state.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE, get};
use npd_tests::faults::disk::{Disk, Type};
use serde_json::json;

/// Problems are found and reported, and the kubelet gets its answer. `/status` shows what hangs, until it
/// does not. Then the agent stops as always: a thread in the kernel keeps a process, whoever kills it.
pub(crate) fn a_frozen_state_dir_is_shown_and_stops_nothing_else() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    fs::write(&log, "")?;
    let config = json!({
        "plugin": "filelog", "logPath": log, "lookback": "1h", "source": "test",
        "pluginConfig": {
            "timestamp": "^\\S+", "message": "^\\S+ (.*)",
            "timestampFormat": "2006-01-02T15:04:05.999999999Z07:00",
        },
        "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad .*"}],
    });
    fs::write(folder.path().join("config.json"), config.to_string())?;
    let state = format!("--state-dir={}/state", mount.point().display());
    let arguments = ["--config.system-log-monitor=config.json", &state];
    let mut agent = Agent::start(folder.path(), &arguments)?;
    happen(&agent, &log, "before")?;
    wait_for_state_dir(&agent, true)?;
    {
        let _frozen = mount.freeze()?;
        happen(&agent, &log, "meanwhile")?;
        wait_for_state_dir(&agent, false)?;
        ensure!(get(agent.port(), "/healthz")? == "ok");
        happen(&agent, &log, "later")?;
    }
    wait_for_state_dir(&agent, true)?;
    let status = agent.stop()?;
    ensure!(status.success(), "the agent ended with {status}");
    Ok(())
}

/// Writes a bad line, and waits until the agent reports it.
fn happen(agent: &Agent, log: &Path, when: &str) -> anyhow::Result<()> {
    let mut log = OpenOptions::new().append(true).open(log)?;
    writeln!(log, "{} bad {when}", jiff::Timestamp::now()).context("writing a log")?;
    let found = agent.wait_for(when, PATIENCE, |line| line.is_event("Bad", when));
    found.map(drop)
}

/// Waits until `/status` shows whether the state can be saved.
fn wait_for_state_dir(agent: &Agent, is_up: bool) -> anyhow::Result<()> {
    let what = format!("the source state-dir, up: {is_up}");
    agent.wait_until(&what, PATIENCE, || {
        let status = agent.page("/status")?;
        Ok((status["sources"]["state-dir"]["up"] == is_up).then_some(()))
    })
}
