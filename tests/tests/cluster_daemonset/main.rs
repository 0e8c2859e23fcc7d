//! Our image and our manifests, as they stand, on a real kubelet: what a cluster's users see.

mod chart;
mod lab;
mod swap;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent;
use npd_tests::cluster::eventually;
use npd_tests::faults::cgroup::{MemoryCgroup, oom_kills};
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::hang::{HungTask, ImpatientDetector};
use npd_tests::harness::{self, Need, Test};

use self::lab::{lab, stop};

const NODE: &[Need] = &[Need::Agent, Need::Node];
const DISK: &[Need] = &[
    Need::Agent,
    Need::Node,
    Need::Btf,
    Need::File("/dev/loop-control"),
    Need::Tool("losetup"),
    Need::Tool("mkfs.ext4"),
    Need::Tool("fsfreeze"),
    Need::File("/sys/fs/ext4"),
    Need::File("/proc/sys/kernel/hung_task_check_interval_secs"),
];
const NODES_DISK: &[Need] = &[Need::All(DISK), Need::MountsOfProcess1];

const TESTS: &[Test] = &[
    Test {
        name: "the_manifests_roll_out_and_the_node_is_well",
        needs: NODE,
        run: the_manifests_roll_out_and_the_node_is_well,
    },
    Test {
        name: "a_healthy_node_costs_heartbeats_and_nothing_else",
        needs: NODE,
        run: a_healthy_node_costs_heartbeats_and_nothing_else,
    },
    Test {
        name: "a_pod_that_runs_out_of_memory_is_reported_on_node_and_pod",
        needs: &[Need::Agent, Need::Node, Need::Btf],
        run: a_pod_that_runs_out_of_memory_is_reported_on_node_and_pod,
    },
    Test {
        name: "a_hung_task_of_the_host_is_a_deadlock_until_it_runs_again",
        needs: &[Need::All(DISK), Need::FirstPidNamespace],
        run: a_hung_task_of_the_host_is_a_deadlock_until_it_runs_again,
    },
    Test {
        name: "a_read_only_file_system_of_the_host_is_a_condition_until_unmounted",
        needs: NODES_DISK,
        run: a_read_only_file_system_of_the_host_is_a_condition_until_unmounted,
    },
    Test {
        name: "a_deleted_pod_and_its_replacement_lose_and_repeat_no_kill",
        needs: &[Need::Agent, Need::Node, Need::Btf, Need::MemoryCgroup],
        run: a_deleted_pod_and_its_replacement_lose_and_repeat_no_kill,
    },
    Test {
        name: "faults_that_outlive_the_pod_are_reported_once",
        needs: NODES_DISK,
        run: faults_that_outlive_the_pod_are_reported_once,
    },
    Test {
        name: "a_plugin_from_a_config_map_sees_the_host",
        needs: NODE,
        run: a_plugin_from_a_config_map_sees_the_host,
    },
    Test {
        name: "the_manifests_of_npd_run_with_our_image",
        needs: DISK,
        run: swap::the_manifests_of_npd_run_with_our_image,
    },
    Test {
        name: "the_classic_manifest_reports_the_file",
        needs: NODE,
        run: swap::the_classic_manifest_reports_the_file,
    },
    Test {
        name: "the_public_chart_runs_with_our_image",
        needs: NODE,
        run: swap::the_public_chart_runs_with_our_image,
    },
    Test {
        name: "gardener_s_manifest_runs_with_our_image",
        needs: NODE,
        run: swap::gardener_s_manifest_runs_with_our_image,
    },
    Test {
        name: "the_chart_replaces_the_public_one_and_goes_through_its_life",
        needs: &[Need::Agent, Need::Node, Need::Helm],
        run: chart::the_chart_replaces_the_public_one_and_goes_through_its_life,
    },
];

/// The agent alone.
const BASE: &str = "deploy/kustomize/base";
/// The agent with a plugin of the user's own.
const PLUGIN: &str = "deploy/kustomize/plugin-example";

/// After this time, everything that is reported twice has been reported twice. A line of the kernel's
/// log waits for a probe for less than this.
const SETTLED: Duration = Duration::from_secs(7);

/// The Node, as an Event names it.
const THE_NODE: &str = "Node/localhost";

/// The conditions that the agent writes.
const OURS: [&str; 8] = [
    "KernelDeadlock",
    "ReadonlyFilesystem",
    "XfsShutdown",
    "CperHardwareErrorFatal",
    "StorageFailing",
    "MemoryFailing",
    "GPUFailing",
    "NICFailing",
];

fn main() -> ExitCode {
    let code = harness::serial(TESTS);
    stop();
    code
}

