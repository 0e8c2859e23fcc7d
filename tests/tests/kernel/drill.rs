//! `npd-agent drill`: real faults that it makes and undoes itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness;
use serde_json::Value;
use tempfile::TempDir;

use crate::watching;

/// Without conditions: what other tests have left in the kernel's log makes no node sick.
const CONFIG: &str = r#"{"plugin": "ebpf", "source": "drill", "pluginConfig": {"hungTaskThreshold": "2s"},
    "rules": [{"type": "temporary", "reason": "OOMKilling", "probe": "oom"},
              {"type": "temporary", "reason": "IOError", "probe": "block_error"},
              {"type": "temporary", "reason": "FilesystemError", "probe": "filesystem"},
              {"type": "temporary", "reason": "TaskHung", "probe": "hung_task"}]}"#;

fn drill(agent: &Agent, words: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(harness::agent()?);
    command
        .args(["drill", "--json", "--patience=30s"])
        .arg(format!("--port={}", agent.port()))
        .args(words);
    Ok(command)
}

/// Whether a drill has left anything.
fn is_clean() -> anyhow::Result<bool> {
    let name = "npd-agent-drill";
    let mounts = fs::read_to_string("/proc/mounts").context("reading the mounts")?;
    let places = ["/run", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"];
    let exists = |place: &&str| Path::new(place).join(name).exists();
    Ok(!mounts.contains(name) && !places.iter().any(exists))
}

/// Each fault is reported. After the drill nothing of it is left, even if it was killed.
pub(crate) fn a_drill_reports_its_faults_and_undoes_them() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("drill.json"), CONFIG)?;
    let mut agent = watching(Agent::start(
        folder.path(),
        &["--config.ebpf-monitor=drill.json"],
    )?)?;
    // The agent reports the failures of one disk once a minute.
    for (faults, count) in [(&["all"][..], 4), (&["oom", "readonly"], 2)] {
        let output: Output = drill(&agent, faults)?.output()?;
        ensure!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout)?;
        let reports: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
        let reports = reports?;
        ensure!(reports.len() == count, "{lines}");
        for report in reports {
            ensure!(report["reported_ms"].is_u64(), "{report}");
            ensure!(report["acknowledged_ms"].is_null(), "{report}");
        }
        ensure!(is_clean()?, "something is left");
    }
    let mut killed = drill(&agent, &["hung"])?;
    let mut killed = killed.stderr(Stdio::null()).spawn()?;
    let mounted = || Ok::<_, anyhow::Error>(!is_clean()?);
    wait_until("the fault", mounted)?;
    killed.kill()?;
    killed.wait()?;
    wait_until("the end of the fault", is_clean)?;
    ensure!(agent.stop()?.success(), "{}", agent.log());
    let refused = drill(&agent, &["oom"])?.output()?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    Ok(())
}

fn wait_until(what: &str, is_there: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_there()? {
        ensure!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
