//! One collector at work, where it cannot hold up anything else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::metric::{Collect, Pass, Wanted};
use crate::node::Roots;

/// How long a pass is waited for; it goes on without us.
const PATIENCE: Duration = Duration::from_secs(10);

/// A collector, and what became of its last pass.
pub(super) struct Lane {
    /// What is collected, by the name of the section in the config file.
    pub(super) section: &'static str,
    /// The metrics that are wanted of it.
    pub(super) wanted: Arc<Wanted>,
    state: State,
}

enum State {
    /// Ready for the next pass.
    Idle(Box<dyn Collect>),
    /// Still at the last pass, on a thread of its own.
    Running(JoinHandle<Ended>),
    /// Lost in a panic.
    Gone,
}

/// A collector that comes back, and what it saw.
type Ended = (Box<dyn Collect>, Pass);

impl Lane {
    /// A lane with an idle collector.
    pub(super) fn new(section: &'static str, wanted: Wanted, collector: Box<dyn Collect>) -> Self {
        Self {
            section,
            wanted: Arc::new(wanted),
            state: State::Idle(collector),
        }
    }

    /// Makes a pass, on a thread that has no one waiting behind it. The kernel answers for most
    /// files at once, but where it matters most it takes its time: for thousands of interrupts,
    /// mounts or interfaces, and for devices that are sick.
    pub(super) async fn collect(&mut self, roots: &Roots) -> anyhow::Result<Pass> {
        let collector = match std::mem::replace(&mut self.state, State::Gone) {
            State::Idle(collector) => collector,
            State::Running(task) if task.is_finished() => {
                // What it saw is old.
                let (collector, _) = task.await.context("making the pass before")?;
                collector
            }
            State::Running(task) => {
                self.state = State::Running(task);
                bail!("the kernel still does not answer");
            }
            State::Gone => bail!("the collector is gone"),
        };
        let (wanted, roots) = (Arc::clone(&self.wanted), roots.clone());
        let mut task = spawn_blocking(move || run(collector, &roots, &wanted));
        let Ok(ended) = timeout(PATIENCE, &mut task).await else {
            self.state = State::Running(task);
            bail!("the kernel does not answer");
        };
        let (collector, pass) = ended.context("making a pass")?;
        self.state = State::Idle(collector);
        Ok(pass)
    }
}

fn run(mut collector: Box<dyn Collect>, roots: &Roots, wanted: &Wanted) -> Ended {
    let mut pass = Pass::new(wanted);
    pass.error = collector.collect(roots, &mut pass).err();
    (collector, pass)
}
