//! The agent in a cgroup with the memory limit of our manifest, under all at once that takes memory.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, get};
use npd_tests::faults::cgroup::MemoryCgroup;
use npd_tests::harness::{self, Need, Test};
use npd_tests::machine::Machine;
use serde_json::{Value, json};

use crate::crowd::RudeClient;
use crate::lab::wait_until;

pub(crate) const TEST: Test = Test {
    name: "within_the_manifest_s_limit_of_memory_the_agent_is_not_killed",
    needs: &[Need::Agent, Need::Root, Need::MemoryCgroup],
    run: within_the_manifest_s_limit_of_memory_the_agent_is_not_killed,
};

/// Files with long lines, and how many lines each has.
const LONG_LOGS: u64 = 12;
const LONG_LINES: u64 = 2;

/// Events that wait for an API server that is not there.
const EVENTS: u64 = 3000;

/// Clients that ask for the page of a large node, and do not read it.
const CLIENTS: u32 = 64;

fn within_the_manifest_s_limit_of_memory_the_agent_is_not_killed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let machine = Machine::of_size(64, 20, 600)?;
    let logs = write_logs(folder.path())?;
    write_stats_config(folder.path(), &machine)?;
    let cgroup = MemoryCgroup::with_limit(&format!("npd-test-{}", std::process::id()), limit()?)?;
    let arguments = [
        &*format!("--config.system-log-monitor=builtin,{}", logs.join(",")),
        "--config.ebpf-monitor=builtin",
        "--config.system-stats-monitor=builtin,stats.json",
        "--apiserver-override=http://127.0.0.1:1?inClusterConfig=false",
        "--hostname-override=n1",
        "--state-dir=state",
    ];
    let command = cgroup.command(&harness::agent()?);
    let mut agent = Agent::start_as(command, folder.path(), &arguments)?;
    wait_until("the page is large", || {
        Ok(agent.metrics_text()?.len() > 500_000)
    })?;
    let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, agent.prometheus_port()));
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        // Every third asks for everything at once.
        clients.push(RudeClient::connect(
            Ipv4Addr::LOCALHOST,
            metrics,
            3 * number + 2,
        )?);
    }
    for (reason, count) in [("Long", LONG_LOGS * LONG_LINES), ("Event", EVENTS)] {
        let series = format!("problem_counter{{reason=\"{reason}\"}}");
        wait_until(reason, || {
            ensure!(cgroup.kills()? == 0, "the kernel has killed the agent");
            Ok(agent.metric(&series)? >= count)
        })?;
    }
    ensure!(get(agent.port(), "/healthz")? == "ok");
    drop(clients);
    ensure!(agent.stop()?.success(), "it was asked to stop");
    ensure!(cgroup.kills()? == 0, "the kernel has killed something");
    Ok(())
}

/// The limit in the manifest, in bytes.
fn limit() -> anyhow::Result<u64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = fs::read_to_string(root.join("deploy/kustomize/base/daemonset.yaml"))?;
    let limits = manifest.split_once("limits:").context("no limits")?.1;
    let memory = limits
        .split_once("memory: ")
        .context("no limit of memory")?
        .1;
    let mebibytes = memory.split_once("Mi").context("not in MiB")?.0;
    Ok(mebibytes.parse::<u64>()? << 20)
}

/// Writes logs and their configs, and returns the names of the configs.
fn write_logs(folder: &Path) -> anyhow::Result<Vec<String>> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let mut names = Vec::new();
    let mut add = |name: String, config: Value| {
        fs::write(folder.join(&name), config.to_string()).context("writing a config")?;
        names.push(name);
        anyhow::Ok(())
    };
    let line = format!("{now} {}\n", "x".repeat(1 << 20));
    for number in 0..LONG_LOGS {
        let log = format!("long{number}.log");
        fs::write(folder.join(&log), line.repeat(usize::try_from(LONG_LINES)?))?;
        add(
            format!("long{number}.json"),
            filelog(&log, "Long", "(?s)x.*"),
        )?;
    }
    let event = |number| format!("{now} event {number} {}\n", "y".repeat(1000));
    fs::write(
        folder.join("events.log"),
        (0..EVENTS).map(event).collect::<String>(),
    )?;
    add(
        "events.json".to_owned(),
        filelog("events.log", "Event", "event .*"),
    )?;
    write_journal(&folder.join("journal"))?;
    add(
        "journal.json".to_owned(),
        json!({
            "plugin": "journald", "logPath": folder.join("journal"), "lookback": "1h", "source": "journal",
            "pluginConfig": {"source": "kubelet"},
            "rules": [{"type": "temporary", "reason": "Entry", "pattern": ".*"}],
        }),
    )?;
    Ok(names)
}

fn filelog(log: &str, reason: &str, pattern: &str) -> Value {
    json!({
        "plugin": "filelog", "logPath": log, "source": "app", "lookback": "1h", "bufferSize": 10000,
        "pluginConfig": {"timestamp": "^.{20}", "message": "^.{20} (.*)",
                         "timestampFormat": "2006-01-02T15:04:05Z07:00"},
        "rules": [{"type": "temporary", "reason": reason, "pattern": pattern}],
    })
}

/// A journal whose header says that its table of fields has 16 MiB.
fn write_journal(folder: &Path) -> anyhow::Result<()> {
    const SIZE_OF_FIELD_TABLE: u64 = 128;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/journal_file/zstd-0");
    fs::create_dir(folder)?;
    let file = folder.join("system.journal");
    fs::copy(corpus, &file)?;
    let file = File::options().write(true).open(file)?;
    file.write_all_at(&(16_u64 << 20).to_le_bytes(), SIZE_OF_FIELD_TABLE)?;
    file.set_len(128 << 20)?;
    Ok(())
}

/// Every series of a node with many interfaces.
fn write_stats_config(folder: &Path, machine: &Machine) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shipped = root.join("deploy/config/net-cgroup-system-stats-monitor.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(shipped)?)?;
    config["procPath"] = json!(machine.path().join("proc"));
    config["invokeInterval"] = json!("1s");
    for (_, metric) in config["net"]["metricsConfigs"]
        .as_object_mut()
        .context("no metrics")?
    {
        let name = metric["displayName"].as_str().unwrap_or_default();
        metric["displayName"] = json!(format!("large_{name}"));
    }
    fs::write(folder.join("stats.json"), config.to_string()).context("writing a config")
}
