//! Real faults of this machine's kernel, and what a user sees of them.

mod blind;
mod block_error;
mod clock;
mod device_mapper;
mod drill;
mod filesystem;
mod hung_task;
mod network_storage;
mod oom;
mod quoted;
mod raid;
mod rdma;
mod scan;
mod state_dir;
mod wedge;
mod writeback_error;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE, is_event};
use npd_tests::harness::{self, Need, Test};
use npd_tests::journald::JOURNALD;
use serde_json::Value;

const PROBES: &[Need] = &[Need::Agent, Need::Root, Need::Btf];
const OOM: &[Need] = &[
    Need::All(PROBES),
    Need::MemoryCgroup,
    Need::FirstPidNamespace,
];
const LOOP: &[Need] = &[
    Need::File("/dev/loop-control"),
    Need::Tool("losetup"),
    Need::Tool("mkfs.ext4"),
];
const EXT4: &[Need] = &[
    Need::All(PROBES),
    Need::MountsOfProcess1,
    Need::All(LOOP),
    Need::File("/sys/fs/ext4"),
];
const XFS: &[Need] = &[
    Need::All(PROBES),
    Need::MountsOfProcess1,
    Need::File("/dev/loop-control"),
    Need::Tool("losetup"),
    Need::Tool("mkfs.xfs"),
    Need::Tool("xfs_io"),
];
const BTRFS: &[Need] = &[
    Need::All(DEAD_DISK),
    Need::File("/sys/fs/btrfs"),
    Need::Tool("mkfs.btrfs"),
];
const DEAD_DISK: &[Need] = &[Need::All(XFS), Need::Tool("losetup")];
const LOST_WRITE: &[Need] = &[Need::All(DEAD_DISK), Need::All(EXT4), Need::Tool("sync")];
const MIRROR: &[Need] = &[
    Need::Module("raid1"),
    Need::Tool("mdadm"),
    Need::All(DEAD_DISK),
];
const THIN_POOL: &[Need] = &[
    Need::Module("dm_thin_pool"),
    Need::Tool("dmsetup"),
    Need::All(PROBES),
    Need::All(LOOP),
];
const FLAKY: &[Need] = &[
    Need::Module("dm_flakey"),
    Need::Tool("dmsetup"),
    Need::All(PROBES),
    Need::All(LOOP),
];
const NFS: &[Need] = &[
    Need::Module("nfsd"),
    Need::Module("nfsv4"),
    Need::Tool("rpc.nfsd"),
    Need::Tool("mount.nfs"),
    Need::All(PROBES),
    Need::All(LOOP),
];
const NVME: &[Need] = &[
    Need::Module("nvmet_tcp"),
    Need::Module("nvme_tcp"),
    Need::All(PROBES),
    Need::All(LOOP),
];
const RDMA: &[Need] = &[
    Need::Module("rdma_rxe"),
    Need::Tool("rdma"),
    Need::Tool("ip"),
    Need::All(PROBES),
];
const HANG: &[Need] = &[
    Need::All(PROBES),
    Need::FirstPidNamespace,
    Need::All(LOOP),
    Need::Tool("fsfreeze"),
    Need::File("/proc/sys/kernel/hung_task_check_interval_secs"),
];
const FUSE: &[Need] = &[
    Need::All(PROBES),
    Need::FirstPidNamespace,
    Need::File("/dev/fuse"),
];
const SCANNED: &[Need] = &[Need::All(HANG), Need::All(OOM), Need::All(EXT4)];
const FROZEN: &[Need] = &[
    Need::Agent,
    Need::Root,
    Need::All(LOOP),
    Need::Tool("fsfreeze"),
];
const UNPRIVILEGED: &[Need] = &[
    Need::Agent,
    Need::Root,
    Need::MountsOfProcess1,
    Need::All(LOOP),
    Need::Tool("setpriv"),
];
const OOM_TOGETHER: &[Need] = &[
    Need::All(OOM),
    Need::File("/sys/fs/cgroup/cgroup.controllers"),
];
const BLIND: &[Need] = &[
    Need::All(UNPRIVILEGED),
    Need::FirstPidNamespace,
    Need::MemoryCgroup,
];

