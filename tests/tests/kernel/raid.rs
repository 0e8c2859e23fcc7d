//! Arrays that lose a disk.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::raid::Mirror;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::{count_events, settle, wait_for_events, watching};

const MISSING: &str = "md/missing_members";

/// The rule of `links-monitor.json` for the file of `/sys`, with less patience.
fn start_with_links() -> anyhow::Result<(Agent, NamedTempFile)> {
    let config = json!({
        "invokeInterval": "1s",
        "hardware": {"metricsConfigs": {MISSING: {"displayName": MISSING}}},
        "rules": [{
            "type": "temporary",
            "reason": "RaidDegraded",
            "metric": MISSING,
            "above": 0,
            "for": "1s",
        }],
    });
    let mut file = NamedTempFile::new().context("making a config file")?;
    write!(file, "{config}").context("writing a config file")?;
    let stats = format!("--config.system-stats-monitor={}", file.path().display());
    let flags = [
        "--config.system-log-monitor=builtin",
        "--config.ebpf-monitor=builtin",
        &stats,
    ];
    let agent = watching(Agent::start(Path::new("/"), &flags)?)?;
    settle(&agent)?;
    Ok((agent, file))
}

/// A disk dies, and the array works on. The log and `/sys` show it.
pub(crate) fn a_failed_member_is_reported_once() -> anyhow::Result<()> {
    let host = Disk::new(Type::Xfs)?;
    let host_mount = host.mount("rw")?;
    let (good, bad) = (Disk::empty()?, Disk::inside(&host_mount)?);
    let array = Mirror::new("md99", [&good, &bad])?;
    let (agent, _config) = start_with_links()?;
    let about = format!(":{}: ", array.name());
    let count = |reason: &str, text: &str| count_events(&agent, reason, text);
    let disk = format!("dev {}, ", bad.name());
    let disk_before = count("IOError", &disk)?;
    host_mount.xfs_shutdown()?;
    array.write()?;
    wait_for_events(&agent, "RaidDegraded", &about, 1)?;
    agent.wait_for("the disk's error", PATIENCE, |line| {
        line.is_event("IOError", &disk)
    })?;
    let series = format!("md_missing_members{{array={:?}}}", array.name());
    agent.wait_until("the state in /sys", PATIENCE, || {
        Ok((agent.metric(&series)? == 1).then_some(()))
    })?;
    settle(&agent)?;
    ensure!(count("RaidDegraded", &about)? == 1);
    ensure!(count("RaidDegraded", MISSING)? == 0, "reported twice");
    ensure!(count("RaidFailed", &about)? == 0);
    ensure!(count("IOError", &disk)? == disk_before + 1);
    Ok(())
}
