//! Everything that a plugin can do to its agent at once, for as long as `NPD_TEST_SECONDS` says.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use npd_tests::agent::Agent;
use npd_tests::faults::disk::{Disk, Mount, Type};
use npd_tests::harness;
use serde_json::{Value, json};

use crate::guard::Guard;
use crate::{resident, wait_until, zombies_of};

/// How long the good plugins are watched; with `NPD_TEST_SECONDS`, that long.
const SECONDS: u64 = 30;

/// The intervals of the good plugins, in seconds.
const INTERVALS: [usize; 10] = [1, 5, 1, 5, 1, 5, 1, 5, 1, 5];

pub(crate) fn all_at_once_delay_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("")?;
    let guard = Guard::new("stress")?;
    fs::write(
        folder.path().join("plugin.json"),
        config(folder.path(), &mount),
    )?;
    fs::write(folder.path().join("none.json"), r#"{"plugin": "custom"}"#)?;
    let frozen = mount.freeze()?;
    let mut agent = guard.start(
        folder.path(),
        &["--config.custom-plugin-monitor=plugin.json"],
    )?;
    wait_until(|| is_in_trouble(&agent))?;

    let seconds = harness::amount("NPD_TEST_SECONDS", SECONDS)?;
    let memory = resident(agent.id())?;
    let before = runs(folder.path());
    sleep(Duration::from_secs(seconds));
    // A good plugin that a bad one holds up does not get there before patience ends.
    let times = usize::try_from(seconds)?;
    let due = before.iter().zip(INTERVALS);
    let due = due.map(|(before, interval)| before + times / interval);
    let due: Vec<usize> = due.collect();
    let late = || {
        let runs = runs(folder.path()).into_iter().zip(&due);
        let late = runs.zip(INTERVALS).filter(|((runs, due), _)| runs < due);
        late.map(|((runs, due), interval)| format!("{runs} of {due} runs every {interval} s"))
            .collect::<Vec<_>>()
    };
    drop(wait_until(|| late().is_empty()));
    ensure!(late().is_empty(), "plugins are held up: {:?}", late());
    let grown = resident(agent.id())?.saturating_sub(memory);

    ensure!(grown < 2 << 20, "memory has grown by {grown} bytes");
    wait_until(|| zombies_of(agent.id()) == 0)?;

    ensure!(agent.stop()?.success(), "it was asked to stop");
    // It has not waited for what the disk holds up.
    ensure!(guard.processes()? > 0);
    drop(frozen);
    wait_until(|| guard.processes().is_ok_and(|left| left == 0))?;
    eprintln!(
        "memory {} KiB, {} more at the end",
        memory >> 10,
        grown >> 10,
    );

    // What the disk held up outlived its agent, and so did its cgroup. The next one removes that.
    let mut next = guard.start(folder.path(), &["--config.custom-plugin-monitor=none.json"])?;
    next.page("/status")?;
    next.stop()?;
    Ok(())
}

/// Four bad rules among ten good ones.
fn config(folder: &Path, mount: &Mount<'_>) -> String {
    let rule = |reason: &str, script: String| {
        json!({
            "type": "temporary", "reason": reason, "path": "/bin/sh", "args": ["-c", script],
        })
    };
    let file = mount.point().join("file");
    let mut rules = vec![
        rule("Blocked", format!("exec touch {}", file.display())),
        rule("Grandchild", "setsid sleep 1000 & exit 0".to_owned()),
        rule("Prints", "exec head -c 1073741824 /dev/zero".to_owned()),
        rule(
            "Forks",
            "b() { b & setsid sh -c 'sleep 1000' & b; }; b".to_owned(),
        ),
    ];
    rules.extend(INTERVALS.iter().enumerate().map(|(index, interval)| {
        let file = folder.join(format!("good-{index}"));
        let mut rule = rule("Good", format!("date +%s%N >> {}", file.display()));
        rule["invoke_interval"] = Value::from(format!("{interval}s"));
        rule
    }));
    json!({
        "plugin": "custom",
        "pluginConfig": {"invoke_interval": "5s", "timeout": "2s"},
        "rules": rules,
    })
    .to_string()
}

/// How often each good plugin has run.
fn runs(folder: &Path) -> Vec<usize> {
    let runs = |index| fs::read_to_string(folder.join(format!("good-{index}")));
    (0..INTERVALS.len())
        .map(|index| runs(index).map_or(0, |times| times.lines().count()))
        .collect()
}

/// Whether all that can go wrong has.
fn is_in_trouble(agent: &Agent) -> bool {
    let count = |metric: &str, reason: &str| {
        let labels = format!(r#"{{monitor="plugin.json",reason="{reason}"}}"#);
        agent
            .metric(&format!("{metric}{labels}"))
            .unwrap_or_default()
    };
    count("npd_plugin_abandoned", "Blocked") == 3
        && count("npd_plugin_timeouts_total", "Grandchild") > 0
        && count("npd_plugin_timeouts_total", "Forks") > 0
        && count("npd_plugin_duration_seconds_count", "Prints") > 0
}
