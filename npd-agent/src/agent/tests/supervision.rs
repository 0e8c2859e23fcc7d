//! What the agent does when a monitor or an exporter fails, and when it is asked to stop.

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::super::Agent;
use crate::exporter::{Built, Exporter};
use crate::metrics::Metrics;
use crate::monitor::{Declaration, Monitor, Task};
use crate::node::{Node, Roots};
use crate::problem::{Forever, Update};
use crate::reporter::Reporter;
use crate::status_page::StatusPage;

/// How one run of a monitor ends.
#[derive(Clone, Copy)]
enum Run {
    /// It fails after so many seconds.
    Fails(u64),
    Panics,
}

/// A monitor that runs as often as it has runs, and then for ever.
struct ScriptedMonitor {
    runs: VecDeque<Run>,
    began: Instant,
    /// When it was started, in seconds.
    starts: Arc<Mutex<Vec<u64>>>,
    /// Is dropped with it.
    _alive: Arc<()>,
}

impl ScriptedMonitor {
    async fn watch(&mut self) -> Forever {
        let now = self.began.elapsed().as_secs();
        self.starts.lock().unwrap().push(now);
        match self.runs.pop_front() {
            Some(Run::Fails(after)) => {
                sleep(Duration::from_secs(after)).await;
                bail!("the device is gone")
            }
            Some(Run::Panics) => panic!("a bug"),
            None => pending().await,
        }
    }
}

impl Monitor for ScriptedMonitor {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn declarations(&self) -> Vec<Declaration> {
        Vec::new()
    }

    fn run<'a>(&'a mut self, _reporter: &'a Reporter) -> Task<'a> {
        Box::pin(self.watch())
    }
}

/// Takes nothing.
struct IdleExporter;

impl Exporter for IdleExporter {
    fn export(&mut self, _status: &Update) {}
}

/// An agent, and what a test sees of it.
struct AgentBench {
    agent: Agent,
    starts: Arc<Mutex<Vec<u64>>>,
    alive: Arc<()>,
    metrics: Metrics,
    status_page: StatusPage,
}

fn bench(runs: &[Run]) -> AgentBench {
    let starts = Arc::default();
    let alive = Arc::new(());
    let metrics = Metrics::new().unwrap();
    let status_page = StatusPage::new("n1".to_owned(), Timestamp::UNIX_EPOCH);
    let monitor = ScriptedMonitor {
        runs: runs.iter().copied().collect(),
        began: Instant::now(),
        starts: Arc::clone(&starts),
        _alive: Arc::clone(&alive),
    };
    let agent = Agent {
        node: Arc::new(Node {
            name: "n1".to_owned(),
            roots: Roots::from_env(|_| None),
            boot_id: "boot".to_owned(),
        }),
        metrics: metrics.clone(),
        status_page: status_page.clone(),
        state: None,
        aliases: Vec::new(),
        monitors: vec![Box::new(monitor)],
        exporters: Vec::new(),
        servers: Vec::new(),
    };
    AgentBench {
        agent,
        starts,
        alive,
        metrics,
        status_page,
    }
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// When a monitor with these runs is started, in the first five minutes.
#[track_caller]
fn check_starts(runs: &[Run], expect: &[u64]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let starts = runtime.block_on(async {
        let bench = bench(runs);
        bench.agent.run_until(sleep(seconds(300))).await.unwrap();
        bench.starts.lock().unwrap().clone()
    });
    assert_eq!(starts, expect);
}

#[test]
fn a_monitor_that_fails_is_started_again_and_again_ever_later() {
    check_starts(&[], &[0]);
    check_starts(&[Run::Fails(0)], &[0, 1]);
    let always = [Run::Fails(0); 100];
    check_starts(&always, &[0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    // After it has run for longer than the longest pause, as if it had never failed.
    let well_meanwhile = [[Run::Fails(0); 4].as_slice(), &[Run::Fails(100); 2]].concat();
    check_starts(&well_meanwhile, &[0, 1, 3, 7, 15, 116, 217]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shown_and_counted() {
    let bench = bench(&[Run::Fails(10), Run::Fails(10)]);
    let (status_page, metrics) = (bench.status_page.clone(), bench.metrics.clone());
    let state = || status_page.read().monitors["scripted"].clone();
    let seen = async {
        sleep(seconds(5)).await;
        assert!(state().running && state().last_error.is_none());
        sleep(seconds(5)).await;
        tokio::task::yield_now().await;
        assert!(!state().running);
        assert_eq!(state().last_error.as_deref(), Some("the device is gone"));
        sleep(seconds(60)).await;
        assert_eq!((state().running, state().restarts), (true, 2));
        assert_eq!(state().last_error.as_deref(), Some("the device is gone"));
        let page = metrics.page().unwrap();
        assert!(
            page.contains("npd_monitor_restarts_total{monitor=\"scripted\"} 2\n"),
            "{page}"
        );
    };
    bench.agent.run_until(seen).await.unwrap();
}

/// The process ends, so the one who started it notices. An agent that seems well and has one monitor
/// less would be worse.
#[tokio::test(start_paused = true)]
async fn a_monitor_that_panics_ends_the_agent() {
    let bench = bench(&[Run::Panics]);
    let ended = bench.agent.run_until(pending()).await;
    let error = format!("{:#}", ended.unwrap_err());
    assert!(error.starts_with("running a task: "), "{error}");
    assert!(error.contains("panicked with message \"a bug\""), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_exporter_whose_task_fails_ends_the_agent() {
    let mut bench = bench(&[]);
    bench.agent.exporters.push(Built {
        exporter: Box::new(IdleExporter),
        acknowledged: None,
        task: Some(Box::pin(async { bail!("standard output is closed") })),
        finish: None,
    });
    let error = bench.agent.run_until(pending()).await.unwrap_err();
    assert_eq!(error.to_string(), "standard output is closed");
}

/// An agent that is asked to stop at once: how long that takes if the last reports take as long as
/// `finish`.
async fn stops(finish: Option<impl Future<Output = ()> + Send + 'static>) -> Duration {
    let mut bench = bench(&[]);
    bench.agent.exporters.push(Built {
        exporter: Box::new(IdleExporter),
        acknowledged: None,
        task: None,
        finish: finish.map(|task| Box::pin(task) as Pin<Box<_>>),
    });
    let asked = Instant::now();
    let ended = timeout(seconds(60), bench.agent.run_until(ready(()))).await;
    ended.expect("it stops").unwrap();
    let took = asked.elapsed();
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&bench.alive), 1, "the monitor is gone");
    took
}

#[tokio::test(start_paused = true)]
async fn the_agent_stops_when_all_is_reported_and_waits_for_nothing_else() {
    assert_eq!(stops(None::<std::future::Ready<()>>).await, seconds(0));
    assert_eq!(stops(Some(sleep(seconds(1)))).await, seconds(1));
    assert_eq!(stops(Some(pending())).await, super::super::FINISH);
}
