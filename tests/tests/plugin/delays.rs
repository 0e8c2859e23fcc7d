//! Plugins that hang, beside one that is well.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};
use serde_json::json;

use crate::{resident, wait_for, wait_until, zombies_of};

/// Everything a plugin can do without being root. Each is a shell script.
const MONSTERS: &[(&str, &str)] = &[
    ("hangs", "exec sleep 1000"),
    (
        "ignores SIGTERM",
        "trap '' TERM INT HUP; while :; do sleep 1; done",
    ),
    ("stops itself", "kill -STOP $$"),
    ("closes its output", "exec >&- 2>&- <&-; sleep 1000"),
    (
        "leaves a child outside its group that holds its output",
        "setsid sleep 5",
    ),
    (
        "leaves children in the background",
        "sleep 1000 & sleep 1001 & exit 0",
    ),
    ("prints without end", "exec yes"),
    ("prints a lot", "exec head -c 1073741824 /dev/zero"),
    ("forks without end", "while :; do sleep 1000 & done"),
    (
        "leaves zombies",
        "for i in 1 2 3; do (sleep 0 & exec sleep 1000) & done; exit 1",
    ),
];

/// The rules of a config file: every rule runs a shell script twice a second, for half a second at
/// most.
fn twice_a_second(scripts: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let rule = |(reason, script): (&str, String)| {
        json!({
            "type": "temporary", "reason": reason, "path": "/bin/sh", "args": ["-c", script],
        })
    };
    let rules: Vec<_> = scripts.into_iter().map(rule).collect();
    json!({
        "plugin": "custom",
        "pluginConfig": {"invoke_interval": "500ms", "timeout": "500ms", "concurrency": 3},
        "rules": rules,
    })
    .to_string()
}

/// A script that counts its own runs in `file`.
fn good(file: &Path) -> (&'static str, String) {
    ("Good", format!("echo >> {}", file.display()))
}

/// Waits until [`good`] has run twenty times more, which takes ten seconds. A plugin that is held up by
/// others that hang would run a few times at most in a minute.
fn runs_on(file: &Path) -> anyhow::Result<()> {
    let count = || fs::read(file).map_or(0, |lines| lines.len());
    let before = count();
    wait_for(Duration::from_mins(1), || count() >= before + 20)
        .context("waiting for the good plugin to run")
}

pub(crate) fn a_dead_disk_delays_no_other_plugin() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let runs = folder.path().join("runs");
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("")?;
    let file = mount.point().join("file");
    // Of the second only a child survives, which does not hold its output.
    let hangs = format!("exec touch {}", file.display());
    let child_hangs = format!("touch {} >/dev/null 2>&1; exit 0", file.display());
    let config = twice_a_second([("Hangs", hangs), ("ChildHangs", child_hangs), good(&runs)]);
    fs::write(folder.path().join("plugin.json"), config)?;
    let mut agent = Agent::start(
        folder.path(),
        &["--config.custom-plugin-monitor=plugin.json"],
    )?;
    let abandoned = |reason: &str| {
        let labels = format!(r#"{{monitor="plugin.json",reason="{reason}"}}"#);
        agent.metric(&format!("npd_plugin_abandoned{labels}"))
    };
    wait_until(|| runs.exists())?;
    let frozen = mount.freeze()?;
    // No more processes are left behind than this.
    for reason in ["Hangs", "ChildHangs"] {
        wait_until(|| abandoned(reason).is_ok_and(|runs| runs == 3))?;
        agent.wait_for("no more runs", PATIENCE, |line| {
            line.is_event(reason, "CheckHung")
        })?;
    }
    runs_on(&runs)?;
    ensure!(abandoned("Hangs")? == 3 && abandoned("ChildHangs")? == 3);
    let status = agent.page("/status")?;
    ensure!(
        status["plugins"]["plugin.json: rules[0]"]["abandoned"] == 3,
        "{status}"
    );
    drop(frozen);
    for reason in ["Hangs", "ChildHangs"] {
        wait_until(|| abandoned(reason).is_ok_and(|runs| runs == 0))?;
    }
    wait_until(|| zombies_of(agent.id()) == 0)?;
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(())
}

pub(crate) fn no_plugin_delays_another() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let runs = folder.path().join("runs");
    let monsters = MONSTERS
        .iter()
        .map(|(name, script)| (*name, (*script).to_owned()));
    let config = twice_a_second(monsters.chain([good(&runs)]));
    fs::write(folder.path().join("monsters.json"), config)?;
    let mut agent = Agent::start(
        folder.path(),
        &["--config.custom-plugin-monitor=monsters.json"],
    )?;

    // All of them have hung once.
    let hung = |agent: &Agent, name: &str| {
        let series = r#"npd_plugin_timeouts_total{monitor="monsters.json",reason=""#;
        agent
            .metric(&format!("{series}{name}\"}}"))
            .unwrap_or_default()
            >= 1
    };
    wait_until(|| MONSTERS[..7].iter().all(|(name, _)| hung(&agent, name)))?;

    let memory = resident(agent.id())?;
    runs_on(&runs)?;
    let grown = resident(agent.id())?.saturating_sub(memory);
    ensure!(grown < 2 << 20, "memory has grown by {grown} bytes");

    // They would go on for longer than this waits.
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(())
}
