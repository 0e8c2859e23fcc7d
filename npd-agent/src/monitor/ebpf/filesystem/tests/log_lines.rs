//! Lines of the kernel's log about a file system make the probe look.

use std::time::Duration;

use tokio::time::sleep;

use super::machine::Machine;
use super::{srv, started, var};

#[tokio::test(start_paused = true)]
async fn a_line_of_the_log_makes_the_probe_look_soon() {
    let mut machine = started(&srv("btrfs", "rw", "rw")).await;
    machine.mounts(&srv("btrfs", "rw", "ro"));
    machine.in_log("loop1");
    machine
        .check(
            2,
            &["Event: loop1 (btrfs on /srv) was made read-only by the kernel"],
        )
        .await;
}

/// The kernel logs the error, makes the file system read-only, and then writes the count. The probe has
/// just compared the counts when the line comes.
#[tokio::test(start_paused = true)]
async fn without_programs_an_error_and_its_read_only_turn_are_one_report() {
    let mut machine = Machine::start_without_programs(&var("rw", "rw,errors=remount-ro"));
    machine.write("sys/fs/ext4/loop0/errors_count", "0\n");
    machine.check(4, &["Watching: {}"]).await;
    sleep(Duration::from_millis(300)).await;
    machine.write("sys/fs/ext4/loop0/errors_count", "1\n");
    machine.write("sys/fs/ext4/loop0/last_error_func", "ext4_lookup\n");
    machine.write("sys/fs/ext4/loop0/last_error_line", "12\n");
    machine.mounts(&var("rw", "ro,errors=remount-ro"));
    machine.in_log("loop0");
    machine
        .check(
            10,
            &[
                "Event: loop0 (ext4 on /var) has an error, found in ext4_lookup:12",
                "Condition: loop0 (ext4 on /var) is read-only after an error in ext4_lookup:12",
            ],
        )
        .await;
}
