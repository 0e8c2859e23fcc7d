//! Disks that do not answer, beside others that do.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE, get};
use npd_tests::faults::dead::DeadDisk;
use npd_tests::faults::namespace::with_own_mounts;
use npd_tests::harness::{Need, Test};
use npd_tests::machine::Machine;
use serde_json::{Value, json};

use crate::lab::wait_until;

const DEAD_DISK: &[Need] = &[
    Need::Agent,
    Need::Root,
    Need::Tool("mount"),
    Need::File("/dev/fuse"),
];

pub(crate) const LOGS_AND_PLUGINS: Test = Test {
    name: "a_dead_disk_with_600_logs_and_22_plugins_costs_only_its_own_users",
    needs: DEAD_DISK,
    run: a_dead_disk_with_600_logs_and_22_plugins_costs_only_its_own_users,
};

pub(crate) const STATS: Test = Test {
    name: "eight_dead_disks_do_not_take_the_root_disk_s_series_along",
    needs: DEAD_DISK,
    run: eight_dead_disks_do_not_take_the_root_disk_s_series_along,
};

const DEAD_LOGS: usize = 600;
const DEAD_PLUGINS: usize = 22;

fn log(path: &Path) -> Value {
    json!({
        "plugin": "filelog", "logPath": path, "source": "app", "lookback": "1h",
        "pluginConfig": {"timestamp": "^.{20}", "message": "^.{20} (.*)",
                         "timestampFormat": "2006-01-02T15:04:05Z07:00"},
        "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad .*"}],
    })
}

fn plugins(rules: impl IntoIterator<Item = (String, String)>) -> Value {
    let rule = |(reason, path)| json!({"type": "temporary", "reason": reason, "path": path});
    json!({
        "plugin": "custom", "source": "plugin",
        "pluginConfig": {"invoke_interval": "1s", "timeout": "500ms"},
        "rules": rules.into_iter().map(rule).collect::<Vec<_>>(),
    })
}

fn a_dead_disk_with_600_logs_and_22_plugins_costs_only_its_own_users() -> anyhow::Result<()> {
    with_own_mounts(|| {
        let folder = tempfile::tempdir()?;
        let dead = folder.path().join("dead");
        fs::create_dir(&dead)?;
        let write = |name: &str, config: &Value| {
            fs::write(folder.path().join(name), config.to_string()).context("writing a config")
        };
        let names = (0..DEAD_LOGS).map(|number| format!("dead{number}.json"));
        let names: Vec<_> = names.collect();
        for name in &names {
            write(name, &log(&dead.join(name)))?;
        }
        let well = folder.path().join("well.log");
        fs::write(&well, "")?;
        write("well.json", &log(&well))?;
        let on_it = (0..DEAD_PLUGINS).map(|number| {
            let path = dead.join(number.to_string());
            (format!("Dead{number}"), path.display().to_string())
        });
        let fine = |reason: &str| (reason.to_owned(), "/bin/false".to_owned());
        write("dead-plugins.json", &plugins(on_it.chain([fine("Beside")])))?;
        write("plugins.json", &plugins([fine("Elsewhere")]))?;

        let disk = DeadDisk::mount(&dead)?;
        let logs = format!("--config.system-log-monitor={},well.json", names.join(","));
        let arguments = [
            &*logs,
            "--config.custom-plugin-monitor=dead-plugins.json,plugins.json",
        ];
        let mut agent = Agent::start(folder.path(), &arguments)?;
        for number in 0..3 {
            happen(&agent, &well, number)?;
            for reason in ["Beside", "Elsewhere"] {
                runs_again(&agent, reason)?;
            }
        }
        ensure!(get(agent.port(), "/healthz")? == "ok");
        // Those on the dead disk are known to be silent.
        let silent = format!("filelog:{}", dead.join("dead0.json").display());
        wait_until("a dead log is down", || {
            Ok(agent.page("/status")?["sources"][&silent]["up"] == false)
        })?;
        happen(&agent, &well, 3)?;
        ensure!(agent.stop()?.success(), "it was asked to stop");
        drop(disk);
        Ok(())
    })
}

/// Writes a bad line, and waits until the agent reports it.
fn happen(agent: &Agent, log: &Path, number: usize) -> anyhow::Result<()> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let mut log = File::options().append(true).open(log)?;
    writeln!(log, "{now} bad {number}").context("writing a log")?;
    let what = format!("bad {number}");
    let found = agent.wait_for(&what, PATIENCE, |line| line.is_event("Bad", &what));
    found.map(drop)
}

/// Waits until a plugin has run once more.
fn runs_again(agent: &Agent, reason: &str) -> anyhow::Result<()> {
    let runs = || agent.metric(&format!("problem_counter{{reason=\"{reason}\"}}"));
    let before = runs()?;
    wait_until(reason, || Ok(runs()? > before))
}

const STATS_CONFIG: &str = r#"{"invokeInterval": "1s", "disk": {"metricsConfigs": {
    "disk/bytes_used": {"displayName": "disk/bytes_used"}}}}"#;

fn eight_dead_disks_do_not_take_the_root_disk_s_series_along() -> anyhow::Result<()> {
    with_own_mounts(|| {
        let machine = Machine::new()?;
        let root = machine.path().join("proc/1/root");
        let names: Vec<_> = (0..8).map(|number| format!("dead{number}")).collect();
        let mut mounts = vec!["1 1 8:1 / / rw - ext4 /dev/root rw\n".to_owned()];
        for (name, minor) in names.iter().zip(2..) {
            mounts.push(format!(
                "1 1 8:{minor} / /{name} rw - ext4 /dev/{name} rw\n"
            ));
            fs::create_dir_all(root.join(name))?;
        }
        machine.write("proc/1/mountinfo", &mounts.concat())?;
        machine.write("stats.json", STATS_CONFIG)?;
        let points: Vec<_> = names.iter().map(|name| root.join(name)).collect();
        let disks = points.iter().map(|point| DeadDisk::mount(point));
        let disks = disks.collect::<anyhow::Result<Vec<_>>>()?;
        let arguments = ["--config.system-stats-monitor=stats.json"];
        let mut agent = Agent::start_as(machine.agent()?, machine.path(), &arguments)?;
        let is_shown = || {
            let page = agent.metrics()?;
            let mut series = page.labels("disk_bytes_used", "device_name").into_iter();
            Ok(series.any(|device| device == "root"))
        };
        wait_until("the root disk's series", is_shown)?;
        // It stays when all of them are known to be silent.
        wait_until("all that are dead are known", || {
            let status = agent.page("/status")?.to_string();
            Ok(names.iter().all(|name| status.contains(name)))
        })?;
        ensure!(is_shown()?, "the root disk's series has gone");
        ensure!(agent.stop()?.success(), "it was asked to stop");
        drop(disks);
        Ok(())
    })
}
