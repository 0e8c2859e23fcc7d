//! Probe `hung_task`: tasks in uninterruptible sleep that do not wake.
//!
//! There are two sources. The tracepoint `sched:sched_process_hang` is hit at every check of khungtaskd
//! for every such task, even if khungtaskd prints no more lines. And the probe scans all tasks, through
//! a task iterator in the kernel (5.8) or through `/proc`. The scan finds hung tasks earlier, and also
//! those that khungtaskd omits: tasks that SIGKILL could wake, for example on a dead NFS server.
//!
//! A task has recovered when it has woken, even if it sleeps again, or when it has ended. If the probe
//! cannot see the host's tasks, a task has recovered when khungtaskd no longer reports it.

mod message;
mod owner;
mod report;
mod scan;
mod table;
mod target;
mod view;
mod wait_point;
mod wedge;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use npd_ebpf::hung_task::HungTaskRecord;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use self::report::HungTaskReports;
use self::scan::TaskScan;
use self::table::{SleepingTask, TaskChanges, TaskTable};
use super::layout::{CGROUP, TASK};
use super::probe::{Probe, ProbeContext, ProbeRecord, Selector, text};
use super::program::{KernelProgram, TaskIterator};
use super::reconcile::Reconciler;
use super::task::cgroup_path;
use crate::kernel_text;
use crate::monitor::Task;
use crate::node::proc::hung_tasks;
use crate::problem::Forever;
use crate::threads::ThreadPool;

/// The probe.
pub(super) const PROBE: Probe = Probe {
    name: "hung_task",
    lasts: true,
    text: Some(kernel_text::hung_task::WORDING),
    selectors: &[Selector::Comm],
    programs: &[KernelProgram {
        name: "hung_task",
        tracepoint: "sched_process_hang",
        record: HungTaskRecord::ID,
        needs: &[TASK],
        uses: &[CGROUP],
        instead_of: None,
        module: None,
    }],
    counts: None,
    iterator: Some(TaskIterator {
        name: "sleepers",
        needs: &[TASK],
    }),
    run,
};

/// How often the hung tasks are checked, so that their recovery is seen within two seconds.
const PACE_HANGING: Duration = Duration::from_secs(1);

/// How many scans of all tasks there are within the threshold.
const SCANS: u32 = 4;

/// A scan of `/proc` is followed by a pause of this many times its own length. So a node with many
/// threads is scanned less often.
const REST: u32 = 1000;

/// How often the kernel's counter is read.
const PACE_COUNTER: Duration = Duration::from_secs(30);

fn run(watch: ProbeContext) -> Task<'static> {
    Box::pin(watch_tasks(watch))
}

async fn watch_tasks(mut watch: ProbeContext) -> Forever {
    let mut tasks = Tasks::new(&watch);
    tasks.resume(&watch).await?;
    tasks.report_backend(&watch).await?;
    loop {
        let due = tasks.next_due(&watch);
        tokio::select! {
            record = watch.records.recv() => {
                let record = record.context("waiting for records, which have ended")?;
                tasks.take(&watch, &record).await?;
            }
            attached = watch.attached.changed() => {
                attached.context("waiting for programs to be attached, which has ended")?;
                tasks.report_backend(&watch).await?;
            }
            () = sleep_until(due) => tasks.check(&watch).await?,
        }
    }
}

struct Tasks {
    proc: PathBuf,
    table: TaskTable,
    reports: HungTaskReports,
    threads: ThreadPool,
    scan: TaskScan,
    /// Why the probe has no better backend.
    drawback: Option<String>,
    pace: Duration,
    /// When all tasks are scanned next, and when those that hang are checked.
    due: Instant,
    due_hanging: Instant,
    reconciler: Reconciler,
    due_counter: Instant,
    /// When tasks were first scanned, and whether the first check was reported: it ends when it is
    /// known which of the tasks that slept then hang.
    began: Option<Instant>,
    checked: bool,
}

impl Tasks {
    fn new(watch: &ProbeContext) -> Self {
        let roots = &watch.reporter.node.roots;
        let threshold = watch.settings.hung_task_threshold;
        let now = Instant::now();
        let (scan, drawback) = TaskScan::best(&watch.walk, &roots.proc);
        watch.missed(0);
        Self {
            proc: roots.proc.clone(),
            table: TaskTable::new(threshold),
            reports: HungTaskReports::new(roots, &watch.reporter.threads),
            threads: watch.reporter.threads.clone(),
            scan,
            drawback,
            pace: (threshold / SCANS).max(PACE_HANGING),
            due: now,
            due_hanging: now,
            reconciler: Reconciler::from(hung_tasks(&roots.proc)),
            due_counter: now,
            began: None,
            checked: false,
        }
    }

    async fn report_backend(&self, watch: &ProbeContext) -> anyhow::Result<()> {
        let refused = watch.refusals();
        let backend = match (&refused, &self.scan) {
            (None, _) => "raw_tracepoint",
            (Some(_), TaskScan::Iterator(_)) => "iterator",
            (Some(_), TaskScan::Proc) => "poll",
            (Some(_), TaskScan::None) if watch.text_is_read() => "kmsg",
            (Some(_), TaskScan::None) => "none",
        };
        let reasons: Vec<String> = refused.into_iter().chain(self.drawback.clone()).collect();
        watch.set_backend(backend, (!reasons.is_empty()).then(|| reasons.join("; ")));
        if ["kmsg", "none"].contains(&backend) {
            return watch.cannot_check().await;
        }
        watch.answers().await
    }

