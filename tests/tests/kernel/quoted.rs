//! Texts and names that users choose, and that the kernel prints.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::sysctl::Sysctl;
use npd_tests::faults::{retry, run};
use npd_tests::harness::NOBODY;
use serde_json::json;

use crate::{settle, wait_for_condition, watching};

/// The reason of the rule that shows that a text was printed and read.
const SEEN: &str = "SeenInTheLog";

/// A user in a user namespace of their own mounts with options of their choice, and starts programs with
/// names of their choice, which crash. The kernel prints all of it.
pub(crate) fn what_users_make_the_kernel_print_sets_no_condition() -> anyhow::Result<()> {
    let _crashes_are_printed = Sysctl::set("debug/exception-trace", "1")?;
    let folder = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()?;
    let config = json!({
        "plugin": "kmsg", "logPath": "/dev/kmsg", "lookback": "5m", "source": "test",
        "rules": [{"type": "temporary", "reason": SEEN, "pattern": ".*npd-test-quoted-\\d+.*"}],
    });
    fs::write(folder.path().join("seen.json"), config.to_string())?;
    let flags = [
        "--config.system-log-monitor=builtin,seen.json",
        "--config.system-stats-monitor=builtin",
        "--config.ebpf-monitor=builtin",
    ];
    let agent = watching(Agent::start(folder.path(), &flags)?)?;
    settle(&agent)?;
    let before = statuses(&agent)?;

    let disk = disk_of_root().unwrap_or_else(|| "vda".to_owned());
    let texts = [
        format!("XFS ({disk}): Shutting down filesystem"),
        format!("EXT4-fs ({disk}): Remounting filesystem read-only"),
        format!("EXT4-fs error (device {disk}): ext4_lookup"),
        format!("Buffer I/O error on dev {disk}"),
        "EDAC MC0: 1 UE memory read error on here".to_owned(),
        "INFO: task kubelet:1 blocked for more than 120 seconds".to_owned(),
        "watchdog: BUG: soft lockup - CPU#0 stuck for 99s!".to_owned(),
        "kernel BUG at x:1!".to_owned(),
    ];
    let mut number = 0;
    for text in texts {
        for option in [
            text.clone(),
            format!("\n{text}"),
            format!("a\ntmpfs: {text}"),
            format!("\u{1}3{text}"),
        ] {
            number += 1;
            let option = format!("{option} npd-test-quoted-{number}");
            is_printed(&agent, number, || mount_with(&option))?;
        }
    }
    // The kernel prints the first 15 bytes of a name as that of the task, and the whole name as that of the file.
    let names = [
        format!("XFS ({disk}): a Shutting down filesystem"),
        "a 0:0.0: b unrecoverable error".to_owned(),
        "EDAC MC0: 1 UE ".to_owned(),
        "BUG: KASAN: a".to_owned(),
        "kernel BUG at a:1!".to_owned(),
    ];
    for name in names {
        number += 1;
        let program = folder
            .path()
            .join(format!("{name} npd-test-quoted-{number}"));
        fs::copy("/bin/sh", &program)?;
        is_printed(&agent, number, || crash(&program))?;
    }

    settle(&agent)?;
    for line in agent.lines() {
        let report = line.report.to_string();
        ensure!(
            !report.contains("npd-test-quoted") || line.is_event(SEEN, ""),
            "{report}"
        );
    }
    let after = statuses(&agent)?;
    ensure!(before == after, "before: {before:#?}\nafter: {after:#?}");
    Ok(())
}

/// Tries until the agent has read what the kernel printed: it prints only so many lines in a while.
fn is_printed(
    agent: &Agent,
    number: u32,
    mut attempt: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mark = format!("npd-test-quoted-{number}");
    retry(PATIENCE, || {
        attempt()?;
        let patience = Duration::from_secs(2);
        agent.wait_for(&mark, patience, |line| {
            let message = line.report["event"]["message"].as_str().unwrap_or_default();
            // Not that of a larger number.
            let (_, rest) = message.split_once(&mark).unwrap_or_default();
            message.contains(&mark) && !rest.starts_with(|next: char| next.is_ascii_digit())
        })
    })?;
    Ok(())
}

/// The statuses of all conditions.
fn statuses(agent: &Agent) -> anyhow::Result<BTreeMap<String, String>> {
    let page = agent.page("/conditions")?;
    let conditions = page.as_array().context("no list of conditions")?;
    let text = |condition: &serde_json::Value, key: &str| condition[key].to_string();
    Ok(conditions
        .iter()
        .map(|condition| (text(condition, "type"), text(condition, "status")))
        .collect())
}

/// The name of the disk of the root file system, if it is on one.
fn disk_of_root() -> Option<String> {
    let device = Path::new("/").metadata().ok()?.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// Mounts with this option, in a user namespace of a user without rights. The kernel refuses it.
fn mount_with(option: &str) -> anyhow::Result<()> {
    let mut command = Command::new("setpriv");
    command
        .args(NOBODY)
        .args(["unshare", "--user", "--map-root-user", "--mount"])
        .args(["mount", "-i", "-t", "tmpfs", "-o", option, "none", "/mnt"])
        // Otherwise the kernel gives the error to the program, and prints nothing.
        .env("LIBMOUNT_FORCE_MOUNT2", "always")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let status = command.status().context("running setpriv")?;
    ensure!(!status.success(), "the kernel took the option {option:?}");
    Ok(())
}

/// Runs a shell that crashes, because its stack is full, as a user without rights.
fn crash(program: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("setpriv");
    command
        .args(NOBODY)
        .arg(program)
        .args(["-c", "ulimit -s 32; f() { f; }; f"])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let status = command.status().context("running setpriv")?;
    ensure!(!status.success(), "it did not crash");
    Ok(())
}

/// `fusermount3 -o fsname=/dev/loop0` gives a mount such a name, too.
pub(crate) fn a_mount_with_a_disks_name_withdraws_nothing() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("errors=remount-ro")?;
    let (agent, _config) = crate::filesystem::start_for(&[mount.point()], &[])?;
    mount.ext4_error()?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    let place = tempfile::tempdir()?;
    let point = place.path().to_str().context("a strange path")?;
    let name = format!("/dev/{}", disk.name());
    for _ in 0..3 {
        run("mount", &["-t", "tmpfs", &name, point])?;
        std::thread::sleep(Duration::from_millis(500));
        run("umount", &[point])?;
    }
    settle(&agent)?;
    let condition = agent.condition("ReadonlyFilesystem")?;
    ensure!(condition["status"] == "True", "{condition}");
    drop(mount);
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")
}
