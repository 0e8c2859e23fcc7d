//! Runs monitors for a moment, with nothing but the status page to report to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::monitor::{Monitor, Monitors};
use crate::node::Node;
use crate::reporter::{REPORTS_QUEUED, Reporter};
use crate::status_page::{StatusModel, StatusPage};

/// How often it is asked whether enough is known.
const PACE: Duration = Duration::from_millis(50);

/// How long to look.
pub(super) struct LookTime {
    /// In any case. Texts of the kernel's log then no longer wait for a probe that sees the same.
    pub(super) least: Duration,
    /// If not enough is known.
    pub(super) most: Duration,
}

/// Runs `monitors` until enough is known. Each source is read from its `saved` position.
pub(super) async fn observe(
    node: Node,
    monitors: Monitors,
    saved: BTreeMap<String, Value>,
    is_enough: impl Fn(&StatusModel) -> bool,
    time: LookTime,
) -> anyhow::Result<StatusPage> {
    let metrics = Metrics::new().context("registering the metrics")?;
    let page = StatusPage::new(node.name.clone(), Timestamp::now());
    let (sender, mut reports) = mpsc::channel(REPORTS_QUEUED);
    let mut hub = Hub::new(metrics.clone(), page.clone(), Vec::new());
    hub.prepare(&monitors);
    let reporter = Reporter::new(Arc::new(node), metrics, page.clone(), sender)
        .with_saved(saved)
        .with_claimed(hub.claimed());
    let mut tasks = JoinSet::new();
    for monitor in monitors {
        tasks.spawn(watch(monitor, reporter.clone()));
    }
    drop(reporter);
    let start = Instant::now();
    loop {
        let look_again = sleep(PACE);
        tokio::pin!(look_again);
        loop {
            tokio::select! {
                biased;
                () = &mut look_again => break,
                Some(report) = reports.recv() => hub.take(report, Instant::now()),
            }
        }
        let elapsed = start.elapsed();
        if elapsed < time.least {
            continue;
        }
        hub.settle();
        if elapsed >= time.most || is_enough(&page.read()) {
            return Ok(page);
        }
    }
}

/// Runs a monitor, and shows why it failed if it does.
async fn watch(mut monitor: Box<dyn Monitor>, reporter: Reporter) {
    let name = monitor.name().to_owned();
    let set = |error: Option<String>| {
        reporter.status_page.update(|shown| {
            let state = shown.monitors.entry(name.clone()).or_default();
            state.running = error.is_none();
            state.last_error = error;
        });
    };
    set(None);
    let Err(error) = monitor.run(&reporter).await;
    set(Some(format!("{error:#}")));
}