fn the_manifests_roll_out_and_the_node_is_well() -> anyhow::Result<()> {
    let lab = lab()?;
    let foreign = || {
        let mut conditions = lab.conditions(|r#type| !OURS.contains(&r#type))?;
        for condition in &mut conditions {
            condition["lastHeartbeatTime"].take();
        }
        Ok::<_, anyhow::Error>(conditions)
    };
    let before = foreign()?;
    ensure!(!before.is_empty(), "the kubelet has written no conditions");

    lab.deploy(BASE)?;
    for r#type in OURS {
        lab.condition(r#type, "False")?;
    }
    ensure!(foreign()? == before, "another's conditions were touched");
    let page = lab.kubectl(&["describe", "node", lab.node.name])?;
    for text in ["KernelHasNoDeadlock", "Filesystem is not read-only"] {
        ensure!(page.contains(text), "{text} is not in:\n{page}");
    }

    let pod = lab.pod()?;
    let container = &pod["status"]["containerStatuses"][0];
    ensure!(
        container["ready"] == true && container["restartCount"] == 0,
        "{container:#}"
    );
    let metrics = agent::get(20257, "/metrics")?;
    for series in ["problem_gauge{", "npd_probe_backend{", "host_uptime{"] {
        ensure!(metrics.contains(series), "{series} is not in:\n{metrics}");
    }
    let log = lab.log()?;
    let complaint = log.lines().find(|line| line.starts_with(['W', 'E', 'F']));
    ensure!(complaint.is_none(), "a healthy node is a quiet one: {log}");
    Ok(())
}

/// As the server counts them, over `$NPD_TEST_SECONDS` or 20 seconds.
fn a_healthy_node_costs_heartbeats_and_nothing_else() -> anyhow::Result<()> {
    /// The shortest time between two, with jitter.
    const HEARTBEAT: u64 = 240;
    let lab = lab()?;
    lab.deploy(BASE)?;
    sleep(SETTLED);
    let seconds = harness::amount("NPD_TEST_SECONDS", 20)?;
    let writes = || lab.node.api.writes("node-problem-detector");
    let before = writes()?.len();
    sleep(Duration::from_secs(seconds));
    let writes = writes()?.split_off(before);
    eprintln!("{} writes in {seconds} s", writes.len());
    ensure!(
        writes.iter().all(|write| write == "patch nodes localhost"),
        "{writes:#?}"
    );
    let most = usize::try_from(seconds / HEARTBEAT + 1)?;
    ensure!(writes.len() <= most, "{writes:#?}");
    Ok(())
}

/// One kill is one Event on each, although the kernel's log reports it too.
fn a_pod_that_runs_out_of_memory_is_reported_on_node_and_pod() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.deploy(BASE)?;
    let before = lab.count(THE_NODE, "OOMKilling")?;
    lab.run_out_of_memory("hungry")?;
    lab.wait_for_count("Pod/hungry", "OOMKilling", 1)?;
    lab.wait_for_count(THE_NODE, "OOMKilling", before + 1)?;
    sleep(SETTLED);
    lab.wait_for_count("Pod/hungry", "OOMKilling", 1)?;
    lab.wait_for_count(THE_NODE, "OOMKilling", before + 1)?;

    for object in [["pod", "hungry"], ["node", lab.node.name]] {
        let page = lab.kubectl(&["describe", object[0], object[1]])?;
        ensure!(page.contains("Killed process"), "{page}");
    }
    let pod = lab.json(&["get", "pod", "hungry"])?;
    let event = lab.events("Pod/hungry", "OOMKilling")?;
    let involved = &event[0]["involvedObject"];
    ensure!(involved["uid"] == pod["metadata"]["uid"], "{involved}");
    Ok(())
}

fn a_hung_task_of_the_host_is_a_deadlock_until_it_runs_again() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.deploy(BASE)?;
    let _detector = ImpatientDetector::new(10)?;
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let task;
    {
        let _frozen = mount.freeze()?;
        task = HungTask::start(&mount, "runc-test")?;
        let condition = lab.condition("KernelDeadlock", "True")?;
        let named = format!("runc-test:{}", task.pid());
        ensure!(
            condition["message"].to_string().contains(&named),
            "{condition:#}"
        );
        ensure!(condition["reason"] == "TaskHung", "{condition:#}");
        let named = format!("task {named}");
        lab.wait_for_one(THE_NODE, "TaskHung", &named)?;
        sleep(SETTLED);
        lab.wait_for_one(THE_NODE, "TaskHung", &named)?;
    }
    lab.condition("KernelDeadlock", "False")?;
    Ok(())
}

