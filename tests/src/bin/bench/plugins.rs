//! Two hundred plugins, each once a second.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use npd_tests::agent::{Agent, PATIENCE};
use serde_json::json;

use crate::{cpu_time, mebibytes, read};

const RULES: u32 = 200;
const TIME: Duration = Duration::from_mins(1);

/// What they cost and how they keep their time, and what starting programs costs by itself.
pub(crate) fn rows() -> anyhow::Result<Vec<(&'static str, String)>> {
    let folder = tempfile::tempdir().context("making a folder")?;
    let times = folder.path().join("times");
    let rule = |path: &str, args: &[&str]| json!({"type": "temporary", "reason": "Bench", "path": path, "args": args});
    let clock = format!("date +%s%N >> {}", times.display());
    let mut rules = vec![rule("/bin/sh", &["-c", &clock])];
    rules.extend((1..RULES).map(|_| rule("/bin/true", &[])));
    let config = json!({
        "plugin": "custom",
        "pluginConfig": {"invoke_interval": "1s", "timeout": "1s", "concurrency": RULES},
        "rules": rules,
    });
    let file = folder.path().join("plugins.json");
    fs::write(&file, config.to_string()).context("writing a config")?;

    let flag = format!("--config.custom-plugin-monitor={}", file.display());
    let agent = Agent::start(folder.path(), &[&flag])?;
    let runs = r#"npd_plugin_duration_seconds_count{monitor="#;
    let runs = format!("{runs}{:?},reason=\"Bench\"}}", file.display().to_string());
    agent.wait_until("the first runs", PATIENCE, || {
        let runs = agent.metric(&runs).unwrap_or_default();
        Ok((runs >= u64::from(2 * RULES)).then_some(()))
    })?;
    let process = PathBuf::from(format!("/proc/{}", agent.id()));
    let (own, children, done) = (
        cpu_time(&process)?,
        children(&process)?,
        agent.metric(&runs)?,
    );
    std::thread::sleep(TIME);
    let own = cpu_time(&process)?.saturating_sub(own);
    let children = self::children(&process)?.saturating_sub(children);
    let done = agent.metric(&runs)? - done;
    let resident = crate::field(&read(&process.join("status"))?, "VmRSS:")? * 1024;
    let late = lateness(&read(&times)?);
    let bare = bare_start()?;

    let seconds = TIME.as_secs_f64();
    let milliseconds =
        |time: Duration| format!("{:.1} ms a second", time.as_secs_f64() * 1e3 / seconds);
    let expected = f64::from(RULES) * seconds;
    Ok(vec![
        (
            "200 plugins a second: CPU time of the agent",
            milliseconds(own),
        ),
        ("CPU time of the plugins", milliseconds(children)),
        (
            "starting /bin/true and waiting for it, 200 times, without an agent",
            format!("{:.1} ms", bare.as_secs_f64() * 1e3 * f64::from(RULES)),
        ),
        (
            "runs done",
            format!(
                "{done}, {:.2} % of what is due",
                done as f64 / expected * 100.0
            ),
        ),
        ("a rule's drift from its clock", crate::quantiles(late)),
        ("resident memory", mebibytes(resident)),
    ])
}

/// The processor time of the children that a process has waited for.
fn children(process: &Path) -> anyhow::Result<Duration> {
    // After the name, which may contain anything: fields 16 and 17 of proc(5), in ticks of 10 ms.
    let stat = read(&process.join("stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("reading a stat")?;
    let ticks = fields.split(' ').skip(13).take(2).map(str::parse::<u64>);
    let ticks = ticks.sum::<Result<u64, _>>().context("reading a stat")?;
    Ok(Duration::from_millis(ticks * 10))
}

/// How much later than its clock each run was, if the earliest was on time.
fn lateness(times: &str) -> Vec<Duration> {
    const SECOND: i64 = 1_000_000_000;
    let times: Vec<i64> = times.lines().filter_map(|line| line.parse().ok()).collect();
    // The first run is the start, which is not moved by the jitter.
    let Some((first, others)) = times.get(1..).and_then(<[i64]>::split_first) else {
        return Vec::new();
    };
    let off = |time: &i64| (time - first + SECOND / 2).rem_euclid(SECOND) - SECOND / 2;
    let earliest = others.iter().map(off).min().unwrap_or_default();
    let late = others.iter().map(|time| off(time) - earliest);
    late.map(|late| Duration::from_nanos(late.unsigned_abs()))
        .collect()
}

/// The processor time that it takes to start a program and wait for it.
fn bare_start() -> anyhow::Result<Duration> {
    const TIMES: u32 = 1000;
    let ourselves = Path::new("/proc/self");
    let before = cpu_time(ourselves)?;
    for _ in 0..TIMES {
        Command::new("/bin/true")
            .status()
            .context("starting a program")?;
    }
    Ok(cpu_time(ourselves)?.saturating_sub(before) / TIMES)
}