    /// Continues with the tasks that an earlier agent has reported, and that still hang.
    async fn resume(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        let reported: Vec<SleepingTask> = watch.remembered().unwrap_or_default();
        let found = self
            .scan
            .these(&self.proc, reported.iter().map(|sleeper| sleeper.pid));
        let asleep: Option<BTreeSet<_>> =
            found.map(|found| found.iter().map(SleepingTask::identity).collect());
        for sleeper in reported {
            // A task that the probe cannot see hangs until khungtaskd no longer reports it.
            let hangs_on = |asleep: &BTreeSet<_>| asleep.contains(&sleeper.identity());
            let now = Instant::now().into_std();
            if asleep.as_ref().is_none_or(hangs_on) && self.table.resume(&sleeper, now) {
                self.reports
                    .resume(watch, sleeper, self.is_visible())
                    .await?;
            }
        }
        Ok(())
    }

    /// Whether `/proc` shows the tasks: in another pid namespace, the numbers belong to other tasks.
    fn is_visible(&self) -> bool {
        !matches!(self.scan, TaskScan::None)
    }

    fn next_due(&self, watch: &ProbeContext) -> Instant {
        if self.table.any_hangs() || !claimed(watch).is_empty() {
            self.due.min(self.due_hanging)
        } else {
            self.due
        }
    }

    /// Handles a report of khungtaskd.
    async fn take(&mut self, watch: &ProbeContext, record: &ProbeRecord) -> anyhow::Result<()> {
        let Some(HungTaskRecord { task, switches, .. }) = record.decode() else {
            watch.malformed();
            return Ok(());
        };
        self.reconciler.saw(1);
        let sleeper = SleepingTask {
            pid: task.pid,
            start: task.start / scan::TICK,
            switches,
            comm: text(&task.comm),
        };
        let now = Instant::now();
        if !self.table.any_hangs() {
            self.due_hanging = now + PACE_HANGING;
        }
        let mut changes = self.table.reported(sleeper, now.into_std());
        for (_, asleep) in &mut changes.hung {
            *asleep = message::kernel_timeout(&self.proc).max(*asleep);
        }
        self.report(watch, changes, Some(&cgroup_path(&task.cgroup)))
            .await
    }

    /// Checks the tasks that are due.
    async fn check(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        let now = Instant::now();
        self.due_hanging = now + PACE_HANGING;
        if self.due_counter <= now {
            self.due_counter = now + PACE_COUNTER;
            watch.missed(self.reconciler.missed(hung_tasks(&self.proc)));
        }
        // With the iterator, a scan of all tasks costs almost nothing.
        let all = self.due <= now || matches!(self.scan, TaskScan::Iterator(_));
        let claimed = claimed(watch);
        let found = if all {
            self.scan.all(&self.proc, &self.threads).await
        } else {
            let hanging = self.table.hanging().map(|sleeper| sleeper.pid);
            Ok(self
                .scan
                .these(&self.proc, hanging.chain(claimed.iter().copied())))
        };
        if all {
            let rest = match self.scan {
                TaskScan::Proc => now.elapsed() * REST,
                _ => Duration::ZERO,
            };
            self.due = Instant::now() + self.pace.max(rest);
        }
        let began = *self.began.get_or_insert(now);
        let silent_until = match found {
            Ok(None) => Some(began + message::silence(&self.proc)),
            _ => None,
        };
        let changes = match found {
            Ok(Some(found)) => self.saw(all, found, &claimed, now),
            Ok(None) => TaskChanges {
                recovered: self
                    .table
                    .silent(message::silence(&self.proc), now.into_std()),
                ..TaskChanges::default()
            },
            Err(error) => {
                let reason = format!("{error:#}");
                warn!(reason, "Checking all tasks failed");
                (self.scan, self.drawback) = TaskScan::without_iterator(&self.proc, &reason);
                return self.report_backend(watch).await;
            }
        };
        self.report(watch, changes, None).await?;
        // A task that slept at the first scan may have hung for hours. It counts as hung after the
        // threshold, or when khungtaskd has had enough time to report it.
        let decided = match silent_until {
            Some(until) => until <= now,
            None => all && !self.table.is_undecided(began.into_std()),
        };
        if decided && !std::mem::replace(&mut self.checked, true) {
            watch.checked().await?;
        }
        Ok(())
    }

    fn saw(
        &mut self,
        all: bool,
        found: Vec<SleepingTask>,
        claimed: &BTreeSet<u32>,
        now: Instant,
    ) -> TaskChanges {
        let asleep: BTreeSet<u32> = found.iter().map(|sleeper| sleeper.pid).collect();
        let mut changes = if all {
            self.table.saw_all(found, now.into_std())
        } else {
            TaskChanges {
                recovered: self.table.saw_hanging(&found),
                ..TaskChanges::default()
            }
        };
        let awake = claimed.difference(&asleep);
        let news = awake.filter(|pid| !changes.recovered.contains(pid));
        let news: Vec<u32> = news.copied().collect();
        changes.recovered.extend(news);
        changes
    }

    /// Reports what has changed. `path` is the hung task's cgroup if that is known.
    async fn report(
        &mut self,
        watch: &ProbeContext,
        changes: TaskChanges,
        path: Option<&str>,
    ) -> anyhow::Result<()> {
        watch.lost(changes.refused);
        let news = !changes.hung.is_empty() || !changes.recovered.is_empty();
        for pid in changes.recovered {
            self.reports.recovered(watch, pid).await?;
        }
        let visible = self.is_visible();
        self.reports
            .hung(watch, changes.hung, path, visible)
            .await?;
        if news {
            let hanging: Vec<&SleepingTask> = self.table.hanging().collect();
            watch.remember(hanging).await?;
        }
        Ok(())
    }
}

/// The tasks that anyone claims to hang.
fn claimed(watch: &ProbeContext) -> BTreeSet<u32> {
    let keys = watch.claimed();
    keys.iter().filter_map(|key| key.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
