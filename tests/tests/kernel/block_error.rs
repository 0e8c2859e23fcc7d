//! Disks that fail.

use std::path::Path;

use anyhow::ensure;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};

use crate::{count_events, settle, watching};

const COUNTER: &str = r#"problem_counter{reason="IOError"}"#;

/// Every configuration that has a rule for it.
const CONFIGS: [&str; 2] = [
    "--config.system-log-monitor=kernel-monitor.json,kernel/block.json",
    "--config.ebpf-monitor=ebpf-monitor.json",
];

/// A disk that is dead is one Event, although the kernel's log has it too in several wordings, and
/// one a minute that says exactly how often it failed. One that works is none.
pub(crate) fn a_dead_disk_is_one_event_and_an_exact_count() -> anyhow::Result<()> {
    const BLOCKS: u64 = 2000;
    let host = Disk::new(Type::Xfs)?;
    let mount = host.mount("rw")?;
    let disk = Disk::inside(&mount)?;
    let configs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config"));
    let agent = watching(Agent::start(configs, &CONFIGS)?)?;
    settle(&agent)?;
    let before = agent.metric(COUNTER)?;
    let about = format!("dev {}, ", disk.name());
    let events_before = count_events(&agent, "IOError", &about)?;
    ensure!(disk.failing_reads(10)? == 0, "the disk is broken already");
    mount.xfs_shutdown()?;
    ensure!(disk.failing_reads(BLOCKS)? == BLOCKS, "the disk works");
    let error = format!("I/O error, {about}");
    // The log may have texts about another disk of this name; only a record of the probe has the number.
    let number = format!("device {}", disk.number()?);
    let line = agent.wait_for("the error", PATIENCE, |line| {
        line.is_event("IOError", &error) && line.is_event("IOError", &number)
    })?;
    let message = line.report["event"]["message"].to_string();
    ensure!(message.contains("op 0x0:(READ)"), "{message}");
    settle(&agent)?;
    ensure!(count_events(&agent, "IOError", &about)? == events_before + 1);
    ensure!(agent.metric(COUNTER)? == before + 1);
    let more = format!("{} more times", BLOCKS - 1);
    agent.wait_for("the count", PATIENCE, |line| {
        line.is_event("IOError", &about) && line.is_event("IOError", &more)
    })?;
    // The page cache logs this failure, too.
    ensure!(!disk.can_be_read()?, "the disk works");
    // This disk works.
    ensure!(host.failing_reads(10)? == 0, "another disk is dead, too");
    settle(&agent)?;
    ensure!(count_events(&agent, "IOError", &about)? == events_before + 2);
    ensure!(agent.metric(COUNTER)? == before + 2);
    Ok(())
}
