//! The probe on a fake machine.

mod log_lines;
mod machine;
mod mounts;
mod restart;

use std::fs;

use npd_ebpf::filesystem::{EXT4_ERROR, XFS_SHUTDOWN};

use self::machine::Machine;
use crate::monitor::ebpf::probe::ProbeRecord;

const ROOT: &str = "27 1 254:0 / / rw - ext4 /dev/vda rw\n";

/// `/dev/loop0` on `/var`.
fn var(mount: &str, options: &str) -> String {
    format!("{ROOT}42 27 7:0 / /var {mount},noatime - ext4 /dev/loop0 {options}\n")
}

/// `/dev/loop1` on `/srv`.
fn srv(fs_type: &str, mount: &str, options: &str) -> String {
    format!("{ROOT}43 27 7:1 / /srv {mount} - {fs_type} /dev/loop1 {options}\n")
}

async fn started(mounts: &str) -> Machine {
    let mut machine = Machine::start(mounts);
    machine
        .check(1, &[r#"Watching: {"ReadonlyFilesystem"}"#])
        .await;
    machine
}

#[tokio::test(start_paused = true)]
async fn after_an_error_an_important_file_system_is_read_only_until_unmounted() {
    let mut machine = started(&var("rw", "rw,errors=remount-ro")).await;
    machine.record(EXT4_ERROR, 0, "ext4_lookup").await;
    machine
        .check(
            1,
            &[
                "Event: loop0 (ext4 on /var) has an error, found in ext4_lookup:12",
                "Condition: loop0 (ext4 on /var) is read-only after an error in ext4_lookup:12",
            ],
        )
        .await;
    machine.mounts(&var("rw", "rw,errors=remount-ro,emergency_ro"));
    machine.check(10, &[]).await;
    machine.mounts(ROOT);
    machine.check(1, &["Recovered: filesystem loop0"]).await;
    machine.check(100, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_user_who_names_a_device_withdraws_nothing() {
    let sick = var("rw", "rw,errors=remount-ro,emergency_ro");
    let fuse = "99 27 0:99 / /home/user/m rw - fuse.sshfs /dev/loop0 rw,user_id=1000\n";
    let mut machine = started(&var("rw", "rw,errors=remount-ro")).await;
    machine.mounts(&sick);
    machine
        .check(
            10,
            &["Condition: loop0 (ext4 on /var) was made read-only by the kernel"],
        )
        .await;
    machine.mounts(&format!("{sick}{fuse}"));
    machine.check(10, &[]).await;
    machine.mounts(&sick);
    machine.check(10, &["Recovered: filesystem 0:99"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_shows_ro_after_an_error_also_shows_when_it_is_over() {
    let mut machine = started(&var("rw", "rw,errors=remount-ro")).await;
    machine.record(EXT4_ERROR, 0, "ext4_lookup").await;
    machine
        .check(
            10,
            &[
                "Event: loop0 (ext4 on /var) has an error, found in ext4_lookup:12",
                "Condition: loop0 (ext4 on /var) is read-only after an error in ext4_lookup:12",
            ],
        )
        .await;
    machine.mounts(&var("rw", "ro,errors=remount-ro"));
    machine.check(10, &[]).await;
    machine.mounts(&var("rw", "rw,errors=remount-ro"));
    machine.check(1, &["Recovered: filesystem loop0"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_shows_nothing_after_an_error_is_not_believed_to_be_well() {
    // The option is the file system's own default here, which the mount table leaves out.
    let mut machine = started(&var("rw", "rw")).await;
    machine.write("proc/fs/ext4/loop0/options", "rw\nerrors=remount-ro\n");
    machine.superblock("ext4/loop0");
    machine.mounts(&var("rw", "rw,noatime"));
    machine.hear(10).await;
    machine.record(EXT4_ERROR, 0, "ext4_lookup").await;
    machine
        .check(
            100,
            &[
                "Event: loop0 (ext4 on /var) has an error, found in ext4_lookup:12",
                "Condition: loop0 (ext4 on /var) is read-only after an error in ext4_lookup:12",
            ],
        )
        .await;
    // Unmounted and mounted again between two checks: only sysfs shows it.
    machine.superblock("ext4/loop0");
    machine.check(1, &["Recovered: filesystem loop0"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_with_errors_continue_is_an_event_only() {
    let mut machine = started(&var("rw", "rw")).await;
    machine.record(EXT4_ERROR, 0, "ext4_lookup").await;
    machine
        .check(
            10,
            &["Event: loop0 (ext4 on /var) has an error, found in ext4_lookup:12"],
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_operators_remount_lasts_until_the_next() {
    let mut machine = started(&var("rw", "rw")).await;
    machine.mounts(&var("ro", "ro"));
    machine
        .check(
            10,
            &["Condition: loop0 (ext4 on /var) was remounted read-only by an operator"],
        )
        .await;
    machine.mounts(&var("rw", "rw"));
    machine.check(1, &["Recovered: filesystem loop0"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_unimportant_file_system_makes_events_only() {
    let mut machine = started(&srv("ext4", "rw", "rw,errors=remount-ro")).await;
    machine.mounts(&srv("ext4", "ro", "ro,errors=remount-ro"));
    machine
        .check(
            10,
            &["Event: loop1 (ext4 on /srv) was remounted read-only by an operator"],
        )
        .await;
    machine.mounts(&srv("ext4", "rw", "rw,errors=remount-ro"));
    machine.check(10, &["Recovered: filesystem loop1"]).await;
    machine.record(EXT4_ERROR, 1, "ext4_lookup").await;
    machine
        .check(
            10,
            &["Event: loop1 (ext4 on /srv) has an error, found in ext4_lookup:12"],
        )
        .await;
    machine.mounts(&srv("ext4", "rw", "rw,errors=remount-ro,emergency_ro"));
    machine.check(10, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_important_file_system_is_reported_too() {
    let with_log = |mount: &str| {
        let log = format!("43 42 7:1 / /var/log {mount} - ext4 /dev/loop1 {mount}\n");
        var("ro", "ro") + &log
    };
    let mut machine = Machine::start_for(&var("rw", "rw"), &["/var", "/var/log"]);
    machine.hear(1).await;
    machine.mounts(&with_log("rw"));
    let first = "Condition: loop0 (ext4 on /var) was remounted read-only by an operator";
    machine.check(10, &[first]).await;
    machine.mounts(&with_log("ro"));
    machine
        .check(
            10,
            &[
                "Condition: loop1 (ext4 on /var/log) was remounted read-only by an operator",
                "Event: loop1 (ext4 on /var/log) was remounted read-only by an operator",
            ],
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_volume_of_a_pod_is_reported_with_the_pod() {
    let mounts = format!(
        "{ROOT}43 27 7:1 / /var/lib/kubelet/plugins/globalmount rw - ext4 /dev/loop1 rw\n\
         44 27 7:1 / /var/lib/kubelet/pods/5f0c/volumes/csi/pv/mount rw - ext4 /dev/loop1 rw\n"
    );
    let mut machine = started(&mounts).await;
    machine.write("log/pods/default_web-0_5f0c/web/0.log", "");
    machine.record(EXT4_ERROR, 1, "ext4_lookup").await;
    machine
        .check(1, &["Event of pod default/web-0: loop1 (ext4 on /var/lib/kubelet/plugins/globalmount, /var/lib/kubelet/pods/5f0c/volumes/csi/pv/mount) has an error, found in ext4_lookup:12"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_shut_down_xfs_is_at_fault_as_long_as_it_exists() {
    let xfs = var("rw", "rw").replace("ext4 /dev/loop0", "xfs /dev/loop0");
    let mut machine = started(ROOT).await;
    machine.superblock("xfs/loop0");
    machine.mounts(&xfs);
    machine.record(XFS_SHUTDOWN, 0, "xfs_fs_goingdown").await;
    machine
        .check(
            100,
            &[
                "Event: loop0 (xfs on /var) was shut down on request (xfs_fs_goingdown:12)",
                "Condition: loop0 (xfs on /var) was shut down on request (xfs_fs_goingdown:12)",
            ],
        )
        .await;
    machine.mounts(ROOT);
    machine.check(1, &["Recovered: filesystem loop0"]).await;
    // A container still uses it: mounting the device again gets the same superblock.
    machine.mounts(&xfs);
    machine
        .check(
            10,
            &["Condition: loop0 (xfs on /var) was shut down on request (xfs_fs_goingdown:12)"],
        )
        .await;
    machine.superblock("xfs/loop0");
    machine.check(1, &["Recovered: filesystem loop0"]).await;
}

#[tokio::test(start_paused = true)]
async fn read_only_on_purpose_is_no_fault() {
    let mut machine = started(&var("ro", "ro,errors=remount-ro")).await;
    // If there are claims about it, they are withdrawn now.
    machine.mounts(&var("rw", "rw,errors=remount-ro"));
    machine.check(10, &["Recovered: filesystem loop0"]).await;
    // A read-only bind mount.
    machine.mounts(&var("ro", "rw"));
    machine.check(10, &[]).await;
    machine.mounts(&srv("squashfs", "rw", "ro"));
    machine.check(10, &["Recovered: filesystem loop0"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_kernel_made_read_only_before_the_agent_started_is_a_fault() {
    let mut machine = Machine::start(&var("rw", "ro,errors=remount-ro"));
    machine
        .check(
            1,
            &[
                "Condition: loop0 (ext4 on /var) was made read-only by the kernel",
                r#"Watching: {"ReadonlyFilesystem"}"#,
            ],
        )
        .await;
    machine.mounts(&var("rw", "rw,errors=remount-ro"));
    machine.check(1, &["Recovered: filesystem loop0"]).await;
    let mut machine = Machine::start(&var("rw", "rw,shutdown"));
    machine
        .check(
            1,
            &[
                "Condition: loop0 (ext4 on /var) was shut down",
                r#"Watching: {"ReadonlyFilesystem"}"#,
            ],
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_errors_is_two_events() {
    let mut machine = started(&srv("ext4", "rw", "rw")).await;
    for _ in 0..1000 {
        machine.record(EXT4_ERROR, 1, "ext4_lookup").await;
    }
    machine
        .check(
            30,
            &["Event: loop1 (ext4 on /srv) has an error, found in ext4_lookup:12"],
        )
        .await;
    machine
        .check(200, &["Event: loop1 (ext4 on /srv) has an error, found in ext4_lookup:12: 999 more times in 60 s"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_system_in_a_container_only_makes_events() {
    let mut machine = started(ROOT).await;
    machine.record(EXT4_ERROR, 1, "ext4_lookup").await;
    machine.record(EXT4_ERROR, 9, "").await;
    machine
        .check(10, &["Event: loop1 (not in the node's own mount table) has an error, found in ext4_lookup:12",
"Event: 7:9 (not in the node's own mount table) has an error, found in an unknown place"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_programs_the_mount_table_and_counts_are_watched() {
    let mut machine = Machine::start_without_programs(&var("rw", "rw,errors=remount-ro"));
    machine.write("sys/fs/ext4/loop0/errors_count", "3\n");
    machine.write("sys/fs/ext4/loop0/last_error_func", "ext4_lookup\n");
    machine.write("sys/fs/ext4/loop0/last_error_line", "12\n");
    machine.check(4, &["Watching: {}"]).await;
    machine.write("sys/fs/ext4/loop0/errors_count", "5\n");
    machine.mounts(&var("rw", "rw,errors=remount-ro,emergency_ro"));
    machine
        .check(
            2,
            &[
                "Event: loop0 (ext4 on /var) has an error, found in ext4_lookup:12",
                "Condition: loop0 (ext4 on /var) is read-only after an error in ext4_lookup:12",
            ],
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_that_was_only_counted_is_reported_and_counted_as_missed() {
    let mut machine = Machine::start(&var("rw", "rw"));
    machine.write("sys/fs/ext4/loop0/errors_count", "3\n");
    machine.hear(10).await;
    machine.record(EXT4_ERROR, 0, "ext4_lookup").await;
    machine.write("sys/fs/ext4/loop0/errors_count", "5\n");
    machine
        .check(
            30,
            &[
                "Event: loop0 (ext4 on /var) has an error, found in ext4_lookup:12",
                "Event: loop0 (ext4 on /var) has an error, found in an unknown place",
            ],
        )
        .await;
    let missed = machine
        .probe
        .metrics
        .probe_missed
        .with_label_values(&["filesystem"]);
    assert_eq!(missed.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_counted() {
    let mut machine = started("not a mount\n").await;
    machine
        .probe
        .records
        .send(ProbeRecord(Box::from([1, 2, 3])))
        .await
        .unwrap();
    machine.check(1, &[]).await;
    let malformed = &machine.probe.metrics.records_malformed;
    assert_eq!(malformed.with_label_values(&["ebpf"]).get(), 1);
    assert_eq!(malformed.with_label_values(&["mountinfo"]).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mount_table_that_cannot_be_read_is_a_source_that_is_down() {
    let mut machine = Machine::start(ROOT);
    fs::remove_file(machine.probe.folder.path().join("proc/1/mountinfo")).unwrap();
    machine.hear(10).await;
    let up = machine
        .probe
        .metrics
        .source_up
        .with_label_values(&["mountinfo"]);
    assert_eq!(up.get(), 0);
    machine.mounts(&var("rw", "rw"));
    machine.hear(10).await;
    assert_eq!(up.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_log_says_about_an_unmounted_file_system_is_over() {
    let mut machine = started(&srv("xfs", "rw", "rw")).await;
    machine.claimed("loop0");
    // Mounted, and perhaps shut down before the probe was started: the mount table does not show that.
    machine.claimed("loop1");
    machine.check(6, &["Recovered: filesystem loop0"]).await;
}
