use npd_ebpf::oom::{OomRecord, group, scope};
use zerocopy::FromZeros as _;

use super::PROBE;
use crate::monitor::ebpf::probe::Probe;
use crate::monitor::ebpf::task::tests::cgroup;
use crate::monitor::ebpf::tests::running_probe::{FakeMachine, RunningProbe};

static OOM: Probe = PROBE;

const POD: &str = "8dbc75a9-3d26-4e0f-9e6b-2b8f1b6f7c11";

fn kill(pid: u32, tgid: u32) -> OomRecord {
    let mut kill = OomRecord::new_zeroed();
    kill.header.id = OomRecord::ID;
    kill.scope = scope::CGROUP;
    kill.task.pid = pid;
    kill.task.tgid = tgid;
    kill.task.comm[..4].copy_from_slice(b"java");
    kill.task.cgroup = cgroup(&format!("/kubepods/pod{POD}"), false);
    kill
}

fn counted(kills: u64) -> String {
    format!("nr_free_pages 1\noom_kill {kills}\n")
}

fn missed(probe: &RunningProbe) -> u64 {
    probe.metrics.probe_missed.with_label_values(&["oom"]).get()
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_one_event_of_its_pod() {
    let machine = FakeMachine::new();
    machine.write("proc/vmstat", &counted(3));
    machine.write(&format!("log/pods/default_web-0_{POD}/0.log"), "");
    let mut probe = machine.start(&OOM, &Ok(()));
    probe.record(&kill(10, 10)).await;
    // Another of its threads needs memory to end.
    probe.record(&kill(11, 10)).await;
    let heard = probe.hear(10).await;
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(heard[0], "Watching: oom");
    let begin = "Happened default/web-0: Memory cgroup out of memory: Killed process 10 (java)";
    assert!(heard[1].starts_with(begin), "{heard:?}");
    assert_eq!(probe.backend(), "raw_tracepoint");
}

#[tokio::test(start_paused = true)]
async fn a_cgroup_that_dies_together_is_one_event() {
    let machine = FakeMachine::new();
    let mut probe = machine.start(&OOM, &Ok(()));
    for (pid, group) in [(10, group::FIRST), (11, group::MEMBER), (12, group::MEMBER)] {
        let kill = OomRecord {
            group,
            ..kill(pid, pid)
        };
        probe.record(&kill).await;
    }
    let heard = probe.hear(10).await;
    let begins = [
        "Watching",
        "Happened",
        "Counted: Happened",
        "Counted: Happened",
    ];
    assert_eq!(heard.len(), begins.len(), "{heard:?}");
    for (heard, begin) in heard.iter().zip(begins) {
        assert!(heard.starts_with(begin), "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_kernel_counts_but_does_not_report_is_missed() {
    let machine = FakeMachine::new();
    machine.write("proc/vmstat", &counted(3));
    let mut probe = machine.start(&OOM, &Ok(()));
    probe.record(&kill(10, 10)).await;
    probe.hear(1).await;
    probe.write("proc/vmstat", &counted(6));
    probe.hear(60).await;
    assert_eq!(missed(&probe), 0, "two may be on their way");
    probe.hear(120).await;
    assert_eq!(missed(&probe), 2);
    probe.hear(600).await;
    assert_eq!(missed(&probe), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_tracepoint_the_log_reports() {
    let machine = FakeMachine::new();
    machine.write("proc/vmstat", &counted(3));
    let mut probe = machine.start(&OOM, &Err("no BPF".to_owned()));
    probe.reporter.set_kernel_log_is_read(true);
    probe.hear(2).await;
    assert_eq!(probe.backend(), "kmsg");
    probe.write("proc/vmstat", &counted(4));
    assert_eq!(probe.hear(10).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn without_the_log_the_counter_reports() {
    let machine = FakeMachine::new();
    machine.write("proc/vmstat", &counted(3));
    let mut probe = machine.start(&OOM, &Err("no BPF".to_owned()));
    assert_eq!(probe.hear(2).await, [""; 0]);
    assert_eq!(probe.backend(), "counter");
    probe.write("proc/vmstat", &counted(5));
    let heard = probe.hear(10).await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("Killed 2 processes"), "{heard:?}");
}
