//! Custom plugins: the example of the documentation, and everything a plugin can do to its agent.

mod bounds;
mod bus;
mod guard;
mod health_checker;
mod stress;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::harness::{self, Need, Test};
use serde_json::json;

use self::guard::PIDS;

const TESTS: &[Test] = &[
    Test {
        name: "the_example_follows_the_file",
        needs: &[Need::Agent],
        run: the_example_follows_the_file,
    },
    Test {
        name: "no_plugin_delays_another",
        needs: &[Need::Agent],
        run: no_plugin_delays_another,
    },
    Test {
        name: "a_dead_disk_delays_no_other_plugin",
        needs: &[
            Need::Agent,
            Need::Root,
            Need::File("/dev/loop-control"),
            Need::Tool("losetup"),
            Need::Tool("mkfs.ext4"),
            Need::Tool("fsfreeze"),
        ],
        run: a_dead_disk_delays_no_other_plugin,
    },
    Test {
        name: "a_fork_bomb_is_bounded_and_removed",
        needs: &[Need::Agent, Need::Root, Need::File(PIDS)],
        run: bounds::a_fork_bomb_is_bounded_and_removed,
    },
    Test {
        name: "memory_is_bounded",
        needs: &[Need::Agent, Need::Root, Need::MemoryCgroup],
        run: bounds::memory_is_bounded,
    },
    Test {
        name: "shipped_health_checkers_run",
        needs: &[Need::Agent],
        run: health_checker::shipped_health_checkers_run,
    },
    Test {
        name: "only_what_is_ill_and_settled_is_repaired",
        needs: &[Need::Agent],
        run: health_checker::only_what_is_ill_and_settled_is_repaired,
    },
    Test {
        name: "a_unit_s_state_is_systemd_s_answer",
        needs: &[Need::Agent],
        run: health_checker::a_unit_s_state_is_systemd_s_answer,
    },
    Test {
        name: "what_cannot_be_started_is_unknown",
        needs: &[Need::Agent],
        run: what_cannot_be_started_is_unknown,
    },
    Test {
        name: "orphans_are_reaped",
        needs: &[Need::Agent],
        run: orphans_are_reaped,
    },
    Test {
        name: "all_at_once_delay_nothing",
        needs: &[
            Need::Agent,
            Need::Root,
            Need::File(PIDS),
            Need::File("/dev/loop-control"),
            Need::Tool("losetup"),
            Need::Tool("mkfs.ext4"),
            Need::Tool("fsfreeze"),
        ],
        run: stress::all_at_once_delay_nothing,
    },
];

fn main() -> ExitCode {
    harness::parallel(TESTS)
}

