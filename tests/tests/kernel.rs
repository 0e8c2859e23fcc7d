//! Real faults of this machine's kernel, and what a user sees of them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE, is_event};
use npd_tests::faults::cgroup::{MemoryCgroup, oom_kills};
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::hang::{HungTask, ImpatientDetector};
use npd_tests::faults::kmsg::Flood;
use npd_tests::harness::{self, Need, Test};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

const OOM: &[Need] = &[Need::Agent, Need::Root, Need::Btf, Need::MemoryCgroup];
const EXT4: &[Need] = &[
    Need::Agent,
    Need::Root,
    Need::Btf,
    Need::File("/dev/loop-control"),
    Need::Tool("losetup"),
    Need::Tool("mkfs.ext4"),
    Need::File("/sys/fs/ext4"),
];
const XFS: &[Need] = &[
    Need::Agent,
    Need::Root,
    Need::Btf,
    Need::File("/dev/loop-control"),
    Need::Tool("losetup"),
    Need::Tool("mkfs.xfs"),
    Need::Tool("xfs_io"),
];
const HANG: &[Need] = &[
    Need::Agent,
    Need::Root,
    Need::Btf,
    Need::File("/dev/loop-control"),
    Need::Tool("losetup"),
    Need::Tool("mkfs.ext4"),
    Need::Tool("fsfreeze"),
    Need::File("/proc/sys/kernel/hung_task_check_interval_secs"),
];

const TESTS: &[Test] = &[
    Test {
        name: "an_oom_kill_is_reported_once",
        needs: OOM,
        run: an_oom_kill_is_reported_once,
    },
    Test {
        name: "every_oom_kill_is_counted_while_the_log_is_flooded",
        needs: OOM,
        run: every_oom_kill_is_counted_while_the_log_is_flooded,
    },
    Test {
        name: "a_hung_task_is_one_event_until_it_runs_again",
        needs: HANG,
        run: a_hung_task_is_one_event_until_it_runs_again,
    },
    Test {
        name: "an_ext4_error_makes_the_file_system_read_only_until_unmounted",
        needs: EXT4,
        run: an_ext4_error_makes_the_file_system_read_only_until_unmounted,
    },
    Test {
        name: "an_operators_remount_lasts_until_the_next",
        needs: EXT4,
        run: an_operators_remount_lasts_until_the_next,
    },
    Test {
        name: "a_shut_down_xfs_is_at_fault_until_unmounted",
        needs: XFS,
        run: a_shut_down_xfs_is_at_fault_until_unmounted,
    },
    Test {
        name: "a_fault_of_an_unimportant_file_system_is_an_event_only",
        needs: EXT4,
        run: a_fault_of_an_unimportant_file_system_is_an_event_only,
    },
    Test {
        name: "without_privileges_the_agent_runs_and_says_what_it_cannot_see",
        needs: &[Need::Agent, Need::Root, Need::Tool("setpriv")],
        run: without_privileges_the_agent_runs_and_says_what_it_cannot_see,
    },
];

fn main() -> ExitCode {
    harness::serial(TESTS)
}

/// Faults reach the terminal within milliseconds; a busy machine may take longer.
const SOON: Duration = Duration::from_secs(5);

const OOM_COUNTER: &str = r#"problem_counter{reason="OOMKilling"}"#;

/// How long a report in the kernel's log may be held back while a probe is waited for; whatever is
/// to be told twice has been told twice after this.
const SETTLED: Duration = Duration::from_secs(7);

/// Starts the agent with the built-in monitors, and lets it tell what the kernel's log has of the
/// minutes before.
fn start() -> anyhow::Result<Agent> {
    let agent = watching(Agent::start(Path::new("/"), &[])?)?;
    std::thread::sleep(SETTLED);
    Ok(agent)
}

/// Starts the agent with the ebpf-monitor alone, for which this file system matters.
fn start_for(mount_point: &Path) -> anyhow::Result<(Agent, NamedTempFile)> {
    let config = json!({
        "plugin": "ebpf",
        "source": "ebpf-monitor",
        "conditions": [{
            "type": "ReadonlyFilesystem",
            "reason": "FilesystemIsNotReadOnly",
            "message": "Filesystem is not read-only",
        }],
        "rules": [
            {"type": "temporary", "reason": "FilesystemError", "probe": "filesystem"},
            {
                "type": "permanent",
                "condition": "ReadonlyFilesystem",
                "reason": "FilesystemIsReadOnly",
                "probe": "filesystem",
                "mountPoints": [mount_point],
            },
        ],
    });
    let mut file = NamedTempFile::new().context("making a config file")?;
    write!(file, "{config}").context("writing a config file")?;
    let flag = format!("--config.ebpf-monitor={}", file.path().display());
    Ok((watching(Agent::start(Path::new("/"), &[&flag])?)?, file))
}

