//! Starts everything, keeps it running, and stops it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::aliases::Alias;
use crate::checkpoint::{CheckpointWriter, StateDir};
use crate::exec::orphans;
use crate::exporter::{Built, Finish};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::monitor::{Monitor, Monitors};
use crate::node::Node;
use crate::problem::Forever;
use crate::reporter::{REPORTS_QUEUED, Reporter};
use crate::server::{self, Pages};
use crate::status_page::StatusPage;

/// The first and the longest pause before a failed monitor is started again. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How long the last reports and the last checkpoint may take when the agent is asked to stop.
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
    /// Conditions under further names.
    pub aliases: Vec<Alias>,
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
    async fn run_until(self, asked: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut running = self.start()?;
        tokio::select! {
            () = asked => {}
            error = running.ended() => return Err(error),
        }
        if tokio::time::timeout(FINISH, running.stop()).await.is_err() {
            warn!("Stopping before everything is reported and saved");
        }
        Ok(())
    }

    fn start(mut self) -> anyhow::Result<RunningAgent> {
        let mut finish: Vec<_> = self
            .exporters
            .iter_mut()
            .filter_map(|built| built.finish.take())
            .collect();
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
        let mut shown = Vec::new();
        if let Some(state) = self.state {
            saved.clone_from(&state.checkpoint.positions);
            memories.clone_from(&state.checkpoint.memories);
            shown.clone_from(&state.checkpoint.aliases);
            let claims = state.checkpoint.claims.clone();
            let incidents = state.checkpoint.incidents.clone();
            let (writer, task) =
                CheckpointWriter::new(state, acknowledged, self.status_page.clone());
            hub = hub
                .with_checkpoint_writer(writer, claims)
                .with_incidents(incidents, Instant::now());
            let (task, written) = with_end(task);
            tasks.spawn(task);
            finish.push(written);
        }
        hub = hub.with_aliases(self.aliases, shown);
        hub.prepare(&self.monitors);
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
        let (hub, hub_is_empty) = with_end(hub.run(reports));
        tasks.spawn(hub);
        tasks.spawn(orphans::reap());
        let mut monitors = JoinSet::new();
        for monitor in self.monitors {
            monitors.spawn(supervise(monitor, reporter.clone()));
        }
        Ok(RunningAgent {
            monitors,
            hub_is_empty,
            tasks,
            finish,
        })
    }
}

/// The tasks of a running agent.
struct RunningAgent {
    monitors: JoinSet<Forever>,
    /// Ends when the hub has handled the last report of the last monitor.
    hub_is_empty: Finish,
    /// All other tasks.
    tasks: JoinSet<Forever>,
    /// What must end before the agent does: exporters report the last updates, and then the last
    /// checkpoint is written.
    finish: Vec<Finish>,
}

impl RunningAgent {
    /// Why a task has ended that the agent cannot run without. All run for ever otherwise.
    async fn ended(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            // The hub ends when the last monitor has; that monitor says why.
            biased;
            Some(ended) = self.monitors.join_next() => ended,
            Some(ended) = self.tasks.join_next() => ended,
            else => std::future::pending().await,
        };
        match ended.context("running a task") {
            Ok(Err(error)) | Err(error) => error,
        }
    }

    /// Stops in the order in which reports travel. So what one agent reports last is what its checkpoint
    /// says, and the next agent neither misses nor repeats a report.
    async fn stop(mut self) {
        self.monitors.shutdown().await;
        self.hub_is_empty.await;
        let mut parts: JoinSet<()> = self.finish.into_iter().collect();
        while parts.join_next().await.is_some() {}
    }
}

/// The task, and a future that ends when the task does, also if nobody waits for the task itself.
fn with_end(task: impl Future<Output = Forever>) -> (impl Future<Output = Forever>, Finish) {
    let (running, ended) = oneshot::channel::<()>();
    let task = async move {
        let _running = running;
        task.await
    };
    (task, Box::pin(async move { _ = ended.await }))
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
