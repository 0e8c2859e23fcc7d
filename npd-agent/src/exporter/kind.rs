//! What an exporter is, and what it is built from.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::checkpoint::{Acknowledged, StateDir};
use crate::flags::Options;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::problem::{Task, Update};
use crate::status_page::StatusPage;

/// What an exporter is built from.
pub struct BuildContext<'a> {
    /// The command line.
    pub options: &'a Options,
    /// Whether there is a cluster to report to.
    pub cluster: bool,
    /// The machine.
    pub node: &'a Arc<Node>,
    /// The types of the conditions that monitors may report, now or later.
    pub conditions: &'a BTreeSet<Arc<str>>,
    /// The metric families.
    pub metrics: &'a Metrics,
    /// What is shown over HTTP.
    pub status_page: &'a StatusPage,
    /// The state folder and its checkpoint; `None` without `--state-dir`.
    pub state: Option<&'a StateDir>,
}

/// A kind of exporter.
pub struct ExporterKind {
    /// Its name in logs and `/status`.
    pub name: &'static str,
    /// Builds it; `None` if the command line does not ask for it. An error ends the agent before
    /// anything starts, so only a mistake that the user must correct is an error.
    pub build: fn(&BuildContext<'_>) -> anyhow::Result<Option<Built>>,
}

/// An exporter, and what it needs to have running beside it.
pub struct Built {
    /// Takes updates.
    pub exporter: Box<dyn Exporter>,
    /// The number of the last update that it has reported. `None` if it reports an update at once when
    /// it takes it.
    pub acknowledged: Option<Acknowledged>,
    /// Runs as long as the agent does; its failure is logged and it is not started again.
    pub task: Option<Task<'static>>,
    /// Runs beside the task when the agent is asked to stop, and ends when everything is reported. The
    /// agent does not wait long for it.
    pub finish: Option<Finish>,
}

/// Ends when an exporter has reported everything.
pub type Finish = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes what the hub publishes.
pub trait Exporter: Send {
    /// Takes an update. Must not wait: queue it (bounded), and count what is dropped.
    fn export(&mut self, status: &Update);
}