/// Waits until every probe is attached.
fn watching(agent: Agent) -> anyhow::Result<Agent> {
    agent.wait_until("probes to be attached", PATIENCE, || {
        let status = agent.page("/status")?;
        let probes = status["probes"].as_object().context("no probes")?;
        let attached = |probe: &Value| probe["backend"] == "raw_tracepoint";
        Ok((!probes.is_empty() && probes.values().all(attached)).then_some(()))
    })?;
    Ok(agent)
}

/// Waits until the condition has this status, on the terminal and on `/conditions`.
fn wait_for_condition(agent: &Agent, r#type: &str, status: &str) -> anyhow::Result<()> {
    agent.wait_until(&format!("{type} to be {status}"), SOON, || {
        let printed = agent.lines().into_iter().rev().find_map(|line| {
            let mut conditions = line.report["conditions"].as_array().into_iter().flatten();
            let condition = conditions.find(|condition| condition["type"] == r#type);
            condition.cloned()
        });
        let printed = printed.context("the terminal does not know it")?;
        let shown = agent.condition(r#type)?;
        Ok((printed == shown && shown["status"] == status).then_some(()))
    })
}

/// How many events have this reason and a message that contains `text`, on the terminal. Checks
/// that `/events` has as many.
fn count_events(agent: &Agent, reason: &str, text: &str) -> anyhow::Result<usize> {
    let printed = agent.lines();
    let printed = printed.iter().filter(|line| line.is_event(reason, text));
    let printed = printed.count();
    let shown = agent.page("/events")?;
    let shown = shown.as_array().into_iter().flatten();
    let shown = shown.filter(|event| is_event(event, reason, text)).count();
    ensure!(printed == shown, "{printed} printed, {shown} on /events");
    Ok(printed)
}

/// The user sees one line about a killed process, although the kernel's log tells of it too.
fn an_oom_kill_is_reported_once() -> anyhow::Result<()> {
    let agent = start()?;
    let before = agent.metric(OOM_COUNTER)?;
    let cgroup = MemoryCgroup::new("npd-test-one")?;
    let pid = cgroup.kill_one()?.to_string();
    let line = agent.wait_for("the kill", SOON, |line| line.is_event("OOMKilling", &pid))?;
    let message = line.report["event"]["message"].to_string();
    for expected in [MemoryCgroup::VICTIM, &cgroup.path().display().to_string()] {
        ensure!(message.contains(expected), "no {expected} in {message}");
    }
    std::thread::sleep(SETTLED);
    ensure!(count_events(&agent, "OOMKilling", &pid)? == 1);
    ensure!(agent.metric(OOM_COUNTER)? == before + 1);
    Ok(())
}

/// No kill is lost or told twice, however busy the kernel's log is.
fn every_oom_kill_is_counted_while_the_log_is_flooded() -> anyhow::Result<()> {
    const KILLS: u64 = 100;
    let agent = start()?;
    let told_before = agent.metric(OOM_COUNTER)?;
    let cgroup = MemoryCgroup::new("npd-test-many")?;
    let flood = Flood::start(20_000)?;
    let before = oom_kills()?;
    let mut pids = BTreeSet::new();
    for _ in 0..KILLS {
        pids.insert(cgroup.kill_one()?);
    }
    let counted = oom_kills()? - before;
    ensure!(flood.stop()? > 0);
    ensure!(counted == KILLS, "the kernel counted {counted}");
    agent.wait_until("every kill to be counted", SOON, || {
        Ok((agent.metric(OOM_COUNTER)? >= told_before + KILLS).then_some(()))
    })?;
    std::thread::sleep(SETTLED);
    let told = agent.metric(OOM_COUNTER)? - told_before;
    ensure!(told == KILLS, "the agent counted {told}");
    let path = cgroup.path().display().to_string();
    let lines = agent.lines();
    let messages = lines.iter().filter_map(|line| {
        let event = &line.report["event"];
        is_event(event, "OOMKilling", &path).then(|| event["message"].to_string())
    });
    let messages = messages.collect::<Vec<_>>();
    ensure!(messages.len() == pids.len(), "{} lines", messages.len());
    for pid in pids {
        let pid = pid.to_string();
        let of_pid = messages.iter().filter(|m| m.contains(&pid)).count();
        ensure!(of_pid == 1, "{of_pid} lines about {pid}");
    }
    Ok(())
}

/// Each task that hangs is told of once, also when the kernel's log has stopped telling; one that
/// the node depends on sets the condition until it runs again.
fn a_hung_task_is_one_event_until_it_runs_again() -> anyhow::Result<()> {
    let _detector = ImpatientDetector::new(1)?;
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let agent = start()?;
    let (important, unimportant);
    {
        let _frozen = mount.freeze()?;
        important = HungTask::start(&mount, "containerd-test")?;
        let pid = important.pid().to_string();
        let patience = Duration::from_secs(15);
        agent.wait_for("the first task", patience, |line| {
            line.is_event("TaskHung", &pid)
        })?;
        wait_for_condition(&agent, "KernelDeadlock", "True")?;
        // The log's only warning is spent.
        unimportant = HungTask::start(&mount, "npd-test-second")?;
        let pid = unimportant.pid().to_string();
        agent.wait_for("the second task", patience, |line| {
            line.is_event("TaskHung", &pid)
        })?;
        // The detector reports both each second.
        std::thread::sleep(Duration::from_secs(5));
        // One for the task and one for the condition.
        ensure!(count_events(&agent, "TaskHung", &important.pid().to_string())? == 2);
        ensure!(count_events(&agent, "TaskHung", &unimportant.pid().to_string())? == 1);
    }
    wait_for_condition(&agent, "KernelDeadlock", "False")
}

/// What ext4 does with `errors=remount-ro`, seen from the error to the repaired file system.
fn an_ext4_error_makes_the_file_system_read_only_until_unmounted() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("errors=remount-ro")?;
    let (agent, _config) = start_for(mount.point())?;
    mount.ext4_error()?;
    agent.wait_for("the error", SOON, |line| {
        line.is_event("FilesystemError", disk.name())
    })?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    let gauge = r#"problem_gauge{reason="FilesystemIsReadOnly",type="ReadonlyFilesystem"}"#;
    ensure!(agent.metric(gauge)? == 1);
    ensure!(agent.metric(r#"problem_counter{reason="FilesystemError"}"#)? == 1);
    drop(mount);
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    ensure!(agent.metric(gauge)? == 0);
    disk.repair()?;
    let _mount = disk.mount("errors=remount-ro")?;
    std::thread::sleep(Duration::from_secs(2));
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    ensure!(count_events(&agent, "FilesystemError", "")? == 1);
    Ok(())
}

/// `mount -o remount,ro` of a file system that matters.
fn an_operators_remount_lasts_until_the_next() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let (agent, _config) = start_for(mount.point())?;
    for _ in 0..2 {
        mount.remount("ro")?;
        wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
        let message = agent.condition("ReadonlyFilesystem")?["message"].to_string();
        ensure!(message.contains("operator"), "it says {message}");
        mount.remount("rw")?;
        wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    }
    ensure!(count_events(&agent, "FilesystemError", "")? == 0);
    Ok(())
}

/// The mount table says that all is well, and every access fails.
fn a_shut_down_xfs_is_at_fault_until_unmounted() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Xfs)?;
    let mount_point = disk.mount_point();
    let (agent, _config) = start_for(&mount_point)?;
    let mount = disk.mount("rw")?;
    mount.xfs_shutdown()?;
    agent.wait_for("the shutdown", SOON, |line| {
        line.is_event("FilesystemError", disk.name())
    })?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    std::thread::sleep(Duration::from_secs(3));
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    drop(mount);
    let _mount = disk.mount("rw")?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    ensure!(count_events(&agent, "FilesystemError", "")? == 1);
    Ok(())
}

