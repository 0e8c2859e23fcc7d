//! Custom plugins: the example of the documentation, and everything a plugin can do to its agent.

mod bus;
mod cgroup;
mod delays;
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
        run: delays::no_plugin_delays_another,
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
        run: delays::a_dead_disk_delays_no_other_plugin,
    },
    Test {
        name: "a_fork_bomb_is_bounded_and_removed",
        needs: &[Need::Agent, Need::Root, Need::File(PIDS)],
        run: cgroup::a_fork_bomb_is_bounded_and_removed,
    },
    Test {
        name: "memory_is_bounded_if_the_file_says_so",
        needs: &[Need::Agent, Need::Root, Need::MemoryCgroup],
        run: cgroup::memory_is_bounded_if_the_file_says_so,
    },
    Test {
        name: "the_kill_of_a_plugin_names_it",
        needs: &[
            Need::Agent,
            Need::Root,
            Need::Btf,
            Need::MemoryCgroup,
            Need::File("/dev/kmsg"),
        ],
        run: cgroup::the_kill_of_a_plugin_names_it,
    },
    Test {
        name: "agents_that_share_a_folder_leave_each_other_alone",
        needs: &[
            Need::Agent,
            Need::Root,
            Need::File(PIDS),
            Need::Tool("unshare"),
        ],
        run: cgroup::agents_that_share_a_folder_leave_each_other_alone,
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

fn wait_until(done: impl FnMut() -> bool) -> anyhow::Result<()> {
    wait_for(PATIENCE, done)
}

fn wait_for(patience: Duration, mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
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
