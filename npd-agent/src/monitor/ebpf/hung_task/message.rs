//! The message about a hung task, and what `/proc` shows about it.

use std::path::Path;
use std::time::Duration;

use super::table::SleepingTask;
use super::view::Wait;
use super::wait_point::WaitPoint;
use crate::kernel_text::hung_task::blocked;
use crate::monitor::ebpf::task::place;
use crate::node::proc::sysctl;
use crate::problem::Pod;

/// A hung task, and what can be seen of it.
pub(super) struct HungTask {
    pub(super) sleeper: SleepingTask,
    /// How long it has slept at least.
    pub(super) asleep: Duration,
    /// Whether the node may depend on it.
    pub(super) is_own: bool,
    /// The path of its cgroup; empty if it is unknown.
    pub(super) path: String,
    pub(super) wait: Wait,
    pub(super) pod: Option<Pod>,
}

/// The message about a hung task, with what is said of `others`. It begins like the kernel's line, so that
/// people recognise it.
pub(super) fn message(hung: &HungTask, others: &str) -> String {
    let HungTask {
        sleeper,
        asleep,
        path,
        wait,
        ..
    } = hung;
    format!(
        "{}{}{}{others}",
        blocked(&sleeper.comm, sleeper.pid, *asleep),
        waits(wait),
        place(path),
    )
}

/// What it waits for, as far as that is known.
fn waits(wait: &Wait) -> String {
    let mut text = String::new();
    if let Some(WaitPoint { what, function }) = &wait.point {
        let what = what.as_ref().map(|what| format!("for {what} "));
        text = format!(", waiting {}in {function}", what.unwrap_or_default());
    }
    if let Some(on) = &wait.on {
        text += ", on ";
        text += &on.text;
    }
    text
}

/// How messages name a pod.
pub(super) fn pod_name(pod: &Pod) -> String {
    match &pod.name {
        Some(name) => format!("{}/{}", name.namespace, name.name),
        None => pod.uid.clone(),
    }
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
    use expect_test::{Expect, expect};

    use super::super::target::WaitTarget;
    use super::*;

    #[track_caller]
    fn check(comm: &str, wait: Wait, path: &str, others: &str, expect: &Expect) {
        let hung = HungTask {
            sleeper: SleepingTask {
                pid: 4711,
                start: 0,
                switches: 0,
                comm: comm.to_owned(),
            },
            asleep: Duration::from_millis(32_900),
            is_own: true,
            path: path.to_owned(),
            wait,
            pod: None,
        };
        expect.assert_eq(&message(&hung, others));
    }

    fn point(what: Option<&str>, function: &str) -> WaitPoint {
        WaitPoint {
            what: what.map(str::to_owned),
            function: function.to_owned(),
        }
    }

    #[test]
    fn messages_begin_as_the_kernels_and_say_what_it_waits_for() {
        let wait = |point, on: Option<&str>| Wait {
            point,
            on: on.map(|text| WaitTarget {
                key: String::new(),
                text: text.to_owned(),
            }),
        };
        let nfs = point(Some("an answer of the NFS server"), "rpc_wait_bit_killable");
        let server = Some("10.0.0.7:/data (nfs4 on /mnt)");
        let others = "; 1 other task waits for the same thing";
        check(
            "cp",
            wait(Some(nfs), server),
            "/user.slice",
            others,
            &expect![
                "task cp:4711 blocked for more than 32 seconds, waiting for an answer of the NFS server in rpc_wait_bit_killable, on 10.0.0.7:/data (nfs4 on /mnt), cgroup /user.slice; 1 other task waits for the same thing"
            ],
        );
        check(
            "cp",
            wait(Some(point(None, "do_exit")), None),
            "",
            "",
            &expect!["task cp:4711 blocked for more than 32 seconds, waiting in do_exit"],
        );
        check(
            "kworker/0:1",
            wait(None, Some("sda")),
            "",
            "",
            &expect!["task kworker/0:1:4711 blocked for more than 32 seconds, on sda"],
        );
        check(
            "kworker/0:1",
            Wait::default(),
            "",
            "",
            &expect!["task kworker/0:1:4711 blocked for more than 32 seconds"],
        );
    }
}