/// A broken volume is no reason to call the node broken, whatever the kernel's log says of it.
fn a_fault_of_an_unimportant_file_system_is_an_event_only() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("errors=remount-ro")?;
    let agent = start()?;
    let about_disk = || {
        let lines = agent.lines().into_iter();
        let lines = lines.filter(|line| line.report.to_string().contains(disk.name()));
        lines.count()
    };
    // An earlier disk may have had the same name.
    let before = about_disk();
    mount.ext4_error()?;
    let place = mount.point().display().to_string();
    agent.wait_for("the error", SOON, |line| {
        line.is_event("FilesystemError", &place)
    })?;
    std::thread::sleep(SETTLED);
    ensure!(about_disk() == before + 1);
    ensure!(agent.condition("ReadonlyFilesystem")?["status"] == "False");
    Ok(())
}

/// Nothing but `/proc` and `/sys` is left to it.
fn without_privileges_the_agent_runs_and_says_what_it_cannot_see() -> anyhow::Result<()> {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let agent = Agent::start_with(setpriv, Path::new("/"), &[])?;
    let probes = agent.wait_until("the probes to say how they see", SOON, || {
        let status = agent.page("/status")?;
        let probes = status["probes"].as_object().cloned().unwrap_or_default();
        Ok((probes.len() >= 3).then_some(probes))
    })?;
    for (name, probe) in &probes {
        ensure!(probe["backend"] != "raw_tracepoint", "{name}: {probe}");
        ensure!(probe["reason"].is_string(), "{name} does not say why");
    }
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    std::thread::sleep(Duration::from_secs(3));
    mount.remount("ro")?;
    agent.wait_for("the remount", SOON, |line| {
        line.is_event("FilesystemError", disk.name())
    })?;
    Ok(())
}
