//! What a hung task's report says, and what `/proc` knows of it while it lives.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::kernel_text::hung_task::blocked;
use crate::monitor::ebpf::task::place;

/// Begins as the kernel's line, so that people recognise it.
pub(super) fn message(
    pid: u32,
    comm: &str,
    asleep: Duration,
    waits: Option<String>,
    path: &str,
) -> String {
    let waits = waits.map(|function| format!(", waiting in {function}"));
    format!(
        "{}{}{}",
        blocked(comm, pid, asleep),
        waits.unwrap_or_default(),
        place(path),
    )
}

/// The function of the kernel that the task sleeps in; for the privileged.
pub(super) fn wait_channel(proc: &Path, pid: u32) -> Option<String> {
    let function = fs::read_to_string(proc.join(pid.to_string()).join("wchan")).ok()?;
    (!function.is_empty() && function != "0").then_some(function)
}

/// The path of a living task's cgroup: that of the memory controller or else of cgroup v2.
pub(super) fn cgroup_of(proc: &Path, pid: u32) -> String {
    let file = proc.join(pid.to_string()).join("cgroup");
    let lines = fs::read_to_string(file).unwrap_or_default();
    let mut path = "";
    for line in lines.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        match (parts.next(), parts.next()) {
            (Some(controllers), Some(of)) if controllers.split(',').any(|c| c == "memory") => {
                return of.to_owned();
            }
            (Some(""), Some(of)) => path = of,
            _ => {}
        }
    }
    path.to_owned()
}

/// How long the kernel's detector lets a task sleep.
pub(super) fn kernel_timeout(proc: &Path) -> Duration {
    seconds(proc, "hung_task_timeout_secs")
}

/// How long the kernel's detector may be silent about a task that still hangs: it tells at every
/// check, and may be late once.
pub(super) fn silence(proc: &Path) -> Duration {
    let pause = seconds(proc, "hung_task_check_interval_secs");
    let timeout = kernel_timeout(proc);
    // Zero means: as often as the timeout.
    let pause = if pause.is_zero() {
        timeout
    } else {
        pause.min(timeout)
    };
    pause * 2 + Duration::from_secs(1)
}

fn seconds(proc: &Path, setting: &str) -> Duration {
    let text = fs::read_to_string(proc.join("sys/kernel").join(setting));
    let seconds = text.ok().and_then(|text| text.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn messages_begin_as_the_kernels() {
        let asleep = Duration::from_millis(32_900);
        let waits = Some("rpc_wait_bit_killable".to_owned());
        let whole = message(4711, "cp", asleep, waits, "/user.slice");
        expect!["task cp:4711 blocked for more than 32 seconds, waiting in rpc_wait_bit_killable, cgroup /user.slice"].assert_eq(&whole);
        expect!["task kworker/0:1:7 blocked for more than 32 seconds"].assert_eq(&message(
            7,
            "kworker/0:1",
            asleep,
            None,
            "",
        ));
    }

    #[test]
    fn the_memory_controllers_cgroup_is_told() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("7")).unwrap();
        let write = |text: &str| fs::write(proc.path().join("7/cgroup"), text).unwrap();
        assert_eq!(cgroup_of(proc.path(), 7), "");
        write("0::/user.slice/a:b\n");
        assert_eq!(cgroup_of(proc.path(), 7), "/user.slice/a:b");
        write("9:name=systemd:/s\n4:cpu,memory:/m\n0::/unified\n");
        assert_eq!(cgroup_of(proc.path(), 7), "/m");
    }
}
