use std::fs::File;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use npd_ebpf::hung_task::HungTaskRecord;
use zerocopy::FromZeros as _;

use super::PROBE;
use crate::monitor::ebpf::probe::Probe;
use crate::monitor::ebpf::tests::running_probe::{CheckState, FakeMachine, RunningProbe, rule};
use crate::problem::Subject;

static HUNG_TASK: Probe = PROBE;

/// A thread as `/proc` shows it; `wakes` is how often it ran.
fn thread(pid: u32, state: &str, wakes: u32) -> [(String, String); 4] {
    let stat = format!("{pid} (cp) {state} 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n");
    let status = format!("voluntary_ctxt_switches:\t{wakes}\nnonvoluntary_ctxt_switches:\t0\n");
    // Found by a walk, and by its number.
    let walked = format!("proc/{pid}/task/{pid}");
    let named = format!("proc/{pid}");
    [
        (format!("{walked}/stat"), stat.clone()),
        (format!("{walked}/status"), status.clone()),
        (format!("{named}/stat"), stat),
        (format!("{named}/status"), status),
    ]
}

/// A host whose tasks are seen through `/proc`.
fn host() -> FakeMachine {
    let machine = FakeMachine::new();
    machine.write("proc/2/comm", "kthreadd\n");
    machine
}

fn show(on: &RunningProbe, pid: u32, state: &str, wakes: u32) {
    for (path, content) in thread(pid, state, wakes) {
        on.write(&path, &content);
    }
}

/// What khungtaskd reports about the task that [`thread`] shows.
fn reported(pid: u32, wakes: u64) -> HungTaskRecord {
    let mut record = HungTaskRecord::new_zeroed();
    record.header.id = HungTaskRecord::ID;
    record.task.pid = pid;
    record.task.start = 4711 * super::scan::TICK;
    record.task.comm[..2].copy_from_slice(b"cp");
    record.switches = wakes;
    record
}

