//! Runs one collector on a thread of its own, where it cannot block anything else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::timeout;

use super::metric::{Collect, Sample, WantedMetrics};
use crate::node::Roots;
use crate::threads::{ThreadPool, ThreadTask};

/// How long to wait for a collection. After that it continues, but nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A collector, and the state of its last collection.
pub(super) struct CollectorTask {
    /// The section in the config file.
    pub(super) section: &'static str,
    /// The metrics that it collects.
    pub(super) wanted: Arc<WantedMetrics>,
    state: CollectorState,
}

enum CollectorState {
    /// Ready for the next collection.
    Idle(Box<dyn Collect>),
    /// Still collecting, on a thread of its own.
    Running(ThreadTask<Ended>),
    /// Lost in a panic.
    Gone,
}

/// A collector that has finished, and its sample.
type Ended = (Box<dyn Collect>, Sample);

impl CollectorTask {
    /// A task with an idle collector.
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

    /// Collects, on a thread that nobody else needs. The kernel answers most files at once, but some take
    /// long: with thousands of interrupts, mounts or interfaces, and for broken devices.
    pub(super) async fn collect(
        &mut self,
        roots: &Roots,
        threads: &ThreadPool,
    ) -> anyhow::Result<Sample> {
        let threads = threads
            .ready()
            .context("making a thread to collect a sample")?;
        let collector = match std::mem::replace(&mut self.state, CollectorState::Gone) {
            CollectorState::Idle(collector) => collector,
            CollectorState::Running(mut task) => {
                let Some(ended) = task.try_take() else {
                    self.state = CollectorState::Running(task);
                    bail!("the kernel still does not answer");
                };
                // The sample is too old.
                let (collector, _) = ended.context("collecting the last sample")?;
                collector
            }
            CollectorState::Gone => bail!("the collector is gone"),
        };
        let (wanted, roots) = (Arc::clone(&self.wanted), roots.clone());
        let mut task = threads.run(move || run(collector, &roots, &wanted));
        let Ok(ended) = timeout(PATIENCE, &mut task).await else {
            self.state = CollectorState::Running(task);
            bail!("the kernel does not answer");
        };
        let (collector, sample) = ended.context("collecting a sample")?;
        self.state = CollectorState::Idle(collector);
        Ok(sample)
    }
}

fn run(mut collector: Box<dyn Collect>, roots: &Roots, wanted: &WantedMetrics) -> Ended {
    let mut sample = Sample::new(wanted);
    sample.error = collector.collect(roots, &mut sample).err();
    (collector, sample)
}
