use npd_ebpf::block_error::BlockErrorRecord;
use zerocopy::FromZeros as _;

use super::PROBE;
use crate::monitor::ebpf::probe::Probe;
use crate::monitor::ebpf::tests::running_probe::{FakeMachine, RunningProbe};

static BLOCK_ERROR: Probe = PROBE;

const READ: u32 = 0;
const WRITE: u32 = 1;
const DISCARD: u32 = 3;
const WRITE_ZEROES: u32 = 9;

/// A request to the disk 8:16 that failed.
fn failed(disk: &str, operation: u32, error: i32) -> BlockErrorRecord {
    let mut record = BlockErrorRecord::new_zeroed();
    record.header.id = BlockErrorRecord::ID;
    record.device = 8 << 20 | 16;
    record.operation = operation;
    record.error = error;
    record.sector = 2048;
    record.disk[..disk.len()].copy_from_slice(disk.as_bytes());
    record
}

/// Starts the probe on an empty machine, and skips its first reports.
async fn start(machine: FakeMachine) -> RunningProbe {
    let mut probe = machine.start(&BLOCK_ERROR, &Ok(()));
    assert_eq!(probe.hear(1).await, ["Watching: block_error"]);
    assert_eq!(probe.backend(), "raw_tracepoint");
    probe
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_is_one_event_with_disk_operation_error_and_sector() {
    let mut probe = start(FakeMachine::new()).await;
    probe.record(&failed("sdb", READ, 10)).await;
    probe.record(&failed("sdb", WRITE, 7)).await;
    assert_eq!(
        probe.hear(30).await,
        [
            "Happened: I/O error, dev sdb, sector 2048 op 0x0:(READ), device 8:16",
            "Happened: critical medium error, dev sdb, sector 2048 op 0x1:(WRITE), device 8:16",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_kernels_error_numbers_are_understood() {
    let mut probe = start(FakeMachine::new()).await;
    for (error, word) in [(-5, "I/O"), (-61, "critical medium"), (-110, "timeout")] {
        probe.record(&failed("sdb", READ, error)).await;
        let expected =
            format!("Happened: {word} error, dev sdb, sector 2048 op 0x0:(READ), device 8:16");
        assert_eq!(probe.hear(1).await, [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_one_event_and_a_count_a_minute() {
    let mut probe = start(FakeMachine::new()).await;
    for _ in 0..1000 {
        probe.record(&failed("sdb", READ, 10)).await;
    }
    let message = "Happened: I/O error, dev sdb, sector 2048 op 0x0:(READ), device 8:16";
    assert_eq!(probe.hear(30).await, [message]);
    let summary = format!("{message}: 999 more times in 60 s");
    assert_eq!(probe.hear(60).await, [summary]);
    assert!(probe.hear(300).await.is_empty());
    probe.record(&failed("sdb", READ, 10)).await;
    assert_eq!(probe.hear(300).await, [message]);
}

#[tokio::test(start_paused = true)]
async fn what_costs_nobody_anything_is_not_reported() {
    let machine = FakeMachine::new();
    machine.write("sys/block/loop1/loop/backing_file", "/disk\n");
    let mut probe = start(machine).await;
    let removable = BlockErrorRecord {
        disk_flags: 1,
        ..failed("fd0", READ, 10)
    };
    for harmless in [
        removable,
        failed("sdc", DISCARD, 5),
        failed("sdc", WRITE_ZEROES, 1),
        failed("sdc", WRITE_ZEROES, 5),
        failed("sdc", WRITE_ZEROES, -95),
        failed("sdc", READ, 12),
        failed("sdc", READ, -11),
        // A loop device without its file.
        failed("loop3", READ, 10),
    ] {
        probe.record(&harmless).await;
        let disk = crate::monitor::ebpf::probe::text(&harmless.disk);
        let expected = format!("Harmless: block_error {disk}");
        assert_eq!(probe.hear(200).await, [expected], "{harmless:?}");
    }
    for harmful in [
        failed("sdc", WRITE_ZEROES, 10),
        failed("loop1", READ, 10),
        failed("sdc", READ, 5),
    ] {
        probe.record(&harmful).await;
        let heard = probe.hear(200).await;
        assert!(
            matches!(&heard[..], [one] if one.starts_with("Happened")),
            "{heard:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_tracepoint_the_log_is_left_to_tell() {
    let machine = FakeMachine::new();
    let mut probe = machine.start(&BLOCK_ERROR, &Err("no such tracepoint".to_owned()));
    assert_eq!(probe.hear(30).await, [""; 0]);
    assert_eq!(probe.backend(), "none");
}