#[tokio::test(start_paused = true)]
async fn a_look_finds_a_hung_task_and_its_recovery() {
    let mut probe = host().start(&HUNG_TASK, &Err("no BPF".to_owned()));
    show(&probe, 7, "D", 3);
    assert_eq!(probe.hear(29).await, ["Watching: hung_task"]);
    assert_eq!(probe.backend(), "poll");
    let message = "task cp:7 blocked for more than 30 seconds";
    let reported = [format!("Happened: {message}"), format!("Lasts: {message}")];
    assert_eq!(probe.hear(10).await, reported);
    assert_eq!(probe.hear(60).await, [""; 0]);
    show(&probe, 7, "D", 4);
    assert_eq!(probe.hear(2).await, ["Recovered: hung_task 7"]);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_wait_for_the_same_thing_are_one_event() {
    let mut probe = host().start(&HUNG_TASK, &Err("no BPF".to_owned()));
    for pid in [7, 8, 9] {
        show(&probe, pid, "D", 3);
        let stack = "[<0>] rpc_wait_bit_killable+0x20/0xa0 [sunrpc]\n";
        probe.write(&format!("proc/{pid}/stack"), stack);
    }
    let heard = probe.hear(60).await;
    let message = "blocked for more than 30 seconds, waiting for an answer of the NFS server in \
                   rpc_wait_bit_killable; 2 other tasks wait for the same thing";
    // Their order is that of the folders in /proc.
    let reported = |begin: &str| {
        let lines = heard.iter().filter(|line| line.starts_with(begin));
        lines.filter(|line| line.ends_with(message)).count()
    };
    let reports = ["Happened:", "Counted: Happened:", "Lasts:"].map(reported);
    assert_eq!((reports, heard.len()), ([1, 2, 3], 7), "{heard:#?}");
    // The next one is a new incident when all of these are over.
    for pid in [7, 8, 9] {
        show(&probe, pid, "S", 4);
    }
    probe.hear(10).await;
    show(&probe, 8, "D", 5);
    let heard = probe.hear(60).await;
    assert!(heard[0].starts_with("Happened: task cp:8 "), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_without_sleepers_is_known_to_be_well_at_once() {
    let mut probe = host().start(&HUNG_TASK, &Ok(()));
    show(&probe, 7, "S", 3);
    probe.hear(1).await;
    assert_eq!(probe.check, CheckState::Checked);
}

#[tokio::test(start_paused = true)]
async fn what_sleeps_at_the_start_may_have_hung_for_hours() {
    let mut probe = host().start(&HUNG_TASK, &Ok(()));
    show(&probe, 7, "D", 3);
    show(&probe, 8, "D", 5);
    probe.hear(20).await;
    show(&probe, 7, "D", 4);
    probe.hear(9).await;
    assert_eq!(probe.check, CheckState::Awaited);
    // The one has run again, and the kernel reports the other.
    assert!(!probe.hear(10).await.is_empty());
    assert_eq!(probe.check, CheckState::Checked);
}

#[tokio::test(start_paused = true)]
async fn who_sees_no_tasks_leaves_it_to_the_log_or_waits_for_khungtaskd() {
    let mut probe = FakeMachine::new().start(&HUNG_TASK, &Err("no BPF".to_owned()));
    probe.hear(1).await;
    assert_eq!(probe.check, CheckState::CannotCheck);
    let machine = FakeMachine::new();
    machine.write("proc/sys/kernel/hung_task_timeout_secs", "8\n");
    machine.write("proc/sys/kernel/hung_task_check_interval_secs", "4\n");
    let mut probe = machine.start(&HUNG_TASK, &Ok(()));
    probe.hear(7).await;
    assert_eq!(probe.check, CheckState::Awaited);
    probe.hear(60).await;
    assert_eq!(probe.check, CheckState::Checked);
}

#[tokio::test(start_paused = true)]
async fn one_task_recovers_while_the_kernel_reports_another() {
    let mut probe = host().start(&HUNG_TASK, &Ok(()));
    show(&probe, 7, "D", 3);
    show(&probe, 8, "D", 5);
    probe.hear(1).await;
    probe.record(&reported(7, 3)).await;
    probe.record(&reported(8, 5)).await;
    assert_eq!(probe.hear(1).await.len(), 4);
    show(&probe, 7, "S", 4);
    let mut heard = Vec::new();
    for _ in 0..3 {
        probe.record(&reported(8, 5)).await;
        heard.extend(probe.hear(1).await);
    }
    assert_eq!(heard, ["Recovered: hung_task 7"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_claim_is_taken_back() {
    let mut probe = host().start(&HUNG_TASK, &Ok(()));
    show(&probe, 7, "D", 3);
    show(&probe, 8, "S", 5);
    probe.hear(1).await;
    let subjects = [7, 8, 9].map(|pid| Subject::new("hung_task", pid));
    probe.claimed.send_replace(subjects.into());
    // Anything wakes the probe: a check every few seconds would.
    let heard = probe.hear(9).await;
    assert!(
        heard.contains(&"Recovered: hung_task 8".to_owned()),
        "{heard:?}"
    );
    assert!(
        heard.contains(&"Recovered: hung_task 9".to_owned()),
        "{heard:?}"
    );
    assert!(
        !heard.contains(&"Recovered: hung_task 7".to_owned()),
        "{heard:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn recovery_of_an_invisible_task_is_silence() {
    let machine = FakeMachine::new();
    machine.write("proc/sys/kernel/hung_task_timeout_secs", "8\n");
    machine.write("proc/sys/kernel/hung_task_check_interval_secs", "4\n");
    let mut probe = machine.start(&HUNG_TASK, &Ok(()));
    // Another task with the number, in the agent's own namespace.
    show(&probe, 7, "S", 0);
    probe.hear(1).await;
    for turn in 0..3 {
        probe.record(&reported(7, 3)).await;
        let heard = probe.hear(4).await;
        assert_eq!(heard.len(), if turn == 0 { 2 } else { 0 }, "{heard:?}");
    }
    assert_eq!(probe.hear(10).await, ["Recovered: hung_task 7"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_agent_reported_is_reported_again_only_if_it_is_new() {
    let mut probe = host().start(&HUNG_TASK, &Ok(()));
    for pid in [7, 8, 9] {
        show(&probe, pid, "D", 3);
        probe.record(&reported(pid, 3)).await;
    }
    probe.hear(1).await;
    let machine = probe.end();
    // One woke and sleeps again, one has ended and another has its number.
    for (path, content) in thread(8, "D", 4).into_iter().chain(thread(9, "D", 1)) {
        machine.write(&path, &content);
    }
    let mut probe = machine.start(&HUNG_TASK, &Ok(()));
    let claim = "Lasts: task cp:7 blocked for more than 30 seconds";
    let resumed = [
        "Resumed: Happened, hung_task 7",
        claim,
        "Watching: hung_task",
    ];
    assert_eq!(probe.hear(29).await, resumed);
    probe.record(&reported(7, 3)).await;
    let heard = probe.hear(20).await;
    let of_others = heard.iter().all(|line| !line.contains(":7 "));
    assert!(heard.len() == 4 && of_others, "{heard:?}");
    show(&probe, 7, "S", 4);
    assert_eq!(probe.hear(2).await, ["Recovered: hung_task 7"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_agent_reported_lasts_until_the_kernel_is_silent() {
    let machine = FakeMachine::new();
    machine.write("proc/sys/kernel/hung_task_timeout_secs", "8\n");
    let mut probe = machine.start(&HUNG_TASK, &Ok(()));
    probe.hear(1).await;
    probe.record(&reported(7, 3)).await;
    assert_eq!(probe.hear(4).await.len(), 2);
    let mut probe = probe.end().start(&HUNG_TASK, &Ok(()));
    assert_eq!(probe.hear(6).await.len(), 3);
    probe.record(&reported(7, 3)).await;
    assert_eq!(probe.hear(10).await, [""; 0]);
    assert_eq!(probe.hear(20).await, ["Recovered: hung_task 7"]);
}

#[tokio::test(start_paused = true)]
async fn out_of_sight_without_the_tracepoint_it_answers_for_nothing() {
    let mut probe = FakeMachine::new().start(&HUNG_TASK, &Err("no BPF".to_owned()));
    assert_eq!(probe.hear(60).await, [""; 0]);
    assert_eq!(probe.backend(), "none");
}

#[tokio::test(start_paused = true)]
async fn only_a_task_of_the_nodes_own_sets_a_condition_by_its_name() {
    let mut lasts = rule("Lasts", Some("Sick"), &[]);
    lasts.comm = Some(regex::Regex::new("^cp$").unwrap());
    let rules = vec![rule("Happened", None, &[]), lasts];
    let mut probe = host().start_with(&HUNG_TASK, rules, &Ok(()));
    let in_pod = "0::/kubepods/pod8dbc75a9-3d26-4e0f-9e6b-2b8f1b6f7c11\n";
    for (pid, user, cgroup) in [
        (7, 0, "0::/system.slice\n"),
        (8, 1000, "0::/\n"),
        (9, 0, in_pod),
    ] {
        show(&probe, pid, "D", 3);
        let path = |file| format!("proc/{pid}/{file}");
        let status = format!("Uid:\t{user}\t0\t0\t0\n");
        let counters = "voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t0\n";
        probe.write(&path("status"), &(status + counters));
        probe.write(&path("cgroup"), cgroup);
    }
    let heard = probe.hear(40).await;
    let lasting: Vec<_> = heard
        .iter()
        .filter(|line| line.starts_with("Lasts"))
        .collect();
    let happened = heard.iter().filter(|line| line.starts_with("Happened"));
    assert_eq!(happened.count(), 3, "{heard:?}");
    assert_eq!(lasting.len(), 1, "{heard:?}");
    assert!(lasting[0].contains(" cp:7 "), "{heard:?}");
}

/// Reading a task's cgroup takes a lock of the kernel, which may be part of the deadlock.
#[tokio::test]
async fn a_cgroup_that_is_never_read_delays_no_report() {
    let mut probe = host().start(&HUNG_TASK, &Ok(()));
    show(&probe, 7, "D", 3);
    probe.hear(1).await;
    probe.record(&reported(7, 3)).await;
    probe.hear(1).await;
    let machine = probe.end();
    let cgroup = machine.folder.path().join("proc/7/cgroup");
    mkfifo(&cgroup, Mode::S_IRWXU).unwrap();
    let mut probe = machine.start(&HUNG_TASK, &Ok(()));
    let mut heard = Vec::new();
    for _ in 0..60 {
        heard.extend(probe.hear(1).await);
        if heard.iter().any(|line| line.starts_with("Watching")) {
            break;
        }
    }
    // The thread that reads it can end.
    drop(File::options().read(true).write(true).open(cgroup).unwrap());
    assert_eq!(heard.len(), 3, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_counted() {
    let mut probe = host().start(&HUNG_TASK, &Ok(()));
    probe.record(&[0_u8; 24]).await;
    assert_eq!(probe.hear(1).await, ["Watching: hung_task"]);
    let malformed = &probe.metrics.records_malformed;
    assert_eq!(malformed.with_label_values(&["ebpf"]).get(), 1);
}
