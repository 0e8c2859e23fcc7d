//! Probe `hung_task`: tasks in uninterruptible sleep that do not wake.
//!
//! From the tracepoint `sched:sched_process_hang`, which khungtaskd passes at every check for every
//! such task, however many it has printed; and from looks at all tasks, which see what khungtaskd
//! leaves out (tasks that SIGKILL could wake, as on a dead NFS server) and see it sooner. The looks
//! go through a task iterator in the kernel (5.8), or through `/proc`.
//!
//! A task has recovered when it wakes, be it only to sleep again, or is gone.

mod look;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use npd_ebpf::{HungTask, id};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use self::table::{Changes, Sleeper, Table};
use super::load::Shared;
use super::probe::{Probe, Program, Record, Sighting, Watch, text};
use super::task::{cgroup_path, place};
use super::truth::{Truth, hung_tasks};
use crate::cgroup::PodNames;
use crate::monitor::Task;
use crate::problem::{Forever, Subject, SubjectKind};

/// The probe.
pub(super) const PROBE: Probe = Probe {
    name: "hung_task",
    kind: SubjectKind::Task,
    programs: &[Program {
        name: "hung_task",
        tracepoint: "sched_process_hang",
        record: id::HUNG_TASK,
    }],
    run,
};

/// How often the tasks that hang are looked at, so that their recovery shows within two seconds.
const PACE_HANGING: Duration = Duration::from_secs(1);

/// How many looks at all tasks there are within the threshold.
const LOOKS: u32 = 4;

/// A walk through `/proc` is followed by a pause of so many times its own length: a node with many
/// threads is looked at less often.
const REST: u32 = 1000;

/// How often the kernel's counter is read.
const PACE_COUNTER: Duration = Duration::from_secs(30);

fn run(watch: Watch) -> Task<'static> {
    Box::pin(watch_tasks(watch))
}

async fn watch_tasks(mut watch: Watch) -> Forever {
    let mut tasks = Tasks::new(&watch);
    tasks.say_how(&watch).await?;
    loop {
        tokio::select! {
            record = watch.records.recv() => {
                let record = record.context("waiting for records, which have ended")?;
                tasks.take(&watch, &record).await?;
            }
            attached = watch.attached.changed() => {
                attached.context("waiting for programs to be attached, which has ended")?;
                tasks.say_how(&watch).await?;
            }
            () = sleep_until(tasks.next_due()) => tasks.look(&watch).await?,
        }
    }
}

struct Tasks {
    proc: PathBuf,
    table: Table,
    names: PodNames,
    /// The task iterator, or why there is none.
    iterator: Result<Shared, String>,
    pace: Duration,
    /// When all tasks are looked at next, and when those that hang.
    due: Instant,
    due_hanging: Instant,
    truth: Truth,
    due_counter: Instant,
}

impl Tasks {
    fn new(watch: &Watch) -> Self {
        let roots = &watch.reporter.node.roots;
        let threshold = watch.settings.hung_task_threshold;
        let now = Instant::now();
        Self {
            proc: roots.proc.clone(),
            table: Table::new(threshold),
            names: PodNames::new(&roots.log),
            iterator: iterator(watch.kernel.as_ref()),
            pace: (threshold / LOOKS).max(PACE_HANGING),
            due: now,
            due_hanging: now,
            truth: Truth::from(hung_tasks(&roots.proc)),
            due_counter: now,
        }
    }

    async fn say_how(&self, watch: &Watch) -> anyhow::Result<()> {
        let refused = watch.refusals();
        let backend = match (&refused, &self.iterator) {
            (None, _) => "raw_tracepoint",
            (Some(_), Ok(_)) => "iterator",
            (Some(_), Err(_)) => "poll",
        };
        let no_iterator = self.iterator.as_ref().err();
        let no_iterator = no_iterator.map(|reason| format!("no task iterator: {reason}"));
        let reasons: Vec<String> = refused.into_iter().chain(no_iterator).collect();
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        watch.seen_by(backend, reason);
        watch.answers().await
    }

    fn next_due(&self) -> Instant {
        if self.table.any_hangs() {
            self.due.min(self.due_hanging)
        } else {
            self.due
        }
    }

