//! System stats, as the built agent shows them.

mod rates;
mod silence;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness::{self, Need, Test};
use npd_tests::machine::Machine;
use npd_tests::metrics::Page;
use npd_tests::shipped;
use serde_json::json;

const TESTS: &[Test] = &[
    Test {
        name: "shipped_configs_show_what_npd_shows",
        needs: &[Need::Agent, Need::MountsOfProcess1],
        run: shipped_configs_show_what_npd_shows,
    },
    Test {
        name: "counters_are_those_of_proc",
        needs: &[Need::Agent],
        run: rates::counters_are_those_of_proc,
    },
    Test {
        name: "whole_disks_are_those_of_lsblk",
        needs: &[Need::Agent, Need::Tool("lsblk")],
        run: whole_disks_are_those_of_lsblk,
    },
    Test {
        name: "promtool_complains_of_npds_names_only",
        needs: &[Need::Agent, Need::Tool("promtool")],
        run: promtool_complains_of_npds_names_only,
    },
    Test {
        name: "a_rule_sets_its_condition_and_clears_it",
        needs: &[Need::Agent],
        run: a_rule_sets_its_condition_and_clears_it,
    },
    Test {
        name: "a_silent_file_system_holds_up_nothing",
        needs: &[
            Need::Agent,
            Need::Root,
            Need::File("/dev/fuse"),
            Need::Tool("unshare"),
        ],
        run: silence::a_silent_file_system_holds_up_nothing,
    },
    Test {
        name: "a_machine_of_any_size_is_shown_whole",
        needs: &[Need::Agent],
        run: a_machine_of_any_size_is_shown_whole,
    },
];

fn main() -> ExitCode {
    harness::parallel(TESTS)
}

/// What NPD exports with its two shipped configs: name, type, labels, HELP.
const CONTRACT: &str = include_str!("../../fixtures/stats/npd-metrics.tsv");

/// The page once it has this series, or this beginning of one.
fn page_with(agent: &Agent, series: &str) -> anyhow::Result<Page> {
    agent.wait_until(series, PATIENCE, || {
        let page = agent.metrics()?;
        Ok(page.text.contains(&format!("\n{series}")).then_some(page))
    })
}

fn shipped_configs_show_what_npd_shows() -> anyhow::Result<()> {
    let agent = Agent::start(Path::new("/"), &[&shipped::stats()])?;
    // The last to be collected.
    let page = page_with(&agent, "disk_bytes_used{")?;
    for row in CONTRACT.lines() {
        let columns: Vec<&str> = row.split('\t').collect();
        let (name, kind, help) = (columns[0], columns[1], columns[3]);
        // The length is known when a minute has passed.
        if name == "disk_avg_queue_len" {
            continue;
        }
        let heading = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}");
        ensure!(page.text.contains(&heading), "{heading} is not in {page:?}");
    }
    Ok(())
}

fn whole_disks_are_those_of_lsblk() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let metric = json!({"disk/io_time": {"displayName": "disk/io_time"}});
    let config = json!({"disk": {"includeRootBlk": true, "metricsConfigs": metric}});
    fs::write(folder.path().join("stats.json"), config.to_string())?;
    let agent = Agent::start(folder.path(), &["--config.system-stats-monitor=stats.json"])?;
    let page = page_with(&agent, "disk_io_time{")?;
    let mut shown = page.labels("disk_io_time", "device_name");
    let lsblk = Command::new("lsblk")
        .args(["--nodeps", "--noheadings", "--output", "NAME"])
        .output()?;
    let lsblk = String::from_utf8(lsblk.stdout)?;
    // Those that have done nothing since the start of the system are not shown.
    let diskstats = fs::read_to_string("/proc/diskstats")?;
    let is_used = |disk: &&str| {
        let line = diskstats
            .lines()
            .find(|line| line.contains(&format!(" {disk} ")));
        let counts = line.and_then(|line| line.split_once(&format!(" {disk} ")));
        counts.is_some_and(|(_, counts)| counts.contains(|c: char| ('1'..='9').contains(&c)))
    };
    let mut listed: Vec<&str> = lsblk.split_whitespace().filter(is_used).collect();
    shown.sort_unstable();
    listed.sort_unstable();
    ensure!(shown == listed, "{shown:?} are shown, but {listed:?} there");
    Ok(())
}

