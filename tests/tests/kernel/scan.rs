//! `npd-agent scan` on a node that is sick, and after it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use npd_tests::faults::cgroup::MemoryCgroup;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::hang::HungTask;
use npd_tests::harness;
use serde_json::Value;

/// The problems that a scan sees now with this reason and this text.
fn problems(reason: &str, text: &str) -> anyhow::Result<usize> {
    let mut scan = Command::new(harness::agent()?);
    let output = scan.args(["scan", "--json", "--timeout=30s"]).output();
    let output = output.context("starting the scan")?;
    let verdict: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let problems = verdict["problems"].as_array().context("no problems")?;
    let is_asked = |problem: &&Value| {
        let message = problem["message"].as_str();
        problem["reason"] == reason && message.is_some_and(|message| message.contains(text))
    };
    let found = problems.iter().filter(is_asked).count();
    ensure!(
        (found == 0) || output.status.code() == Some(1),
        "{verdict} and {}",
        output.status
    );
    Ok(found)
}

/// No agent runs. A fault that lasts is seen for as long as it lasts.
pub(crate) fn scan_says_sick_while_a_fault_lasts() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("errors=remount-ro")?;
    {
        // Dropped after the guard that lets it run again, also when the test fails.
        let task;
        let frozen = mount.freeze()?;
        task = HungTask::start(&mount, "npd-test-scan")?;
        let pid = format!(":{} ", task.pid());
        ensure!(problems("TaskHung", &pid)? > 0, "the hung task is not seen");
        drop(frozen);
        drop(task);
        ensure!(problems("TaskHung", &pid)? == 0, "it hangs no more");
    }
    let killed = MemoryCgroup::new("npd-test-scan")?.kill_one()?;
    let killed = format!("process {killed} ");
    ensure!(problems("OOMKilling", &killed)? > 0, "the kill is not seen");
    mount.ext4_error()?;
    let device = Path::new(disk.name()).display().to_string();
    ensure!(
        problems("FilesystemError", &device)? > 0,
        "the read-only file system is not seen"
    );
    Ok(())
}
