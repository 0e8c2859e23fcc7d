//! Processes that the OOM killer has killed.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use anyhow::ensure;
use npd_tests::agent::{PATIENCE, is_event};
use npd_tests::faults::cgroup::{MemoryCgroup, oom_kills};
use npd_tests::faults::kmsg::Flood;
use npd_tests::faults::retry;

use crate::{count_events, settle, start};

const COUNTER: &str = r#"problem_counter{reason="OOMKilling"}"#;

/// The user sees one line about a killed process, although the kernel's log reports it too.
pub(crate) fn an_oom_kill_is_reported_once() -> anyhow::Result<()> {
    let agent = start()?;
    let before = agent.metric(COUNTER)?;
    let cgroup = MemoryCgroup::new("npd-test-one")?;
    let pid = cgroup.kill_one()?.to_string();
    let line = agent.wait_for("the kill", PATIENCE, |line| {
        line.is_event("OOMKilling", &pid)
    })?;
    let message = line.report["event"]["message"].to_string();
    let path = cgroup.path().display().to_string();
    let limit = format!("limit of {path}: 20480kB, used: ");
    for expected in [MemoryCgroup::VICTIM, &path, &limit] {
        ensure!(message.contains(expected), "no {expected} in {message}");
    }
    settle(&agent)?;
    ensure!(agent.metric(r#"npd_detection_seconds_count{probe="oom"}"#)? > 0);
    ensure!(count_events(&agent, "OOMKilling", &pid)? == 1);
    ensure!(agent.metric(COUNTER)? == before + 1);
    Ok(())
}

/// A container is killed as a whole. That is one incident, and the kernel's log has a line for each process.
pub(crate) fn a_cgroup_that_is_killed_together_is_one_event() -> anyhow::Result<()> {
    let agent = start()?;
    let before = agent.metric(COUNTER)?;
    let lines_before = agent.lines().len();
    let cgroup = MemoryCgroup::new("npd-test-group")?;
    cgroup.die_together()?;
    let bystanders = (0..3).map(|_| cgroup.start_bystander());
    let bystanders = bystanders.collect::<anyhow::Result<Vec<_>>>()?;
    // They are in the cgroup when they sleep there.
    let processes = Path::new("/sys/fs/cgroup").join("npd-test-group/cgroup.procs");
    retry(PATIENCE, || {
        let text = std::fs::read_to_string(&processes)?;
        ensure!(text.lines().count() == 3, "{text}");
        Ok(())
    })?;
    let pid = cgroup.kill_one()?.to_string();
    for mut bystander in bystanders {
        let status = bystander.wait()?;
        ensure!(status.signal() == Some(9), "it ended with {status}");
    }
    let path = cgroup.path().display().to_string();
    let line = agent.wait_for("the kill", PATIENCE, |line| {
        line.is_event("OOMKilling", &path)
    })?;
    let message = line.report["event"]["message"].to_string();
    let limit = format!("limit of {path}: 20480kB, used: ");
    for expected in [&*pid, "with all of its cgroup", &limit] {
        ensure!(message.contains(expected), "no {expected} in {message}");
    }
    agent.wait_until("every process to be counted", PATIENCE, || {
        Ok((agent.metric(COUNTER)? == before + 4).then_some(()))
    })?;
    settle(&agent)?;
    // The kernel's log still has what other tests have killed.
    let lines = agent.lines().into_iter().skip(lines_before);
    let events = lines.filter(|line| line.report["event"]["reason"] == "OOMKilling");
    let events: Vec<_> = events.map(|line| line.report.to_string()).collect();
    ensure!(events.len() == 1, "{events:#?}");
    ensure!(agent.metric(COUNTER)? == before + 4);
    Ok(())
}

/// No kill is lost or reported twice, however busy the kernel's log is.
pub(crate) fn every_oom_kill_is_counted_while_the_log_is_flooded() -> anyhow::Result<()> {
    const KILLS: u64 = 100;
    let agent = start()?;
    let counted_before = agent.metric(COUNTER)?;
    let cgroup = MemoryCgroup::new("npd-test-many")?;
    let flood = Flood::start(20_000)?;
    let before = oom_kills()?;
    let mut pids = BTreeSet::new();
    for _ in 0..KILLS {
        pids.insert(cgroup.kill_one()?);
    }
    let counted = oom_kills()? - before;
    ensure!(flood.stop()? > 0);
    ensure!(counted == KILLS, "the kernel counted {counted}");
    agent.wait_until("every kill to be counted", PATIENCE, || {
        Ok((agent.metric(COUNTER)? >= counted_before + KILLS).then_some(()))
    })?;
    settle(&agent)?;
    let counted = agent.metric(COUNTER)? - counted_before;
    ensure!(counted == KILLS, "the agent counted {counted}");
    let path = cgroup.path().display().to_string();
    let lines = agent.lines();
    let messages = lines.iter().filter_map(|line| {
        let event = &line.report["event"];
        is_event(event, "OOMKilling", &path).then(|| event["message"].to_string())
    });
    let messages = messages.collect::<Vec<_>>();
    ensure!(messages.len() == pids.len(), "{} lines", messages.len());
    for pid in pids {
        // A short number may be among the figures, too.
        let killed = format!("process {pid} (");
        let lines = messages.iter().filter(|m| m.contains(&killed)).count();
        ensure!(lines == 1, "{lines} lines about {killed}");
    }
    Ok(())
}