/// `/var/lib/kubelet` is among the default mount points. The mount is made where the node's first
/// process sees it, as a node's administrator would: the test's own kubelet has a mount of its own.
fn a_read_only_file_system_of_the_host_is_a_condition_until_unmounted() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.deploy(BASE)?;
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount_at("/var/lib/kubelet".into(), "errors=remount-ro")?;
    mount.ext4_error()?;
    let condition = lab.condition("ReadonlyFilesystem", "True")?;
    let message = condition["message"].to_string();
    for text in [disk.name(), "/var/lib/kubelet"] {
        ensure!(message.contains(text), "{text} is not in {message}");
    }
    let page = lab.kubectl(&["describe", "node", lab.node.name])?;
    for text in ["FilesystemIsReadOnly", "FilesystemError"] {
        ensure!(page.contains(text), "{text} is not in:\n{page}");
    }
    drop(mount);
    lab.condition("ReadonlyFilesystem", "False")?;
    Ok(())
}

/// Processes are killed before, while nobody watches, and after.
fn a_deleted_pod_and_its_replacement_lose_and_repeat_no_kill() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.deploy(BASE)?;
    // The agent may still count what the kernel's log says of the minutes before it was started.
    let before = eventually(agent::PATIENCE, || {
        let before = lab.count(THE_NODE, "OOMKilling")?;
        sleep(SETTLED);
        let count = lab.count(THE_NODE, "OOMKilling")?;
        ensure!(count == before, "{before} kills, and then {count}");
        Ok(before)
    })?;
    let killed_before = oom_kills()?;
    let cgroup = MemoryCgroup::new("npd-test-storm")?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let storm = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                cgroup.kill_one()?;
            }
            anyhow::Ok(())
        });
        let replaced = lab.replace_pod();
        over.store(true, Ordering::Relaxed);
        let stormed = storm.join();
        replaced?;
        stormed.ok().context("the storm has panicked")?
    })?;
    // As the kernel counts them: of a cgroup it may kill more than one process at once.
    let kills = oom_kills()? - killed_before;
    ensure!(kills > 10, "only {kills} kills");
    let reported = || lab.wait_for_count(THE_NODE, "OOMKilling", before + kills);
    reported()?;
    sleep(SETTLED);
    reported()
}

/// A task that hangs and a file system that is read-only, before and after: the Node says so all the
/// time, and nobody is told a second time.
fn faults_that_outlive_the_pod_are_reported_once() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.deploy(BASE)?;
    let _detector = ImpatientDetector::new(10)?;
    let (broken, frozen) = (Disk::new(Type::Ext4)?, Disk::new(Type::Ext4)?);
    let broken = broken.mount_at("/var/lib/kubelet".into(), "errors=remount-ro")?;
    broken.ext4_error()?;
    let frozen = frozen.mount("rw")?;
    let _task; // Dropped after `freeze`, which it waits for.
    let freeze = frozen.freeze()?;
    _task = HungTask::start(&frozen, "runc-test")?;
    lab.condition("ReadonlyFilesystem", "True")?;
    lab.condition("KernelDeadlock", "True")?;
    sleep(SETTLED);
    let seen = || {
        let mut seen = lab.conditions(|r#type| OURS.contains(&r#type))?;
        for condition in &mut seen {
            condition["lastHeartbeatTime"].take();
        }
        let reasons = ["FilesystemError", "FilesystemIsReadOnly", "TaskHung"];
        let counts = reasons.map(|reason| lab.count(THE_NODE, reason));
        let counts = counts.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        Ok::<_, anyhow::Error>((seen, counts))
    };
    let before = seen()?;
    lab.replace_pod()?;
    sleep(SETTLED);
    let after = seen()?;
    ensure!(before == after, "before: {before:#?}\nafter: {after:#?}");
    drop(freeze);
    drop(broken);
    lab.condition("KernelDeadlock", "False")?;
    lab.condition("ReadonlyFilesystem", "False")?;
    Ok(())
}

fn a_plugin_from_a_config_map_sees_the_host() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.deploy(PLUGIN)?;
    lab.condition("MaintenanceNeeded", "False")?;
    let host = |program: &str| {
        let status = lab
            .node
            .command(program)
            .arg("/var/lib/maintenance/requested")
            .status();
        ensure!(status?.success(), "{program} has failed");
        Ok(())
    };
    host("touch")?;
    let condition = lab.condition("MaintenanceNeeded", "True")?;
    ensure!(
        condition["reason"] == "MaintenanceRequested",
        "{condition:#}"
    );
    ensure!(
        condition["message"] == "/maintenance/requested exists",
        "{condition:#}"
    );
    host("rm")?;
    lab.condition("MaintenanceNeeded", "False")?;
    Ok(())
}