/// promtool reads the whole page. What it would like to be named otherwise bears NPD's names, and
/// has to keep them.
fn promtool_complains_of_npds_names_only() -> anyhow::Result<()> {
    let machine = with_everything()?;
    let named = |id: &&str| ((*id).to_owned(), json!({"displayName": id}));
    let section = |(name, ids): &(&str, &[&str])| {
        let metrics: serde_json::Map<_, _> = ids.iter().map(named).collect();
        ((*name).to_owned(), json!({"metricsConfigs": metrics}))
    };
    let mut ours: serde_json::Map<_, _> = OURS.iter().map(section).collect();
    // For problem_counter and problem_gauge.
    ours.insert(
        "conditions".to_owned(),
        json!([{"type": "Busy", "reason": "Idle", "message": "idle"}]),
    );
    ours.insert(
        "rules".to_owned(),
        json!([{"type": "permanent", "condition": "Busy", "reason": "Load", "metric": "cpu/load_1m", "above": 1}]),
    );
    machine.write("ours.json", &json!(ours).to_string())?;
    let shipped = shipped::stats_every_second(machine.path())?;
    let flag = format!("{shipped},ours.json");
    let agent = Agent::start_as(machine.agent()?, machine.path(), &[&flag])?;
    page_with(&agent, "disk_avg_queue_len{")?;
    // The last of the last file.
    let page = page_with(&agent, "filesystem_inodes{")?;
    for id in OURS.iter().flat_map(|(_, ids)| *ids) {
        let heading = format!("\n# TYPE {} ", id.replace('/', "_"));
        ensure!(page.text.contains(&heading), "no {id} in\n{}", page.text);
    }

    let output = promtool(&page.text)?;
    let text = format!("{output:?}");
    // 1 is a page that it cannot read, 3 one whose names it does not like.
    ensure!(matches!(output.status.code(), Some(0 | 3)), "{text}");
    ensure!(PROBLEMS.iter().all(|name| page.text.contains(name)));
    for complaint in String::from_utf8(output.stderr)?.lines() {
        let Some((name, complaint)) = complaint.split_once(' ') else {
            continue;
        };
        let mut contract = CONTRACT.lines().filter_map(|row| row.split('\t').next());
        let is_npds = PROBLEMS.contains(&name) || contract.any(|known| known == name);
        let is_about_the_name = [
            r#"counter metrics should have "_total" suffix"#,
            r#"non-histogram and non-summary metrics should not have "_count" suffix"#,
            "metric name should not include type 'counter'",
            "metric name should not include type 'gauge'",
        ];
        ensure!(is_npds && is_about_the_name.contains(&complaint), "{text}");
    }
    Ok(())
}

/// NPD's metrics of problems.
const PROBLEMS: [&str; 2] = ["problem_counter", "problem_gauge"];

fn promtool(page: &str) -> anyhow::Result<Output> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = promtool.stdin.take().context("writing to promtool")?;
    input.write_all(page.as_bytes())?;
    drop(input);
    promtool.wait_with_output().context("waiting for promtool")
}

