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

/// The cost of the plugins, how punctual they are, and the cost of only starting programs.
pub(crate) fn rows() -> anyhow::Result<Vec<(&'static str, String)>> {
    let together = Measured::new("100ms")?;
    let apart = Measured::new("1s")?;
    let (bare_own, bare_children) = bare_starts()?;
    let seconds = TIME.as_secs_f64();
    let milliseconds =
        |time: Duration| format!("{:.1} ms a second", time.as_secs_f64() * 1e3 / seconds);
    let percent = |done: u64| done as f64 / (f64::from(RULES) * seconds) * 100.0;
    let runs_done = |done: u64| format!("{done}, {:.2} % of the planned runs", percent(done));
    Ok(vec![
        (
            "200 plugins a second: CPU time of the agent",
            milliseconds(together.own),
        ),
        ("…of the plugins", milliseconds(together.children)),
        (
            "without the agent, a program that starts `/bin/true` 200 times a second: CPU time",
            milliseconds(bare_own),
        ),
        ("…of `/bin/true`", milliseconds(bare_children)),
        ("runs done", runs_done(together.done)),
        (
            "delay of a run against its plan, all rules spread over 100 ms (the default)",
            crate::quantiles(together.late),
        ),
        ("…with a jitter of 1 s", crate::quantiles(apart.late)),
        ("resident memory", mebibytes(together.resident)),
    ])
}

/// What was measured of an agent in [`TIME`].
struct Measured {
    /// Its own processor time, and that of its plugins.
    own: Duration,
    children: Duration,
    /// The runs of all plugins.
    done: u64,
    late: Vec<Duration>,
    resident: u64,
}

impl Measured {
    fn new(jitter: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let times = folder.path().join("times");
        let rule = |path: &str, args: &[&str]| {
            json!({
                "type": "temporary", "reason": "Bench", "path": path, "args": args,
                "jitter": jitter,
            })
        };
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
        let before = (
            cpu_time(&process)?,
            children(&process)?,
            agent.metric(&runs)?,
        );
        std::thread::sleep(TIME);
        Ok(Self {
            own: cpu_time(&process)?.saturating_sub(before.0),
            children: children(&process)?.saturating_sub(before.1),
            done: agent.metric(&runs)? - before.2,
            late: lateness(&read(&times)?),
            resident: crate::field(&read(&process.join("status"))?, "VmRSS:")? * 1024,
        })
    }
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

/// The processor time that it takes to start a program as often, and what it takes itself.
fn bare_starts() -> anyhow::Result<(Duration, Duration)> {
    let ourselves = Path::new("/proc/self");
    let before = (cpu_time(ourselves)?, children(ourselves)?);
    for _ in 0..u64::from(RULES) * TIME.as_secs() {
        Command::new("/bin/true")
            .status()
            .context("starting a program")?;
    }
    let own = cpu_time(ourselves)?.saturating_sub(before.0);
    Ok((own, children(ourselves)?.saturating_sub(before.1)))
}