    /// Takes in what khungtaskd told.
    async fn take(&mut self, watch: &Watch, record: &Record) -> anyhow::Result<()> {
        let Some(HungTask { task, switches, .. }) = record.decode() else {
            watch.malformed();
            return Ok(());
        };
        self.truth.saw(1);
        let sleeper = Sleeper {
            pid: task.pid,
            start: task.start / look::TICK,
            switches,
            comm: text(&task.comm),
        };
        let mut changes = self.table.told(sleeper, Instant::now().into_std());
        for (_, asleep) in &mut changes.hung {
            *asleep = kernel_timeout(&self.proc).max(*asleep);
        }
        self.due_hanging = Instant::now() + PACE_HANGING;
        self.report(watch, changes, Some(&cgroup_path(&task.cgroup)))
            .await
    }

    /// Looks at the tasks that are due.
    async fn look(&mut self, watch: &Watch) -> anyhow::Result<()> {
        let now = Instant::now();
        self.due_hanging = now + PACE_HANGING;
        let changes = match &self.iterator {
            // All tasks cost next to nothing.
            Ok(kernel) => match look::by_iterator(kernel) {
                Ok(found) => {
                    self.due = now + self.pace;
                    self.table.saw_all(found, now.into_std())
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(
                        error,
                        "Task iterator failed; walking through /proc from now on"
                    );
                    self.iterator = Err(error);
                    self.say_how(watch).await?;
                    return Ok(());
                }
            },
            Err(_) if self.due > now => Changes {
                recovered: self
                    .table
                    .saw_hanging(&look::these(&self.proc, self.table.hanging())),
                ..Changes::default()
            },
            Err(_) => {
                let proc = self.proc.clone();
                let found = spawn_blocking(move || look::by_proc(&proc)).await;
                self.due = Instant::now() + self.pace.max(now.elapsed() * REST);
                let found = found.context("walking through /proc")?;
                let found = found.unwrap_or_default();
                self.table.saw_all(found, now.into_std())
            }
        };
        if self.due_counter <= now {
            self.due_counter = now + PACE_COUNTER;
            watch.missed(self.truth.missed(hung_tasks(&self.proc)));
        }
        self.report(watch, changes, None).await
    }

    /// Reports what is news. `path` is the hung task's cgroup if that is known.
    async fn report(
        &mut self,
        watch: &Watch,
        changes: Changes,
        path: Option<&str>,
    ) -> anyhow::Result<()> {
        watch.lost(changes.refused);
        for pid in changes.recovered {
            watch.recovered(Subject::Task(pid)).await?;
        }
        for (Sleeper { pid, comm, .. }, asleep) in changes.hung {
            let path = match path {
                Some(path) => path.to_owned(),
                None => cgroup_of(&self.proc, pid),
            };
            let sighting = Sighting {
                subject: Subject::Task(pid),
                timestamp: Timestamp::now(),
                message: message(pid, &comm, asleep, wait_channel(&self.proc, pid), &path),
                pod: self.names.pod(&path).await,
            };
            watch
                .happened(&sighting, |rule| rule.is_about(&comm))
                .await?;
            watch.lasts(&sighting, |rule| rule.is_about(&comm)).await?;
        }
        Ok(())
    }
}

fn iterator(kernel: Option<&Shared>) -> Result<Shared, String> {
    let kernel = kernel.ok_or("the programs are not loaded")?;
    kernel.lock().iterator.clone().map(|()| kernel.clone())
}

/// Begins as the kernel's line, so that people recognise it.
fn message(pid: u32, comm: &str, asleep: Duration, waits: Option<String>, path: &str) -> String {
    let seconds = asleep.as_secs();
    let waits = waits.map(|function| format!(", waiting in {function}"));
    format!(
        "task {comm}:{pid} blocked for more than {seconds} seconds{}{}",
        waits.unwrap_or_default(),
        place(path),
    )
}

/// The function of the kernel that the task sleeps in; for the privileged.
fn wait_channel(proc: &Path, pid: u32) -> Option<String> {
    let function = fs::read_to_string(proc.join(pid.to_string()).join("wchan")).ok()?;
    (!function.is_empty() && function != "0").then_some(function)
}

/// The path of a living task's cgroup: that of the memory controller or else of cgroup v2.
fn cgroup_of(proc: &Path, pid: u32) -> String {
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
fn kernel_timeout(proc: &Path) -> Duration {
    let timeout = fs::read_to_string(proc.join("sys/kernel/hung_task_timeout_secs"));
    let seconds = timeout.ok().and_then(|text| text.trim().parse().ok());
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
