//! NPD's own config files on what a kernel has really written.

use std::time::Duration;

use expect_test::expect;

use super::{KmsgBench, check, recorded};

/// What NPD's own config files find in what a kernel has really written.
async fn shipped(records: &str) -> String {
    let mut bench = KmsgBench::new(&[
        include_str!("../../../../../../../deploy/config/kernel-monitor.json"),
        include_str!("../../../../../../../deploy/config/readonly-monitor.json"),
    ]);
    bench.log.starts = vec![Duration::ZERO; 2];
    let _gone = bench.read(recorded(records)).await;
    assert_eq!((bench.lost(), bench.malformed()), (0, 0));
    bench.found()
}

#[tokio::test]
async fn npds_rules_on_a_real_oom_kill() {
    let records = include_str!("../../../../../../../tests/fixtures/kmsg/oom-memcg.txt");
    check(
        &shipped(records).await,
        &expect![[r#"
        one.json OOMKilling -: "Memory cgroup out of memory: Killed process 20875 (python3) total-vm:221356kB, anon-rss:20224kB, file-rss:6632kB, shmem-rss:0kB, UID:0 pgtables:108kB oom_score_adj:0" oom 20875
    "#]],
    );
}

#[tokio::test]
async fn npds_rules_on_a_real_ext4_error() {
    let records = include_str!("../../../../../../../tests/fixtures/kmsg/ext4-error.txt");
    check(
        &shipped(records).await,
        &expect![[r#"
        one.json Ext4Error -: "EXT4-fs error (device loop0): trigger_test_error:129: comm bash: recorded" filesystem loop0
        two.json FilesystemIsReadOnly ReadonlyFilesystem: "EXT4-fs (loop0): Remounting filesystem read-only" filesystem loop0
    "#]],
    );
}

#[tokio::test]
async fn npds_rules_on_a_real_hung_task() {
    let records = include_str!("../../../../../../../tests/fixtures/kmsg/hung-task.txt");
    check(
        &shipped(records).await,
        &expect![[r#"
        one.json TaskHung -: "INFO: task touch:20938 blocked for more than 2 seconds." hung_task 20938
        one.json TaskHung -: "INFO: task touch:20938 blocked for more than 3 seconds." hung_task 20938
    "#]],
    );
}

#[tokio::test]
async fn npds_rules_on_a_real_xfs_shutdown() {
    let records = include_str!("../../../../../../../tests/fixtures/kmsg/xfs-shutdown.txt");
    check(
        &shipped(records).await,
        &expect![[r#"
        one.json XfsHasShutdown XfsShutdown: "XFS (loop0): Metadata I/O Error (0x4) detected at xfs_fs_goingdown+0x7b/0xb0 (fs/xfs/xfs_fsops.c:472).  Shutting down filesystem." filesystem loop0
    "#]],
    );
}

#[tokio::test]
async fn what_a_program_writes_is_read_as_it_was_written() {
    let records = include_str!("../../../../../../../tests/fixtures/kmsg/user-space.txt");
    let any = r#"{"plugin": "kmsg", "lookback": "1h",
        "rules": [{"type": "temporary", "reason": "Any", "pattern": "(?s).*"}], "bufferSize": 1}"#;
    let mut bench = KmsgBench::new(&[any]);
    let _gone = bench.read(recorded(records)).await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Any -: "café \\ back\ttab\nsecond line �"
        one.json Any -: ""
    "#]],
    );
}
