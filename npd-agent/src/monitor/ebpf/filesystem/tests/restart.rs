//! The agent is replaced while a file system is at fault.

use npd_ebpf::filesystem::EXT4_SHUTDOWN;

use super::machine::Machine;
use super::{ROOT, srv, started, var};

const SHUTDOWN: &str = "loop0 (ext4 on /var) was shut down on request (ext4_ioctl:12)";

/// An important file system was shut down, which a kernel before 6.15 shows nowhere.
async fn shut_down() -> Machine {
    let mut machine = Machine::start(&var("rw", "rw"));
    machine.superblock("ext4/loop0");
    machine.hear(6).await;
    machine.record(EXT4_SHUTDOWN, 0, "ext4_ioctl").await;
    let (event, condition) = (
        format!("Event: {SHUTDOWN}"),
        format!("Condition: {SHUTDOWN}"),
    );
    machine.check(10, &[&event, &condition]).await;
    machine
}

#[tokio::test(start_paused = true)]
async fn what_only_a_record_said_is_claimed_again_without_a_new_event() {
    let mut machine = shut_down().await.restart();
    let condition = format!("Condition: {SHUTDOWN}");
    machine
        .check(
            10,
            &[
                "Resumed: FilesystemError, filesystem loop0",
                &condition,
                r#"Watching: {"ReadonlyFilesystem"}"#,
            ],
        )
        .await;
    machine.mounts(ROOT);
    machine.check(10, &["Recovered: filesystem loop0"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_mounted_again_meanwhile_is_well() {
    let machine = shut_down().await;
    machine.superblock("ext4/loop0");
    let mut machine = machine.restart();
    let well = "Recovered: filesystem loop0";
    machine
        .check(10, &[well, r#"Watching: {"ReadonlyFilesystem"}"#])
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_made_it_read_only_is_remembered() {
    let mut machine = started(&srv("vfat", "rw", "rw")).await;
    machine.mounts(&srv("vfat", "rw", "ro"));
    let reported = "Event: loop1 (vfat on /srv) was made read-only by the kernel";
    machine.check(10, &[reported]).await;
    let mut machine = machine.restart();
    machine
        .check(
            10,
            &[
                "Resumed: FilesystemError, filesystem loop1",
                r#"Watching: {"ReadonlyFilesystem"}"#,
            ],
        )
        .await;
    machine.mounts(&srv("vfat", "rw", "rw"));
    machine.check(10, &["Recovered: filesystem loop1"]).await;
    let mut machine = machine.restart();
    machine.mounts(&srv("vfat", "ro", "ro"));
    machine
        .check(10, &[r#"Watching: {"ReadonlyFilesystem"}"#])
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_healed_meanwhile_is_well_though_no_program_is_attached() {
    let mut machine = started(&srv("vfat", "rw", "rw")).await;
    machine.mounts(&srv("vfat", "rw", "ro"));
    machine.hear(10).await;
    machine.mounts(&srv("vfat", "rw", "rw"));
    let mut machine = machine.restart_without_programs();
    let heard = machine.hear(10).await;
    let well = "Recovered: filesystem loop1";
    assert_eq!(heard, [well, "Watching: {}"]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_after_the_one_that_was_resumed_is_news() {
    let mut machine = started(&srv("vfat", "rw", "rw")).await;
    machine.mounts(&srv("vfat", "rw", "ro"));
    machine.hear(10).await;
    let mut machine = machine.restart();
    machine.hear(10).await;
    machine.mounts(&srv("vfat", "rw", "rw"));
    machine.hear(10).await;
    machine.mounts(&srv("vfat", "rw", "ro"));
    let reported = "Event: loop1 (vfat on /srv) was made read-only by the kernel";
    machine.check(10, &[reported]).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_mounted_read_only_on_purpose_meanwhile_is_well() {
    let mut machine = started(&srv("vfat", "rw", "rw")).await;
    machine.mounts(&srv("vfat", "rw", "ro"));
    machine.hear(10).await;
    machine.mounts(&srv("vfat", "ro", "ro"));
    let mut machine = machine.restart();
    let well = "Recovered: filesystem loop1";
    machine
        .check(10, &[well, r#"Watching: {"ReadonlyFilesystem"}"#])
        .await;
}
