//! `kernel/hung_task.c`: `INFO: task jbd2/vda1-8:123 blocked for more than 120 seconds.`, the same
//! from 4.19 to 6.18.

use std::time::Duration;

use super::Wording;

/// A task is known by its thread's number in the initial pid namespace.
pub const WORDING: Wording = Wording {
    probe: "hung_task",
    key,
    once: false,
    cgroup: None,
    fs_types: None,
};

/// The name may hold anything, so the number is what follows its last colon.
fn key(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("task ")?;
    let (task, _) = rest.split_once(" blocked for more than ")?;
    let (_, pid) = task.rsplit_once(':')?;
    let pid: u32 = pid.parse().ok()?;
    Some(pid.to_string())
}

/// The kernel's line about a task that has not run for this long, without its `INFO: `.
pub fn blocked(comm: &str, pid: u32, asleep: Duration) -> String {
    let seconds = asleep.as_secs();
    format!("task {comm}:{pid} blocked for more than {seconds} seconds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_text::{check, subject};

    #[test]
    fn a_hung_task_is_about_its_thread() {
        check(&[
            (
                "INFO: task touch:311 blocked for more than 4 seconds.",
                Some("hung_task 311"),
            ),
            (
                "INFO: task jbd2/vda1-8:12 blocked for more than 122 seconds.",
                Some("hung_task 12"),
            ),
            (
                "INFO: task a task: b:5 blocked for more than 122 seconds.",
                Some("hung_task 5"),
            ),
            ("INFO: task x:yz blocked for more than 1 seconds.", None),
        ]);
    }

    #[test]
    fn our_line_is_understood_as_the_kernels() {
        let line = blocked("kworker/0:1", 7, Duration::from_secs(30));
        assert_eq!(subject(&line).unwrap().to_string(), "hung_task 7");
    }
}
