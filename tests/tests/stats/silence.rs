//! File systems that do not answer.

use std::fs;
use std::process::Command;

use anyhow::ensure;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness;
use npd_tests::machine::Machine;
use serde_json::json;

use super::page_with;

/// Mounts a FUSE file system that nobody serves, where nobody else sees it, and becomes the agent.
const MOUNT: &str = "point=$1; shift; exec 3<>/dev/fuse
mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 /dev/fuse \"$point\" && exec \"$@\"";

pub(super) fn a_silent_file_system_holds_up_nothing() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let root = machine.path().join("proc/1/root");
    for point in ["data", "silent"] {
        fs::create_dir_all(root.join(point))?;
    }
    machine.write(
        "proc/1/mountinfo",
        "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
         2 1 0:99 / /silent rw - fuse /dev/fuse rw\n\
         3 1 8:17 / /data rw - ext4 /dev/sdb1 rw\n",
    )?;
    machine.write("proc/meminfo", "Unevictable: 4 kB\n")?;
    let metric = |id: &str| json!({"metricsConfigs": {id: {"displayName": id}}});
    let config = json!({
        "invokeInterval": "200ms",
        "disk": metric("disk/percent_used"),
        "memory": metric("memory/unevictable_used"),
    });
    machine.write("stats.json", &config.to_string())?;
    let mut unshare = machine.host(Command::new("unshare"));
    unshare
        .args(["--mount", "sh", "-c", MOUNT, "sh"])
        .arg(root.join("silent"))
        .arg(harness::agent()?);
    let flag = "--config.system-stats-monitor=stats.json";
    let mut agent = Agent::start_as(unshare, machine.path(), &[flag])?;

    let page = page_with(&agent, "disk_percent_used{")?;
    ensure!(page.labels("disk_percent_used", "device_name") == ["sda1", "sdb1"]);
    let source = "stats.json disk";
    let reason = agent.wait_until("a reason", PATIENCE, || {
        let status = agent.page("/status")?;
        Ok(status["sources"][source]["reason"]
            .as_str()
            .map(str::to_owned))
    })?;
    ensure!(
        reason.contains("no answer from the file system on"),
        "{reason}"
    );
    ensure!(agent.metric(&format!("npd_source_up{{source=\"{source}\"}}"))? == 0);
    machine.write("proc/meminfo", "Unevictable: 8 kB\n")?;
    page_with(&agent, "memory_unevictable_used 8192")?;
    ensure!(agent.stop()?.success());
    Ok(())
}
