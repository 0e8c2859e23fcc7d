//! What the next agent knows of what this one has reported last.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::super::Agent;
use super::fake_monitor::{FakeDetector, FakeFile, FakeMonitor};
use crate::checkpoint::StateDir;
use crate::exporter::{Built, Exporter};
use crate::metrics::Metrics;
use crate::node::{Node, Roots};
use crate::problem::{ConditionStatus, Update};
use crate::status_page::StatusPage;

/// Says when it has reported something.
struct NotifyingExporter(Arc<Notify>);

impl Exporter for NotifyingExporter {
    fn export(&mut self, _update: &Update) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn what_is_reported_in_the_last_moment_is_in_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let node = Arc::new(Node {
        name: "n1".to_owned(),
        roots: Roots::from_env(|_| None),
        boot_id: "boot".to_owned(),
    });
    let file = FakeFile {
        name: "log".to_owned(),
        is_log: true,
        detectors: vec![FakeDetector {
            condition: Arc::from("KernelDeadlock"),
            status: ConditionStatus::True,
            delay: Some(Duration::ZERO),
        }],
        fails_after: None,
    };
    let reported = Arc::new(Notify::new());
    let agent = Agent {
        node: Arc::clone(&node),
        metrics: Metrics::new().unwrap(),
        status_page: StatusPage::new(node.name.clone(), Timestamp::UNIX_EPOCH),
        state: Some(StateDir::load(folder.path().to_owned(), &node)),
        aliases: Vec::new(),
        monitors: vec![Box::new(FakeMonitor::new(file))],
        exporters: vec![Built {
            exporter: Box::new(NotifyingExporter(Arc::clone(&reported))),
            acknowledged: None,
            task: None,
            finish: None,
        }],
        servers: Vec::new(),
    };
    agent.run_until(reported.notified()).await.unwrap();
    let saved = StateDir::load(folder.path().to_owned(), &node).checkpoint;
    assert!(saved.positions.contains_key("log"), "{saved:?}");
    assert_eq!(saved.claims.len(), 1, "{saved:?}");
}