const CLOCK: &[Need] = &[Need::Guest, Need::Agent, Need::Root, Need::File(JOURNALD)];
const QUOTED: &[Need] = &[
    Need::All(PROBES),
    Need::Tool("setpriv"),
    Need::Tool("unshare"),
    Need::Tool("mount"),
    Need::UserNamespaces,
    Need::File("/proc/sys/debug/exception-trace"),
];

const TESTS: &[Test] = &[
    Test {
        name: "an_oom_kill_is_reported_once",
        needs: OOM,
        run: oom::an_oom_kill_is_reported_once,
    },
    Test {
        name: "a_cgroup_that_is_killed_together_is_one_event",
        needs: OOM_TOGETHER,
        run: oom::a_cgroup_that_is_killed_together_is_one_event,
    },
    Test {
        name: "every_oom_kill_is_counted_while_the_log_is_flooded",
        needs: OOM,
        run: oom::every_oom_kill_is_counted_while_the_log_is_flooded,
    },
    Test {
        name: "a_hung_task_is_one_event_until_it_runs_again",
        needs: HANG,
        run: hung_task::a_hung_task_is_one_event_until_it_runs_again,
    },
    Test {
        name: "tasks_that_wait_for_the_same_are_one_event",
        needs: HANG,
        run: wedge::tasks_that_wait_for_the_same_are_one_event,
    },
    Test {
        name: "a_silent_fuse_server_is_named",
        needs: FUSE,
        run: wedge::a_silent_fuse_server_is_named,
    },
    Test {
        name: "an_ext4_error_makes_the_file_system_read_only_until_unmounted",
        needs: EXT4,
        run: filesystem::an_ext4_error_makes_the_file_system_read_only_until_unmounted,
    },
    Test {
        name: "an_operators_remount_lasts_until_the_next",
        needs: EXT4,
        run: filesystem::an_operators_remount_lasts_until_the_next,
    },
    Test {
        name: "a_shut_down_xfs_is_at_fault_until_unmounted",
        needs: XFS,
        run: filesystem::a_shut_down_xfs_is_at_fault_until_unmounted,
    },
    Test {
        name: "a_broken_btrfs_is_reported_once_until_unmounted",
        needs: BTRFS,
        run: filesystem::a_broken_btrfs_is_reported_once_until_unmounted,
    },
    Test {
        name: "the_second_read_only_file_system_is_reported_too",
        needs: EXT4,
        run: filesystem::the_second_read_only_file_system_is_reported_too,
    },
    Test {
        name: "a_fault_of_an_unimportant_file_system_is_an_event_only",
        needs: EXT4,
        run: filesystem::a_fault_of_an_unimportant_file_system_is_an_event_only,
    },
    Test {
        name: "a_dead_disk_is_one_event_and_an_exact_count",
        needs: DEAD_DISK,
        run: block_error::a_dead_disk_is_one_event_and_an_exact_count,
    },
    Test {
        name: "a_lost_write_is_one_event_though_nobody_calls_fsync",
        needs: LOST_WRITE,
        run: writeback_error::a_lost_write_is_one_event_though_nobody_calls_fsync,
    },
    Test {
        name: "a_failed_member_is_reported_once",
        needs: MIRROR,
        run: raid::a_failed_member_is_reported_once,
    },
    Test {
        name: "a_full_thin_pool_is_reported_once_and_again_when_it_fills_again",
        needs: THIN_POOL,
        run: device_mapper::a_full_thin_pool_is_reported_once_and_again_when_it_fills_again,
    },
    Test {
        name: "a_disk_that_fails_for_a_while_is_reported_once",
        needs: FLAKY,
        run: device_mapper::a_disk_that_fails_for_a_while_is_reported_once,
    },
    Test {
        name: "an_nfs_server_that_is_gone_is_reported_once_and_again_the_next_time",
        needs: NFS,
        run: network_storage::an_nfs_server_that_is_gone_is_reported_once_and_again_the_next_time,
    },
    Test {
        name: "an_nvme_target_that_is_gone_is_reported_once_and_again_the_next_time",
        needs: NVME,
        run: network_storage::an_nvme_target_that_is_gone_is_reported_once_and_again_the_next_time,
    },
    Test {
        name: "an_rdma_port_that_goes_down_is_reported_once_each_time",
        needs: RDMA,
        run: rdma::an_rdma_port_that_goes_down_is_reported_once_each_time,
    },
    Test {
        name: "a_frozen_state_dir_is_shown_and_stops_nothing_else",
        needs: FROZEN,
        run: state_dir::a_frozen_state_dir_is_shown_and_stops_nothing_else,
    },
    Test {
        name: "a_drill_reports_its_faults_and_undoes_them",
        needs: SCANNED,
        run: drill::a_drill_reports_its_faults_and_undoes_them,
    },
    Test {
        name: "scan_says_sick_while_a_fault_lasts",
        needs: SCANNED,
        run: scan::scan_says_sick_while_a_fault_lasts,
    },
    Test {
        name: "clock_steps_blind_no_log_and_change_no_duration",
        needs: CLOCK,
        run: clock::clock_steps_blind_no_log_and_change_no_duration,
    },
    Test {
        name: "what_users_make_the_kernel_print_sets_no_condition",
        needs: QUOTED,
        run: quoted::what_users_make_the_kernel_print_sets_no_condition,
    },
    Test {
        name: "a_mount_with_a_disks_name_withdraws_nothing",
        needs: EXT4,
        run: quoted::a_mount_with_a_disks_name_withdraws_nothing,
    },
    Test {
        name: "without_bpf_the_same_faults_are_reported_once",
        needs: BLIND,
        run: blind::without_bpf_the_same_faults_are_reported_once,
    },
    Test {
        name: "without_privileges_the_agent_runs_and_says_what_it_cannot_see",
        needs: UNPRIVILEGED,
        run: blind::without_privileges_the_agent_runs_and_says_what_it_cannot_see,
    },
];

