//! Which tasks sleep uninterruptibly, since when, and which of them hang. Pure: the caller passes the
//! time and the tasks that it found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How many sleeping tasks are remembered. If there are more, they are counted, and the node is sick
/// anyway.
const MAX_SLEEPERS: usize = 1024;

/// A task in uninterruptible sleep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SleepingTask {
    /// The thread's id, in the initial pid namespace.
    pub(super) pid: u32,
    /// When it started, in hundredths of a second since boot: as `/proc/PID/stat` has it.
    pub(super) start: u64,
    /// How often it was switched out. This stays the same as long as the task sleeps.
    pub(super) switches: u64,
    /// Its name.
    pub(super) comm: String,
}

/// The sleeping tasks.
#[derive(Debug)]
pub(super) struct TaskTable {
    threshold: Duration,
    sleepers: BTreeMap<u32, TrackedTask>,
}

#[derive(Debug)]
struct TrackedTask {
    sleeper: SleepingTask,
    /// When it was first seen asleep; it may have been for longer.
    since: Instant,
    hangs: bool,
    /// When the kernel last reported it.
    reported: Instant,
}

/// What a scan of the sleeping tasks has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TaskChanges {
    /// Tasks that are newly found to hang, and for how long they have slept at least.
    pub(super) hung: Vec<(SleepingTask, Duration)>,
    /// Numbers of tasks that do not hang any more.
    pub(super) recovered: Vec<u32>,
    /// How many sleepers there was no room for.
    pub(super) refused: u64,
}

impl SleepingTask {
    /// Identifies this sleep of this task.
    pub(super) fn identity(&self) -> (u32, u64, u64) {
        (self.pid, self.start, self.switches)
    }
}

impl TaskTable {
    /// A task hangs when it has slept for `threshold` without waking once.
    pub(super) fn new(threshold: Duration) -> Self {
        Self {
            threshold,
            sleepers: BTreeMap::new(),
        }
    }

    /// Whether any task hangs.
    pub(super) fn any_hangs(&self) -> bool {
        self.sleepers.values().any(|entry| entry.hangs)
    }

    /// Whether a task has slept since `then`, or for longer, and it is not known yet whether it hangs.
    pub(super) fn is_undecided(&self, then: Instant) -> bool {
        let undecided = |entry: &TrackedTask| !entry.hangs && entry.since <= then;
        self.sleepers.values().any(undecided)
    }

    /// The tasks that hang.
    pub(super) fn hanging(&self) -> impl Iterator<Item = &SleepingTask> {
        let hanging = self.sleepers.values().filter(|entry| entry.hangs);
        hanging.map(|entry| &entry.sleeper)
    }

    /// Adds a task that an earlier agent has reported as hung. False if there is no room.
    pub(super) fn resume(&mut self, sleeper: &SleepingTask, now: Instant) -> bool {
        self.insert(sleeper, now, true)
    }

    /// Handles a scan: all tasks that sleep at `now`.
    pub(super) fn saw_all(&mut self, found: Vec<SleepingTask>, now: Instant) -> TaskChanges {
        let asleep: BTreeSet<_> = found.iter().map(SleepingTask::identity).collect();
        let mut changes = TaskChanges::default();
        self.sleepers.retain(|pid, entry| {
            let sleeps_on = asleep.contains(&entry.sleeper.identity());
            if entry.hangs && !sleeps_on {
                changes.recovered.push(*pid);
            }
            sleeps_on
        });
        for sleeper in found {
            // A new thread sleeps until it is woken for the first time; it does not hang.
            if sleeper.switches == 0 {
                continue;
            }
            match self.sleepers.get_mut(&sleeper.pid) {
                Some(entry) => {
                    let asleep = now.duration_since(entry.since);
                    if !entry.hangs && asleep >= self.threshold {
                        entry.hangs = true;
                        changes.hung.push((sleeper, asleep));
                    }
                }
                None => {
                    if !self.insert(&sleeper, now, false) {
                        changes.refused += 1;
                    }
                }
            }
        }
        changes
    }

    /// Handles a check of the [hanging](Self::hanging) tasks: those that still sleep.
    pub(super) fn saw_hanging(&mut self, found: &[SleepingTask]) -> Vec<u32> {
        let asleep: BTreeSet<_> = found.iter().map(SleepingTask::identity).collect();
        let recovered = self.sleepers.extract_if(.., |_, entry| {
            entry.hangs && !asleep.contains(&entry.sleeper.identity())
        });
        recovered.map(|(pid, _)| pid).collect()
    }

    /// Removes the tasks that the kernel has not reported for `patience`: they do not hang any more.
    pub(super) fn silent(&mut self, patience: Duration, now: Instant) -> Vec<u32> {
        let recovered = self.sleepers.extract_if(.., |_, entry| {
            entry.hangs && now.duration_since(entry.reported) > patience
        });
        recovered.map(|(pid, _)| pid).collect()
    }

    /// Handles the kernel's report that a task hangs.
    pub(super) fn reported(&mut self, sleeper: SleepingTask, now: Instant) -> TaskChanges {
        let mut changes = TaskChanges::default();
        let known = self.sleepers.get_mut(&sleeper.pid);
        if let Some(entry) = known {
            let same = entry.sleeper.identity() == sleeper.identity();
            let hung = entry.hangs;
            if same {
                entry.hangs = true;
                entry.reported = now;
                if !hung {
                    let asleep = now.duration_since(entry.since);
                    changes.hung.push((sleeper, asleep));
                }
                return changes;
            }
            // It woke and sleeps again, or another task has its number.
            if hung {
                changes.recovered.push(sleeper.pid);
            }
            self.sleepers.remove(&sleeper.pid);
        }
        if self.insert(&sleeper, now, true) {
            changes.hung.push((sleeper, Duration::ZERO));
        } else {
            changes.refused = 1;
        }
        changes
    }

    fn insert(&mut self, sleeper: &SleepingTask, now: Instant, hangs: bool) -> bool {
        if self.sleepers.len() >= MAX_SLEEPERS {
            return false;
        }
        let entry = TrackedTask {
            sleeper: sleeper.clone(),
            since: now,
            hangs,
            reported: now,
        };
        self.sleepers.insert(sleeper.pid, entry);
        true
    }
}

#[cfg(test)]
mod tests;
