//! Tasks that hang.

use std::time::Duration;

use anyhow::ensure;
use npd_tests::agent::PATIENCE;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::hang::{HungTask, ImpatientDetector};

use crate::{count_events, start, wait_for_condition};

const COUNTER: &str = r#"problem_counter{reason="TaskHung"}"#;

/// A hung task is reported once, also when the kernel no longer prints them, and another one that waits for
/// the same thing is counted. A task that the node depends on sets the condition until it runs again.
pub(crate) fn a_hung_task_is_one_event_until_it_runs_again() -> anyhow::Result<()> {
    let _detector = ImpatientDetector::new(1)?;
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let agent = start()?;
    let hung_before = agent.metric(COUNTER)?;
    let (important, unimportant);
    {
        let _frozen = mount.freeze()?;
        important = HungTask::start(&mount, "containerd-test")?;
        let pid = important.pid().to_string();
        agent.wait_for("the first task", PATIENCE, |line| {
            line.is_event("TaskHung", &pid)
        })?;
        wait_for_condition(&agent, "KernelDeadlock", "True")?;
        // The kernel has printed its only warning.
        unimportant = HungTask::start(&mount, "npd-test-second")?;
        agent.wait_until("the second task to be counted", PATIENCE, || {
            Ok((agent.metric(COUNTER)? >= hung_before + 3).then_some(()))
        })?;
        // The detector reports both each second.
        std::thread::sleep(Duration::from_secs(5));
        // One for the task and one for the condition.
        ensure!(count_events(&agent, "TaskHung", &important.pid().to_string())? == 2);
        ensure!(count_events(&agent, "TaskHung", &unimportant.pid().to_string())? == 0);
    }
    wait_for_condition(&agent, "KernelDeadlock", "False")
}
