//! Recognises victims that were already reported.

use std::collections::VecDeque;
use std::time::Duration;

use npd_ebpf::oom::{OomRecord, group};

/// How many victims are remembered.
const REMEMBERED: usize = 256;

/// How long a process takes to die. No other has its number within that time.
const DEATH: Duration = Duration::from_secs(10);

/// The latest victims.
#[derive(Debug, Default)]
pub(super) struct Victims {
    dying: VecDeque<(u32, Duration)>,
    /// When the first process of a cgroup was killed that dies together.
    first: Option<Duration>,
}

impl Victims {
    /// Whether this is a process that has not been seen dying.
    ///
    /// If several threads of a victim need memory to die, the kernel marks each of them. Before 5.13, a
    /// program cannot distinguish this from a kill.
    pub(super) fn is_new(&mut self, kill: &OomRecord) -> bool {
        let task = &kill.task;
        // Without its task, only the thread's number is known.
        let victim = if task.tgid == 0 { task.pid } else { task.tgid };
        let time = Duration::from_nanos(kill.header.time);
        self.dying
            .retain(|(_, killed)| time.saturating_sub(*killed) < DEATH);
        if self.dying.iter().any(|(known, _)| *known == victim) {
            return false;
        }
        if self.dying.len() == REMEMBERED {
            self.dying.pop_front();
        }
        self.dying.push_back((victim, time));
        true
    }

    /// Whether it is killed only because another process of its cgroup was, and that one has been seen
    /// (`memory.oom.group`). The kernel kills one after the other.
    pub(super) fn belongs_to_another(&mut self, kill: &OomRecord) -> bool {
        let time = Duration::from_nanos(kill.header.time);
        match kill.group {
            group::FIRST => {
                self.first = Some(time);
                false
            }
            group::MEMBER => self
                .first
                .is_some_and(|first| time.saturating_sub(first) < DEATH),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn kill(tgid: u32, pid: u32, seconds: u64) -> OomRecord {
        let mut kill = OomRecord::new_zeroed();
        kill.task.tgid = tgid;
        kill.task.pid = pid;
        kill.header.time = seconds * 1_000_000_000;
        kill
    }

    #[test]
    fn threads_of_one_process_are_one_victim() {
        let mut victims = Victims::default();
        assert!(victims.is_new(&kill(10, 10, 100)));
        assert!(!victims.is_new(&kill(10, 11, 100)));
        assert!(!victims.is_new(&kill(10, 12, 109)));
        assert!(victims.is_new(&kill(20, 20, 109)));
        assert!(
            victims.is_new(&kill(10, 10, 111)),
            "a new process with an old number"
        );
        assert!(
            victims.is_new(&kill(0, 30, 111)),
            "only the thread is known"
        );
        assert!(!victims.is_new(&kill(0, 30, 111)));
    }

    #[test]
    fn a_cgroup_that_dies_together_is_one_incident() {
        let of_group = |pid, group, seconds| OomRecord {
            group,
            ..kill(pid, pid, seconds)
        };
        let mut victims = Victims::default();
        let mut belongs =
            |pid, group, seconds| victims.belongs_to_another(&of_group(pid, group, seconds));
        assert!(!belongs(1, group::MEMBER, 100), "the first was not seen");
        assert!(!belongs(2, group::FIRST, 200));
        assert!(belongs(3, group::MEMBER, 200));
        assert!(belongs(4, group::MEMBER, 201));
        assert!(!belongs(5, group::ALONE, 201));
        assert!(
            !belongs(6, group::MEMBER, 300),
            "the first of these was not seen"
        );
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut victims = Victims::default();
        for pid in 1..10_000 {
            assert!(victims.is_new(&kill(pid, pid, 1)));
        }
        assert_eq!(victims.dying.len(), REMEMBERED);
    }
}
