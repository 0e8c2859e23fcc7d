//! Processes that the OOM killer has killed.

use std::collections::BTreeSet;

use anyhow::ensure;
use npd_tests::agent::{PATIENCE, is_event};
use npd_tests::faults::cgroup::{MemoryCgroup, oom_kills};
use npd_tests::faults::kmsg::Flood;

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
    for expected in [MemoryCgroup::VICTIM, &cgroup.path().display().to_string()] {
        ensure!(message.contains(expected), "no {expected} in {message}");
    }
    settle(&agent)?;
    ensure!(count_events(&agent, "OOMKilling", &pid)? == 1);
    ensure!(agent.metric(COUNTER)? == before + 1);
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
