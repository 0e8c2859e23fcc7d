//! Probe `oom`: every process that the kernel kills to free memory, on the node or in a cgroup.
//!
//! The probe uses the tracepoint `oom:mark_victim` (4.14). It reports more than the kernel's log, has no
//! rate limit, and is hit while the victim still exists. Without the tracepoint, the probe uses the
//! kernel's log; without the log, the kernel's counter.

mod layout;
mod message;
mod victims;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use npd_ebpf::oom::{OomRecord, group};
use tokio::time::{Instant, sleep_until};

use self::layout::{OOM, PID};
use self::message::message;
use self::victims::Victims;
use super::layout::{CGROUP, TASK};
use super::probe::{self, Observation, Probe, ProbeContext, ProbeRecord, Selector};
use super::program::KernelProgram;
use super::reconcile::Reconciler;
use super::task::cgroup_path;
use crate::kernel_text;
use crate::monitor::Task;
use crate::node::pod_names::PodNames;
use crate::node::proc::oom_kills;
use crate::problem::Forever;

/// The probe.
pub(super) const PROBE: Probe = Probe {
    name: "oom",
    lasts: false,
    text: Some(kernel_text::oom::WORDING),
    selectors: &[Selector::Comm],
    programs: &[KernelProgram {
        name: "oom",
        tracepoint: "mark_victim",
        record: OomRecord::ID,
        needs: &[TASK, PID],
        uses: &[CGROUP, OOM],
        instead_of: None,
        module: None,
    }],
    counts: None,
    iterator: None,
    run,
};

/// How often the kernel's counter is read while nothing happens.
const PACE: Duration = Duration::from_mins(1);
/// The same after a kill.
const PACE_BUSY: Duration = Duration::from_secs(5);
/// The same while there is no tracepoint.
const PACE_FALLBACK: Duration = Duration::from_secs(1);

fn run(watch: ProbeContext) -> Task<'static> {
    Box::pin(watch_kills(watch))
}

async fn watch_kills(mut watch: ProbeContext) -> Forever {
    let mut kills = Kills::new(&watch);
    kills.report_backend(&watch).await?;
    loop {
        tokio::select! {
            record = watch.records.recv() => {
                let record = record.context("waiting for records, which have ended")?;
                kills.take(&watch, &record).await?;
            }
            attached = watch.attached.changed() => {
                attached.context("waiting for programs to be attached, which has ended")?;
                kills.report_backend(&watch).await?;
            }
            () = sleep_until(kills.due) => kills.count(&watch).await?,
        }
    }
}

/// How kills are seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OomView {
    Tracepoint,
    Text,
    Counter,
    None,
}

struct Kills {
    proc: PathBuf,
    page_bytes: u64,
    names: PodNames,
    victims: Victims,
    view: Option<OomView>,
    reconciler: Reconciler,
    /// The value of the counter when it was last read.
    counter: Option<u64>,
    /// When it is read next.
    due: Instant,
}

impl Kills {
    fn new(watch: &ProbeContext) -> Self {
        let roots = &watch.reporter.node.roots;
        let counter = oom_kills(&roots.proc).ok().flatten();
        watch.missed(0);
        Self {
            proc: roots.proc.clone(),
            page_bytes: procfs::page_size(),
            names: PodNames::new(&roots.log, watch.reporter.threads.clone()),
            victims: Victims::default(),
            view: None,
            reconciler: Reconciler::from(counter),
            counter,
            due: Instant::now(),
        }
    }

    /// Handles a record of the tracepoint.
    async fn take(&mut self, watch: &ProbeContext, record: &ProbeRecord) -> anyhow::Result<()> {
        let Some(kill) = record.decode::<OomRecord>() else {
            watch.malformed();
            return Ok(());
        };
        self.due = self.due.min(Instant::now() + PACE_BUSY);
        if !self.victims.is_new(&kill) {
            return Ok(());
        }
        // The first victim of a cgroup is killed and counted a second time with the rest of it, but
        // marked only once.
        let counted = if kill.group == group::FIRST { 2 } else { 1 };
        self.reconciler.saw(counted);
        let path = cgroup_path(&kill.task.cgroup);
        let observation = Observation {
            repeated: self.victims.belongs_to_another(&kill),
            key: kill.task.pid.to_string(),
            timestamp: probe::timestamp(&kill.header),
            message: message(&kill, self.page_bytes),
            pod: self.names.pod(&path).await,
        };
        let comm = super::task::comm(&kill.task);
        watch
            .happened(&observation, |rule| rule.is_about(&comm))
            .await
    }

    /// Reads the kernel's counter.
    async fn count(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        let counter = oom_kills(&self.proc).ok().flatten();
        let before = std::mem::replace(&mut self.counter, counter);
        let missed = self.reconciler.missed(counter);
        match self.view {
            Some(OomView::Tracepoint) => watch.missed(missed),
            Some(OomView::Counter) => {
                let total = counter.unwrap_or(0);
                let news = total.saturating_sub(before.unwrap_or(0));
                self.report_count(watch, total, news).await?;
            }
            _ => {}
        }
        // The kernel's log may have come or gone.
        self.report_backend(watch).await
    }

    /// Reports `kills`, the last of `total`.
    async fn report_count(
        &self,
        watch: &ProbeContext,
        total: u64,
        kills: u64,
    ) -> anyhow::Result<()> {
        if kills == 0 {
            return Ok(());
        }
        let message = format!(
            "Out of memory: Killed {kills} processes within a second; \
             neither a probe nor the kernel's log says which"
        );
        let observation = Observation {
            repeated: false,
            key: format!("up to {total}"),
            timestamp: Timestamp::now(),
            message,
            pod: None,
        };
        watch
            .happened(&observation, |rule| rule.comm.is_none())
            .await
    }

    /// Finds out which backend sees kills now, and reports it if it has changed.
    async fn report_backend(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        let refused = watch.refusals();
        let view = if refused.is_none() {
            OomView::Tracepoint
        } else if watch.text_is_read() {
            OomView::Text
        } else if self.counter.is_some() {
            OomView::Counter
        } else {
            OomView::None
        };
        let pace = match view {
            OomView::Tracepoint => PACE,
            _ => PACE_FALLBACK,
        };
        self.due = Instant::now() + pace;
        if self.view.replace(view) == Some(view) {
            return Ok(());
        }
        let backend = match view {
            OomView::Tracepoint => "raw_tracepoint",
            OomView::Text => "kmsg",
            OomView::Counter => "counter",
            OomView::None => "none",
        };
        watch.set_backend(backend, refused);
        if view == OomView::Tracepoint {
            self.reconciler = Reconciler::from(self.counter);
            watch.answers().await?;
        }
        // A kill does not last, so no condition depends on earlier kills.
        match view {
            OomView::Tracepoint | OomView::Counter => watch.checked().await,
            OomView::Text | OomView::None => watch.cannot_check().await,
        }
    }
}

#[cfg(test)]
mod tests;