fn main() -> ExitCode {
    harness::serial(TESTS)
}

/// How long the agent may hold back a report in the kernel's log because it waits for a probe. After
/// this time, everything that is reported twice has been reported twice.
const SETTLED: Duration = Duration::from_secs(7);

/// How long after its end a fault that comes again is a new one. The clock of the kernel's log may be
/// slower than ours in a guest.
const FLAPPING: Duration = Duration::from_secs(75);

/// Starts the agent with the built-in monitors, and waits until it has reported what the kernel's log
/// has from the minutes before.
fn start() -> anyhow::Result<Agent> {
    let agent = watching(Agent::start(Path::new("/"), &[])?)?;
    settle(&agent)?;
    Ok(agent)
}

/// Waits for [`SETTLED`], and on until the agent has printed nothing for a while.
fn settle(agent: &Agent) -> anyhow::Result<()> {
    const QUIET: Duration = Duration::from_secs(3);
    let started = Instant::now();
    let mut last = (agent.lines().len(), started);
    agent.wait_until("silence", PATIENCE, || {
        let lines = agent.lines().len();
        if lines != last.0 {
            last = (lines, Instant::now());
        }
        let is_quiet = started.elapsed() >= SETTLED && last.1.elapsed() >= QUIET;
        Ok(is_quiet.then_some(()))
    })
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
    agent.wait_until(&format!("{type} to be {status}"), PATIENCE, || {
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

/// Waits until there are so many of these events.
fn wait_for_events(agent: &Agent, reason: &str, text: &str, count: usize) -> anyhow::Result<()> {
    agent.wait_until(&format!("{count} times {reason}"), PATIENCE, || {
        Ok((count_events(agent, reason, text)? >= count).then_some(()))
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
