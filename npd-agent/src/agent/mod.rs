//! Starts everything, keeps it running, and stops it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::checkpoint::{CheckpointWriter, StateDir};
use crate::exec::orphans;
use crate::exporter::Built;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::monitor::{Monitor, Monitors};
use crate::node::Node;
use crate::problem::Forever;
use crate::reporter::Reporter;
use crate::server::{self, Pages};
use crate::status_page::StatusPage;

/// How many reports may wait for the hub before monitors wait. Unread records then stay in the kernel's
/// buffers, where losses are counted.
const REPORTS_QUEUED: usize = 256;

/// The first and the longest pause before a failed monitor is started again. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How long exporters may continue to report when the agent is asked to stop.
const FINISH: Duration = Duration::from_secs(2);

/// Everything that was built from the command line, ready to run.
pub struct Agent {
    /// The machine.
    pub node: Arc<Node>,
    /// The metric families.
    pub metrics: Metrics,
    /// What is shown over HTTP.
    pub status_page: StatusPage,
    /// Where the checkpoint is saved; `None` without `--state-dir`.
    pub state: Option<StateDir>,
    /// The monitors.
    pub monitors: Monitors,
    /// The exporters.
    pub exporters: Vec<Built>,
    /// The HTTP servers; their sockets are already bound.
    pub servers: Vec<(TcpListener, Pages)>,
}

impl Agent {
    /// Runs until a signal asks to stop (`Ok`), or until a task fails that the agent cannot run without.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let asked = async {
            tokio::select! {
                _ = terminate.recv() => info!("Stopping on SIGTERM"),
                _ = interrupt.recv() => info!("Stopping on SIGINT"),
            }
        };
        self.run_until(asked).await
    }

    /// Runs until `asked` ends (`Ok`), or until a task fails that the agent cannot run without.
    async fn run_until(mut self, asked: impl Future<Output = ()>) -> anyhow::Result<()> {
        let finish: Vec<_> = self
            .exporters
            .iter_mut()
            .filter_map(|built| built.finish.take())
            .collect();
        let mut tasks = self.start()?;
        tokio::select! {
            () = asked => {}
            Some(ended) = tasks.join_next() => match ended.context("running a task")? {
                Err(error) => return Err(error),
            },
        }
        let finished = tokio::time::timeout(FINISH, async {
            for exporter in finish {
                exporter.await;
            }
        });
        if finished.await.is_err() {
            warn!("Stopping before the exporters have reported everything");
        }
        Ok(())
    }

    fn start(self) -> anyhow::Result<JoinSet<Forever>> {
        let mut tasks = JoinSet::new();
        for (listener, pages) in self.servers {
            listener
                .set_nonblocking(true)
                .context("preparing an HTTP socket")?;
            let listener = tokio::net::TcpListener::from_std(listener)
                .context("registering an HTTP socket with the runtime")?;
            tasks.spawn(server::serve(listener, pages));
        }
        let mut exporters = Vec::new();
        let mut acknowledged = Vec::new();
        for built in self.exporters {
            let Built { exporter, task, .. } = built;
            acknowledged.extend(built.acknowledged);
            exporters.push(exporter);
            if let Some(task) = task {
                tasks.spawn(task);
            }
        }
        let (sender, reports) = mpsc::channel(REPORTS_QUEUED);
        let mut hub = Hub::new(self.metrics.clone(), self.status_page.clone(), exporters);
        let (mut saved, mut memories) = (BTreeMap::new(), BTreeMap::new());
        if let Some(state) = self.state {
            saved.clone_from(&state.checkpoint.positions);
            memories.clone_from(&state.checkpoint.memories);
            let claims = state.checkpoint.claims.clone();
            let incidents = state.checkpoint.incidents.clone();
            let (writer, task) =
                CheckpointWriter::new(state, acknowledged, self.status_page.clone());
            hub = hub
                .with_checkpoint_writer(writer, claims)
                .with_incidents(incidents, Instant::now());
            tasks.spawn(task);
        }
        let now = Timestamp::now();
        for monitor in &self.monitors {
            for declaration in monitor.declarations() {
                hub.declare(&declaration, now);
            }
            hub.expect(&monitor.watches(), Instant::now());
        }
        hub.begin(now);
        info!(
            version = env!("CARGO_PKG_VERSION"),
            node = &*self.node.name,
            monitors = self.monitors.len(),
            "Agent started"
        );
        let reporter = Reporter::new(self.node, self.metrics, self.status_page, sender)
            .with_saved(saved)
            .with_memories(memories)
            .with_claimed(hub.claimed());
        tasks.spawn(hub.run(reports));
        tasks.spawn(orphans::reap());
        for monitor in self.monitors {
            tasks.spawn(supervise(monitor, reporter.clone()));
        }
        Ok(tasks)
    }
}

/// Runs a monitor, and starts it again when it fails. Its claims stay meanwhile.
async fn supervise(mut monitor: Box<dyn Monitor>, reporter: Reporter) -> Forever {
    let name = monitor.name().to_owned();
    let mut pause = FIRST_PAUSE;
    loop {
        reporter.status_page.update(|shown| {
            shown.monitors.entry(name.clone()).or_default().running = true;
        });
        let started = tokio::time::Instant::now();
        let Err(error) = monitor.run(&reporter).await;
        if started.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        let reason = format!("{error:#}");
        warn!(
            monitor = name,
            error = reason,
            ?pause,
            "Monitor failed and will be started again"
        );
        reporter
            .metrics
            .monitor_restarts
            .with_label_values(&[&name])
            .inc();
        reporter.status_page.update(|shown| {
            let state = shown.monitors.entry(name.clone()).or_default();
            state.running = false;
            state.restarts += 1;
            state.last_error = Some(reason);
        });
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests;
