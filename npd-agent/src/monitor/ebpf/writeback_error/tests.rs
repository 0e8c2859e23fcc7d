use npd_ebpf::writeback_error::WritebackErrorRecord;
use zerocopy::FromZeros as _;

use super::PROBE;
use crate::monitor::ebpf::probe::Probe;
use crate::monitor::ebpf::tests::running_probe::FakeMachine;

static WRITEBACK_ERROR: Probe = PROBE;

/// Pages of a file of this file system could not be written back.
fn lost(name: &str, fs_type: &str, error: u32) -> WritebackErrorRecord {
    let mut record = WritebackErrorRecord::new_zeroed();
    record.header.id = WritebackErrorRecord::ID;
    record.device = 8 << 20 | 16;
    record.error = error;
    record.inode = 12;
    record.name[..name.len()].copy_from_slice(name.as_bytes());
    record.fs_type[..fs_type.len()].copy_from_slice(fs_type.as_bytes());
    record
}

#[tokio::test(start_paused = true)]
async fn lost_data_is_one_event_and_a_count() {
    let mut probe = FakeMachine::new().start(&WRITEBACK_ERROR, &Ok(()));
    assert_eq!(probe.hear(1).await, ["Watching: writeback_error"]);
    for _ in 0..10 {
        probe.record(&lost("sdb1", "ext4", 5)).await;
    }
    let message = "Happened: Written data was lost: I/O error on sdb1 (ext4), inode 12";
    assert_eq!(probe.hear(30).await, [message]);
    assert_eq!(
        probe.hear(60).await,
        [format!("{message}: 9 more times in 60 s")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_block_device_is_called_by_its_name() {
    let machine = FakeMachine::new();
    machine.write("sys/dev/block/dm-3", "");
    std::os::unix::fs::symlink("dm-3", machine.folder.path().join("sys/dev/block/254:3")).unwrap();
    let mut probe = machine.start(&WRITEBACK_ERROR, &Ok(()));
    probe.hear(1).await;
    let block_device = 254 << 20 | 3;
    let of = |error| WritebackErrorRecord {
        block_device,
        ..lost("bdev", "bdev", error)
    };
    probe.record(&of(5)).await;
    let message = "Happened: Written data was lost: I/O error on the block device dm-3";
    assert_eq!(probe.hear(30).await, [message]);
}

#[tokio::test(start_paused = true)]
async fn a_full_file_system_is_no_fault() {
    let mut probe = FakeMachine::new().start(&WRITEBACK_ERROR, &Ok(()));
    probe.hear(1).await;
    for error in [28, 122] {
        probe.record(&lost("sdb1", "ext4", error)).await;
        let heard = probe.hear(200).await;
        assert_eq!(heard, ["Harmless: writeback_error sdb1"]);
    }
}
