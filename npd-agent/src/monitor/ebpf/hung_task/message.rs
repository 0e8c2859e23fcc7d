//! The message about a hung task, and what `/proc` shows about it.

use std::path::Path;
use std::time::Duration;

use crate::kernel_text::hung_task::blocked;
use crate::monitor::ebpf::task::place;
use crate::node::files::read;
use crate::node::proc::sysctl;

/// The message begins like the kernel's line, so that people recognise it.
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

/// The function of the kernel that the task sleeps in. Only privileged processes see it.
pub(super) fn wait_channel(proc: &Path, pid: u32) -> Option<String> {
    let function = read(&proc.join(pid.to_string()).join("wchan")).ok()?;
    (!function.is_empty() && function != "0").then_some(function)
}

/// How long the kernel's detector lets a task sleep.
pub(super) fn kernel_timeout(proc: &Path) -> Duration {
    seconds(proc, "hung_task_timeout_secs")
}

/// How long the kernel's detector may be silent about a task that still hangs: it reports the task at
/// every check, and may be late once.
pub(super) fn silence(proc: &Path) -> Duration {
    let pause = seconds(proc, "hung_task_check_interval_secs");
    let timeout = kernel_timeout(proc);
    // Zero means that the interval is the timeout.
    let pause = if pause.is_zero() {
        timeout
    } else {
        pause.min(timeout)
    };
    pause * 2 + Duration::from_secs(1)
}

fn seconds(proc: &Path, setting: &str) -> Duration {
    Duration::from_secs(sysctl(proc, &format!("kernel/{setting}")).unwrap_or(0))
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
}
