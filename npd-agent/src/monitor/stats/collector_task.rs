//! One collector at work, where it cannot hold up anything else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::metric::{Collect, Sample, WantedMetrics};
use crate::node::Roots;

/// How long a pass is waited for; it goes on without us.
const PATIENCE: Duration = Duration::from_secs(10);

/// A collector, and what became of its last pass.
pub(super) struct CollectorTask {
    /// What is collected, by the name of the section in the config file.
    pub(super) section: &'static str,
    /// The metrics that are wanted of it.
    pub(super) wanted: Arc<WantedMetrics>,
    state: CollectorState,
}

enum CollectorState {
    /// Ready for the next pass.
    Idle(Box<dyn Collect>),
    /// Still at the last pass, on a thread of its own.
    Running(JoinHandle<Ended>),
    /// Lost in a panic.
    Gone,
}

/// A collector that comes back, and what it saw.
type Ended = (Box<dyn Collect>, Sample);

impl CollectorTask {
    /// A lane with an idle collector.
    pub(super) fn new(
        section: &'static str,
        wanted: WantedMetrics,
        collector: Box<dyn Collect>,
    ) -> Self {
        Self {
            section,
            wanted: Arc::new(wanted),
            state: CollectorState::Idle(collector),
        }
    }

    /// Makes a pass, on a thread that has no one waiting behind it. The kernel answers for most
    /// files at once, but where it matters most it takes its time: for thousands of interrupts,
    /// mounts or interfaces, and for devices that are sick.
    pub(super) async fn collect(&mut self, roots: &Roots) -> anyhow::Result<Sample> {
        let collector = match std::mem::replace(&mut self.state, CollectorState::Gone) {
            CollectorState::Idle(collector) => collector,
            CollectorState::Running(task) if task.is_finished() => {
                // What it saw is old.
                let (collector, _) = task.await.context("making the sample before")?;
                collector
            }
            CollectorState::Running(task) => {
                self.state = CollectorState::Running(task);
                bail!("the kernel still does not answer");
            }
            CollectorState::Gone => bail!("the collector is gone"),
        };
        let (wanted, roots) = (Arc::clone(&self.wanted), roots.clone());
        let mut task = spawn_blocking(move || run(collector, &roots, &wanted));
        let Ok(ended) = timeout(PATIENCE, &mut task).await else {
            self.state = CollectorState::Running(task);
            bail!("the kernel does not answer");
        };
        let (collector, sample) = ended.context("making a sample")?;
        self.state = CollectorState::Idle(collector);
        Ok(sample)
    }
}

fn run(mut collector: Box<dyn Collect>, roots: &Roots, wanted: &WantedMetrics) -> Ended {
    let mut sample = Sample::new(wanted);
    sample.error = collector.collect(roots, &mut sample).err();
    (collector, sample)
}
