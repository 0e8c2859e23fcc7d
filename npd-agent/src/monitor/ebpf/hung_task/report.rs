//! Reports hung tasks, with what they wait for and who else does.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::message::{self, HungTask};
use super::owner;
use super::table::SleepingTask;
use super::view::{TaskReader, Wait};
use super::wedge::{StuckTask, Wedges};
use crate::monitor::ebpf::probe::{Observation, ProbeContext, ProbeRule};
use crate::node::Roots;
use crate::node::pod_names::PodNames;
use crate::threads::ThreadPool;

/// Reports of hung tasks.
pub(super) struct HungTaskReports {
    names: PodNames,
    proc: PathBuf,
    reader: TaskReader,
    wedges: Wedges,
}

impl HungTaskReports {
    pub(super) fn new(roots: &Roots, threads: &ThreadPool) -> Self {
        Self {
            names: PodNames::new(&roots.log, threads.clone()),
            proc: roots.proc.clone(),
            reader: TaskReader::new(roots, threads.clone()),
            wedges: Wedges::default(),
        }
    }

    /// These tasks hang, for so long at least. `path` is their cgroup if that is known, and `visible` whether
    /// `/proc` shows them.
    pub(super) async fn hung(
        &mut self,
        watch: &ProbeContext,
        tasks: Vec<(SleepingTask, Duration)>,
        path: Option<&str>,
        visible: bool,
    ) -> anyhow::Result<()> {
        // All are seen before the first is reported, so that it is reported with the others.
        let mut seen = Vec::new();
        for (sleeper, asleep) in tasks {
            seen.push(self.look(watch, sleeper, asleep, path, visible).await);
        }
        for hung in seen {
            let concerned = |rule: &ProbeRule| is_about(rule, &hung);
            let mut observation = self.observation(&hung);
            observation.repeated = !self.wedges.is_news(hung.sleeper.pid);
            watch.happened(&observation, concerned).await?;
            observation.repeated = false;
            watch.lasts(&observation, concerned).await?;
        }
        Ok(())
    }

    /// An earlier agent has reported this task, and it still hangs.
    pub(super) async fn resume(
        &mut self,
        watch: &ProbeContext,
        sleeper: SleepingTask,
        visible: bool,
    ) -> anyhow::Result<()> {
        let asleep = watch.settings.hung_task_threshold;
        let hung = self.look(watch, sleeper, asleep, None, visible).await;
        // Tasks that come later are reported with it.
        self.wedges.is_news(hung.sleeper.pid);
        let concerned = |rule: &ProbeRule| is_about(rule, &hung);
        watch.resumes(&self.observation(&hung), concerned).await
    }

    /// The task `pid` does not hang any more.
    pub(super) async fn recovered(&mut self, watch: &ProbeContext, pid: u32) -> anyhow::Result<()> {
        self.wedges.remove(pid);
        watch.recovered(pid).await
    }

    async fn look(
        &mut self,
        watch: &ProbeContext,
        sleeper: SleepingTask,
        asleep: Duration,
        path: Option<&str>,
        visible: bool,
    ) -> HungTask {
        let path = match path {
            Some(path) => path.to_owned(),
            None => self.reader.cgroup(sleeper.pid).await,
        };
        let wait = if visible {
            self.reader.wait(sleeper.pid).await
        } else {
            Wait::default()
        };
        let pod = self.names.pod(&path).await;
        if let Some(cause) = wait.cause() {
            let temporary = watch
                .rules
                .iter()
                .filter(|rule| rule.problem.condition.is_none());
            let rules = temporary.map(|rule| rule.is_about(&sleeper.comm));
            let task = StuckTask {
                cause,
                pod: pod.as_ref().map(message::pod_name),
                rules: rules.collect(),
            };
            self.wedges.add(sleeper.pid, task);
        }
        let proc = visible.then_some(&*self.proc);
        HungTask {
            is_own: owner::may_be_the_nodes(proc, sleeper.pid, &path),
            sleeper,
            asleep,
            path,
            wait,
            pod,
        }
    }

    fn observation(&self, hung: &HungTask) -> Observation {
        let pid = hung.sleeper.pid;
        Observation {
            repeated: false,
            key: pid.to_string(),
            timestamp: Timestamp::now(),
            message: message::message(hung, &self.wedges.others(pid)),
            pod: hung.pod.clone(),
        }
    }
}

/// Whether a rule is about this task. A condition for tasks with some name is about the node's own.
fn is_about(rule: &ProbeRule, hung: &HungTask) -> bool {
    let needs_own = rule.comm.is_some() && rule.problem.condition.is_some();
    rule.is_about(&hung.sleeper.comm) && (hung.is_own || !needs_own)
}
