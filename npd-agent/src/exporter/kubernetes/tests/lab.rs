//! An exporter and an API server, with a clock that tests move.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::super::api::{Api, lock};
use super::super::{requests, start};
use super::samples::event;
use super::server::{Server, connect};
use crate::exporter::{BuildContext, Built, Exporter};
use crate::flags::Options;
use crate::metrics::Metrics;
use crate::node::{Node, Roots};
use crate::problem::{Condition, Event, Pod, PodName, Update};
use crate::status_page::StatusPage;

/// The exporter and the server it talks to.
pub(super) struct Lab {
    pub(super) server: Arc<Mutex<Server>>,
    pub(super) metrics: Metrics,
    pub(super) status_page: StatusPage,
    exporter: Box<dyn Exporter>,
    finish: Option<crate::exporter::Finish>,
    task: tokio::task::JoinHandle<crate::problem::Forever>,
}

/// An exporter to `server` with these flags, of an agent that may report these conditions.
pub(crate) fn exporter(
    server: &Arc<Mutex<Server>>,
    flags: &[&str],
    conditions: &BTreeSet<Arc<str>>,
    metrics: &Metrics,
    status_page: &StatusPage,
) -> Built {
    let options = Options::parse(flags).unwrap();
    let node = Arc::new(Node {
        name: "n1".to_owned(),
        roots: Roots::from_env(|_| None),
        boot_id: String::new(),
    });
    let context = BuildContext {
        options: &options,
        cluster: true,
        node: &node,
        conditions,
        metrics,
        status_page,
        state: None,
    };
    start(&context, connect(server), || 0.5).unwrap()
}

impl Lab {
    /// An exporter with these flags. Its random numbers are always 0.5.
    pub(super) fn start(flags: &[&str], prepare: impl FnOnce(&mut Server)) -> Self {
        let metrics = Metrics::new().unwrap();
        let status_page = StatusPage::new("n1".to_owned(), Timestamp::now());
        let mut server = Server::new();
        prepare(&mut server);
        let server = Arc::new(Mutex::new(server));
        let conditions = ["KernelDeadlock", "ReadonlyFilesystem"];
        let conditions = conditions.map(Arc::from).into();
        let built = exporter(&server, flags, &conditions, &metrics, &status_page);
        Self {
            server,
            metrics,
            status_page,
            exporter: built.exporter,
            finish: built.finish,
            task: tokio::spawn(built.task.unwrap()),
        }
    }

    /// Another client's access to the server.
    pub(super) fn api(&self) -> Api {
        Api::new(connect(&self.server), None, requests().unwrap())
    }

    pub(super) fn export(&mut self, event: Option<Event>, conditions: Vec<Condition>) {
        self.exporter.export(&Update {
            number: 0,
            occurrence: None,
            source: Arc::from("kernel-monitor"),
            event,
            conditions,
        });
    }

    pub(super) fn condition(&mut self, condition: Condition) {
        self.export(None, vec![condition]);
    }

    pub(super) fn event(&mut self, reason: &str, message: &str) {
        self.export(Some(event(reason, message)), vec![]);
    }

    /// The same, of a pod in the namespace `shop`.
    pub(super) fn pod_event(&mut self, reason: &str, message: &str) {
        let mut event = event(reason, message);
        event.pod = Some(Pod {
            uid: "pod-uid".to_owned(),
            name: Some(PodName {
                namespace: "shop".to_owned(),
                name: "cart-0".to_owned(),
            }),
        });
        self.export(Some(event), vec![]);
    }

    /// How many Events wait, as `/metrics` says.
    pub(super) fn waiting(&self) -> u64 {
        let page = self.metrics.page().unwrap();
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix("npd_events_waiting "));
        value.unwrap().parse().unwrap()
    }

    /// How many occurrences were dropped, as `/metrics` says.
    pub(super) fn dropped(&self) -> u64 {
        let dropped = &self.metrics.exporter_dropped;
        dropped.with_label_values(&["kubernetes"]).get()
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, span: Duration) {
        sleep(span).await;
        assert!(!self.task.is_finished(), "the exporter runs for ever");
    }

    pub(super) async fn seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds)).await;
    }

    /// Asks the exporter to finish, as the agent does when it is stopped.
    pub(super) async fn finish(&mut self) {
        self.finish.take().unwrap().await;
    }

    pub(super) fn server(&self) -> std::sync::MutexGuard<'_, Server> {
        lock(&self.server)
    }

    /// The requests since the last call.
    pub(super) fn story(&self) -> String {
        let mut server = lock(&self.server);
        let story = server.story();
        server.log.clear();
        server.bodies.clear();
        story
    }

    pub(super) fn status(&self, name: &str) -> String {
        self.status_page.read().exporters[name].clone()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.task.abort();
    }
}