/// deploy/examples/file-exists, but faster and with a file of its own.
fn the_example_follows_the_file() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/file-exists");
    fs::copy(
        example.join("file-exists.sh"),
        folder.path().join("file-exists.sh"),
    )?;
    let file = folder.path().join("maintenance");
    let config = fs::read_to_string(example.join("file-exists.json"))?
        .replace(
            "/tmp/maintenance",
            file.to_str().context("a path in UTF-8")?,
        )
        .replace("\"2s\"", "\"200ms\"");
    fs::write(folder.path().join("file-exists.json"), config)?;
    let mut agent = Agent::start(
        folder.path(),
        &["--custom-plugin-monitors=file-exists.json"],
    )?;

    let start = agent.report(|_| true)?;
    ensure!(
        start["conditions"][0]["status"] == "False",
        "at the start: {start}"
    );
    let healthy = r#"problem_gauge{reason="NoMaintenanceFile",type="MaintenanceFileExists"}"#;
    let sick = r#"problem_gauge{reason="MaintenanceFileFound",type="MaintenanceFileExists"}"#;
    // The healthy series begins with the first result.
    wait_until(|| agent.metric(healthy).is_ok_and(|value| value == 0))?;
    ensure!(agent.metric(sick)? == 0);

    fs::write(&file, "")?;
    let seen = format!("{} exists", file.display());
    let began = format!(
        "Node condition MaintenanceFileExists is now: True, reason: MaintenanceFileFound, message: \"{seen}\""
    );
    let condition = agent.report(|report| report["event"]["message"] == began.as_str())?;
    ensure!(
        condition["conditions"][0]["status"] == "True",
        "with the file: {condition}"
    );
    ensure!(
        condition["event"]["severity"] == "warning",
        "with the file: {condition}"
    );
    agent.report(|report| {
        report["event"]["reason"] == "MaintenanceFileFound"
            && report["event"]["message"] == seen.as_str()
    })?;
    ensure!(agent.metric(sick)? == 1 && agent.metric(healthy)? == 0);
    ensure!(agent.metric(r#"problem_counter{reason="MaintenanceFileFound"}"#)? >= 2);
    ensure!(agent.page("/conditions")?[0]["message"] == seen.as_str());

    fs::remove_file(&file)?;
    let over = agent.report(|report| report["event"]["reason"] == "NoMaintenanceFile")?;
    ensure!(
        over["event"]["severity"] == "info",
        "without the file: {over}"
    );
    ensure!(
        over["conditions"][0]["status"] == "False",
        "without the file: {over}"
    );
    ensure!(over["conditions"][0]["message"] == "nobody has asked for maintenance");
    ensure!(agent.metric(sick)? == 0 && agent.metric(healthy)? == 0);
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(())
}

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

/// Waits until [`good`] has run twenty times more. A plugin that is held up by others that hang would
/// run a few times at most before patience ends.
fn runs_on(file: &Path) -> anyhow::Result<()> {
    let count = || fs::read(file).map_or(0, |lines| lines.len());
    let before = count();
    wait_until(|| count() >= before + 20).context("waiting for the good plugin to run")
}

fn a_dead_disk_delays_no_other_plugin() -> anyhow::Result<()> {
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

fn no_plugin_delays_another() -> anyhow::Result<()> {
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

/// At the start only what does not exist is an error.
fn what_cannot_be_started_is_unknown() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let script = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, "exit 0\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    };
    script("not-executable", 0o644)?;
    script("without-interpreter", 0o755)?;
    fs::create_dir(folder.path().join("folder"))?;
    let paths = ["./not-executable", "./without-interpreter", "./folder"];
    let write = |paths: &[&str]| {
        let rules = paths
            .iter()
            .map(|path| json!({"type": "temporary", "reason": path, "path": path}));
        let config = json!({"plugin": "custom", "rules": rules.collect::<Vec<_>>()});
        fs::write(folder.path().join("plugin.json"), config.to_string())
    };
    let start = || {
        Agent::start(
            folder.path(),
            &["--config.custom-plugin-monitor=plugin.json"],
        )
    };
    write(&paths)?;
    let mut agent = start()?;
    for path in paths {
        agent.wait_for("its event", PATIENCE, |line| {
            line.is_event(path, "Error in starting plugin. Please check the error log")
        })?;
    }
    ensure!(agent.stop()?.success(), "it was asked to stop");

    write(&["./missing"])?;
    let agent = start()?;
    let complaint = r#"plugin.json:1:37: rules[0].path: "./missing" does not exist"#;
    agent.wait_until("its end", PATIENCE, || {
        Ok(agent.log().contains(complaint).then_some(()))
    })
}

fn orphans_are_reaped() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let script = "for i in 1 2 3; do (setsid true &); done";
    let config = json!({
        "plugin": "custom",
        "pluginConfig": {"invoke_interval": "100ms"},
        "rules": [{"type": "temporary", "reason": "Rule", "path": "/bin/sh", "args": ["-c", script]}],
    });
    fs::write(folder.path().join("plugin.json"), config.to_string())?;
    let agent = Agent::start(
        folder.path(),
        &["--config.custom-plugin-monitor=plugin.json"],
    )?;
    let runs = r#"npd_plugin_duration_seconds_count{monitor="plugin.json",reason="Rule"}"#;
    wait_until(|| agent.metric(runs).is_ok_and(|runs| runs >= 10))?;
    // One may just have ended; those of ten runs would be thirty.
    wait_until(|| zombies_of(agent.id()) == 0)
}

fn wait_until(mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        ensure!(Instant::now() < deadline, "it did not happen");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The resident memory of a process, in bytes.
fn resident(process: u32) -> anyhow::Result<u64> {
    let pages = fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages = pages.split(' ').nth(1).context("reading statm")?;
    Ok(pages.parse::<u64>()? * 4096)
}

/// How many ended children of a process have not been waited for.
fn zombies_of(process: u32) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let status = entries.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    let parent = format!("PPid:\t{process}\n");
    status
        .filter(|status| status.contains("State:\tZ") && status.contains(&parent))
        .count()
}
