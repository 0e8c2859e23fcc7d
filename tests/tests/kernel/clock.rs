//! A wall clock that somebody sets: no monitor becomes blind, and no duration changes.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::sysctl::Sysctl;
use npd_tests::journald::Journal;
use serde_json::{Value, json};

/// How often the clock is set.
const STEPS: [Step; 4] = [Step::Forward, Step::Back, Step::Back, Step::Forward];

#[derive(Clone, Copy, Debug)]
enum Step {
    Forward,
    Back,
}

/// What the same rules are applied to.
const SOURCES: [&str; 3] = ["kmsg", "filelog", "journald"];

/// How long a claim of the condition `Short…` lasts without being renewed.
const SHORT: &str = "15s";

pub(crate) fn clock_steps_blind_no_log_and_change_no_duration() -> anyhow::Result<()> {
    let _unlimited = Sysctl::set("kernel/printk_devkmsg", "on")?;
    let journal = Journal::start()?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("app.log");
    fs::write(&log, "")?;
    for source in SOURCES {
        let config = config(source, &log, &journal.folder()?);
        fs::write(
            folder.path().join(format!("{source}.json")),
            config.to_string(),
        )?;
    }
    let configs = SOURCES.map(|source| format!("{source}.json")).join(",");
    let configs = format!("--config.system-log-monitor={configs}");
    let mut agent = Agent::start(folder.path(), &[&configs])?;
    let write = |source: &str, text: &str| write(source, text, &log, &journal);
    let _clock = RestoredClock::new()?;
    for (number, step) in STEPS.into_iter().enumerate() {
        for source in SOURCES {
            // The last of them is seen last.
            for text in ["pair", "long", "short", "bad"] {
                write(source, &format!("npd-test {text} {number} before"))?;
            }
            wait_for_event(&agent, source, &format!("bad {number} before"))?;
        }
        for source in SOURCES {
            wait_for_status(&agent, &format!("Long-{source}"), "True")?;
            // On a slow machine it may be over already.
            let text = format!("short {number} before");
            agent.wait_for(&text, PATIENCE, |line| {
                line.report["source"] == source && line.is_event("Short", &text)
            })?;
        }
        set_clock(step)?;
        for source in SOURCES {
            let context = || format!("{source}, step {number}: {step:?}");
            for text in ["bad", "pair"] {
                let text = format!("{text} {number} after");
                write(source, &format!("npd-test {text}"))?;
                wait_for_event(&agent, source, &text).with_context(context)?;
            }
            wait_for_status(&agent, &format!("Short-{source}"), "False").with_context(context)?;
            let claimed = agent.condition(&format!("Long-{source}"))?;
            ensure!(claimed["status"] == "True", "{}: {claimed}", context());
        }
    }
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(())
}

fn config(source: &str, log: &Path, journal: &Path) -> Value {
    let condition = |r#type: &str| json!({"type": format!("{type}-{source}"), "reason": "Fine", "message": "it is fine"});
    let claim = |r#type: &str, pattern: &str, after: &str| {
        json!({"type": "permanent", "condition": format!("{type}-{source}"), "reason": r#type,
               "pattern": pattern, "clearAfter": after})
    };
    let mut rules = vec![
        json!({"type": "temporary", "reason": source, "pattern": "bad \\d+ .*"}),
        claim("Long", "long \\d+ .*", "30m"),
        claim("Short", "short \\d+ .*", SHORT),
    ];
    // Each pair has a rule of its own, because pairs that came before count, too.
    rules.extend((0..STEPS.len()).map(|number| {
        json!({"type": "temporary", "reason": source, "pattern": format!("pair {number} .*"),
               "threshold": 2, "window": "30m"})
    }));
    let (path, settings) = match source {
        "kmsg" => (Path::new("/dev/kmsg"), json!({})),
        "filelog" => (
            log,
            json!({
                "timestamp": "^\\S+", "message": "^\\S+ (.*)",
                "timestampFormat": "2006-01-02T15:04:05.999999999Z07:00",
            }),
        ),
        _ => (journal, json!({"source": "npd-test"})),
    };
    json!({
        "plugin": source, "logPath": path, "lookback": "5m", "source": source,
        "pluginConfig": settings, "rules": rules,
        "conditions": [condition("Long"), condition("Short")],
    })
}

fn write(source: &str, text: &str, log: &Path, journal: &Journal) -> anyhow::Result<()> {
    match source {
        "kmsg" => {
            let mut kmsg = File::options().write(true).open("/dev/kmsg")?;
            // Facility 1 is users'. One write is one record. Without the newline, the kernel would wait for
            // more of the line, and readers for the next record.
            kmsg.write_all(format!("<12>{text}\n").as_bytes())?;
        }
        "filelog" => {
            let mut log = File::options().append(true).open(log)?;
            writeln!(log, "{} {text}", jiff::Timestamp::now())?;
        }
        _ => journal.send("npd-test", text.as_bytes())?,
    }
    Ok(())
}

fn wait_for_event(agent: &Agent, source: &str, text: &str) -> anyhow::Result<()> {
    let found = agent.wait_for(text, PATIENCE, |line| line.is_event(source, text));
    found.map(drop)
}

fn wait_for_status(agent: &Agent, r#type: &str, status: &str) -> anyhow::Result<()> {
    agent.wait_until(&format!("{type} to be {status}"), PATIENCE, || {
        Ok((agent.condition(r#type)?["status"] == status).then_some(()))
    })
}

/// Sets the wall clock by an hour.
fn set_clock(step: Step) -> anyhow::Result<()> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    let hour = TimeSpec::from(Duration::from_hours(1));
    let then = match step {
        Step::Forward => now + hour,
        Step::Back => now - hour,
    };
    clock_settime(ClockId::CLOCK_REALTIME, then).context("setting the clock")
}

/// Sets the clock as if nobody had set it, when dropped.
struct RestoredClock {
    wall: TimeSpec,
    monotonic: TimeSpec,
}

impl RestoredClock {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            wall: clock_gettime(ClockId::CLOCK_REALTIME)?,
            monotonic: clock_gettime(ClockId::CLOCK_MONOTONIC)?,
        })
    }
}

impl Drop for RestoredClock {
    fn drop(&mut self) {
        if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            let wall = self.wall + (now - self.monotonic);
            clock_settime(ClockId::CLOCK_REALTIME, wall).ok();
        }
    }
}