/// A small machine that has something of everything.
fn with_everything() -> anyhow::Result<Machine> {
    let machine = Machine::of_size(1, 1, 1)?;
    let pressure = "some avg10=1.50 avg60=0.25 avg300=0.00 total=2500000\n";
    for (path, text) in [
        ("proc/pressure/cpu", pressure),
        ("proc/pressure/memory", pressure),
        ("proc/pressure/io", pressure),
        ("proc/vmstat", "oom_kill 7\n"),
        ("proc/sys/kernel/random/boot_id", "11111111-2222\n"),
        ("proc/sys/kernel/hung_task_detect_count", "0\n"),
        ("proc/sys/kernel/tainted", "4096\n"),
        ("proc/sys/kernel/pid_max", "4194304\n"),
        ("proc/sys/fs/file-nr", "1200\t0\t9223372036854775807\n"),
        ("proc/sys/net/netfilter/nf_conntrack_count", "5\n"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
        ("proc/1/root/var/lib/chrony/drift", "0.1 0.2\n"),
        ("sys/kernel/oops_count", "0\n"),
        ("sys/kernel/warn_count", "0\n"),
        ("sys/kernel/softlockup_count", "0\n"),
        ("sys/kernel/hardlockup_count", "0\n"),
        ("sys/kernel/rcu_stall_count", "0\n"),
        ("sys/fs/cgroup/kubepods/memory.events", "oom_kill 3\n"),
        ("sys/devices/system/edac/mc/mc0/ce_count", "1\n"),
        (
            "sys/bus/pci/devices/0000:00:01.0/aer_dev_fatal",
            "TOTAL_ERR_FATAL 1\n",
        ),
        ("sys/block/sda/device/ioerr_cnt", "0x1\n"),
        ("sys/block/sda/device/iotmo_cnt", "0x1\n"),
        ("sys/class/nvme/nvme0/state", "live\n"),
    ] {
        machine.write(path, text)?;
    }
    Ok(machine)
}

/// The metrics that NPD does not have, by section.
const OURS: &[(&str, &[&str])] = &[
    (
        "disk",
        &[
            "filesystem/inodes",
            "filesystem/percent_inodes_used",
            "filesystem/read_only",
        ],
    ),
    ("host", &["host/boot_time_seconds", "host/boot_id"]),
    (
        "pressure",
        &[
            "pressure/stalled_seconds_total",
            "pressure/avg10",
            "pressure/avg60",
        ],
    ),
    (
        "kernel",
        &[
            "kernel/oom_kills_total",
            "kernel/hung_tasks_total",
            "kernel/oopses_total",
            "kernel/warnings_total",
            "kernel/soft_lockups_total",
            "kernel/hard_lockups_total",
            "kernel/rcu_stalls_total",
            "kernel/tainted",
        ],
    ),
    (
        "limits",
        &[
            "conntrack/entries",
            "conntrack/limit",
            "conntrack/percent_used",
            "process/tasks",
            "process/limit",
            "process/percent_used",
            "file/open",
            "file/limit",
            "file/percent_used",
        ],
    ),
    ("cgroup", &["cgroup/memory_events_total"]),
    (
        "hardware",
        &[
            "edac/errors_total",
            "pcie/aer_errors_total",
            "scsi/io_errors_total",
            "scsi/timeouts_total",
            "nvme/live",
        ],
    ),
    (
        "clock",
        &[
            "clock/synchronized",
            "clock/max_error_seconds",
            "clock/seconds_since_sync",
        ],
    ),
];

fn a_rule_sets_its_condition_and_clears_it() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let tracked =
        |entries: &str| machine.write("proc/sys/net/netfilter/nf_conntrack_count", entries);
    machine.write("proc/sys/net/netfilter/nf_conntrack_max", "1000\n")?;
    tracked("100\n")?;
    let config = json!({
        "invokeInterval": "200ms",
        "source": "stats",
        "conditions": [{"type": "ConntrackFull", "reason": "ConntrackHasRoom", "message": "conntrack has room"}],
        "rules": [
            {"type": "permanent", "condition": "ConntrackFull", "reason": "ConntrackNearlyFull",
             "metric": "conntrack/percent_used", "above": 90, "for": "1s"},
            {"type": "temporary", "reason": "ConntrackBusy", "metric": "conntrack/entries", "above": 940},
        ],
    });
    machine.write("stats.json", &config.to_string())?;
    let flag = "--config.system-stats-monitor=stats.json";
    let agent = Agent::start_as(machine.agent()?, machine.path(), &[flag])?;
    let condition = |report: &serde_json::Value| report["conditions"][0].clone();
    let start = condition(&agent.report(|_| true)?);
    ensure!(
        start["status"] == "False" && start["reason"] == "ConntrackHasRoom",
        "{start}"
    );

    tracked("950\n")?;
    // The temporary rule does not wait.
    let busy = agent.report(|report| report["event"]["reason"] == "ConntrackBusy")?;
    ensure!(
        busy["event"]["message"] == "conntrack/entries is 950, above 940",
        "{busy}"
    );
    let full = agent.report(|report| condition(report)["status"] == "True")?;
    let full = condition(&full);
    ensure!(full["reason"] == "ConntrackNearlyFull", "{full}");
    ensure!(
        full["message"] == "conntrack/percent_used is 95, above 90",
        "{full}"
    );
    let gauge = r#"problem_gauge{reason="ConntrackNearlyFull",type="ConntrackFull"}"#;
    ensure!(agent.metric(gauge)? == 1);

    tracked("100\n")?;
    let over = condition(&agent.report(|report| condition(report)["status"] == "False")?);
    ensure!(over["reason"] == "ConntrackHasRoom", "{over}");
    ensure!(over["message"] == "conntrack has room", "{over}");
    ensure!(agent.metric(gauge)? == 0);
    Ok(())
}

fn a_machine_of_any_size_is_shown_whole() -> anyhow::Result<()> {
    let machine = Machine::of_size(256, 500, 2000)?;
    let agent = Agent::start_as(machine.agent()?, Path::new("/"), &[&shipped::stats()])?;
    let page = page_with(&agent, "disk_bytes_used{")?;
    let count = |family: &str, label| page.labels(family, label).len();
    ensure!(count("system_cpu_stat", "cpu") == 256 * 10);
    ensure!(count("disk_operation_count", "device_name") == 500 * 2);
    ensure!(count("disk_percent_used", "device_name") == 500);
    ensure!(count("net_tx_bytes", "interface_name") == 2000);
    Ok(())
}
