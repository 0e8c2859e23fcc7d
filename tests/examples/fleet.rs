//! What a fleet of nodes asks of one API server: `cargo run -rp npd-tests --example fleet [NODES]`.
//!
//! Starts a real API server and an exporter for each node in this process, and lets the fleet start,
//! restart, beat and fall ill. Prints the requests of each phase, and their peak in one second.

#![expect(clippy::print_stdout, reason = "it prints for people what it measures")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use npd_agent::exporter::{BuildContext, Exporter, kubernetes};
use npd_agent::flags::Options;
use npd_agent::metrics::Metrics;
use npd_agent::node::{Node, Roots};
use npd_agent::problem::{Condition, ConditionStatus, Event, Forever, Severity, Update};
use npd_agent::status_page::StatusPage;
use npd_tests::cluster::{ApiServer, Client};
use prometheus::proto::{LabelPair, MetricFamily};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What stands for NPD's default of 5 minutes: divide the rates by 30.
const HEARTBEAT: &str = "10s";

/// How many OOM kills hit each node.
const KILLS: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(500), |n| n.parse())?;
    let dir = TempDir::new()?;
    let server = ApiServer::start(dir.path())?;
    let token = server.client.token_for("npd-fleet")?;
    let agent = server.client.with_token("npd-fleet", &token)?;
    let names: Vec<String> = (0..count).map(|number| format!("node-{number}")).collect();
    create_nodes(&server.client, &names)?;
    println!("{count} nodes");

    for phase in ["first start", "restart"] {
        let mut fleet = Fleet::start(&names, &agent.kubeconfig, "5m")?;
        fleet.report(&conditions(false));
        fleet.watch(&server, phase, 8).await?;
    }
    let mut fleet = Fleet::start(&names, &agent.kubeconfig, HEARTBEAT)?;
    fleet.report(&conditions(false));
    // Those whose first heartbeats are due at once.
    sleep(Duration::from_secs(10)).await;
    fleet
        .watch(&server, "healthy, a heartbeat every 10 s", 60)
        .await?;
    for kill in 0..KILLS {
        fleet.report(&event("OOMKilling", &format!("Killed process {kill}")));
    }
    fleet.report(&event(
        "TaskHung",
        "task dd:7 blocked for more than 120 seconds.",
    ));
    fleet.report(&conditions(true));
    fleet
        .watch(&server, "all fall ill in the same moment", 60)
        .await
}

fn create_nodes(admin: &Client, names: &[String]) -> anyhow::Result<()> {
    let node = |name| json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
    for some in names.chunks(100) {
        let items: Vec<Value> = some.iter().map(node).collect();
        admin.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())?;
    }
    Ok(())
}

/// The exporters.
struct Fleet {
    exporters: Vec<Box<dyn Exporter>>,
    metrics: Vec<Metrics>,
    tasks: JoinSet<Forever>,
}

impl Fleet {
    fn start(names: &[String], kubeconfig: &Path, heartbeat: &str) -> anyhow::Result<Self> {
        let access = format!("?inClusterConfig=false&auth={}", kubeconfig.display());
        let options = Options::parse(&[
            &format!("--apiserver-override={access}"),
            &format!("--k8s-exporter-heartbeat-period={heartbeat}"),
        ])?;
        let mut fleet = Self {
            exporters: Vec::new(),
            metrics: Vec::new(),
            tasks: JoinSet::new(),
        };
        for name in names {
            let metrics = Metrics::new()?;
            let setting = BuildContext {
                options: &options,
                cluster: true,
                node: &Arc::new(Node {
                    name: name.clone(),
                    roots: Roots::from_env(|_| None),
                    boot_id: String::new(),
                }),
                conditions: &["KernelDeadlock", "ReadonlyFilesystem"]
                    .map(Arc::from)
                    .into(),
                metrics: &metrics,
                status_page: &StatusPage::new(name.clone(), Timestamp::now()),
                state: None,
            };
            let built = kubernetes::build(&setting)?.context("there is a cluster")?;
            fleet.tasks.spawn(built.task.context("it has a task")?);
            fleet.exporters.push(built.exporter);
            fleet.metrics.push(metrics);
        }
        Ok(fleet)
    }

    fn report(&mut self, status: &Update) {
        for exporter in &mut self.exporters {
            exporter.export(status);
        }
    }

    /// How many requests were answered so far, by verb, resource and code.
    fn requests(&self) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for metrics in &self.metrics {
            let families = metrics.registry.gather();
            let requests = families
                .iter()
                .filter(|family| family.name() == "npd_apiserver_requests_total");
            for sample in requests.flat_map(MetricFamily::get_metric) {
                // In the order of their names: code, resource, verb.
                let labels: Vec<&str> = sample.get_label().iter().map(LabelPair::value).collect();
                let request = format!("{} {} {}", labels[2], labels[1], labels[0]);
                *sums.entry(request).or_default() += sample.get_counter().get_value();
            }
        }
        sums
    }

    /// Prints what happens in the next seconds.
    async fn watch(&mut self, server: &ApiServer, phase: &str, seconds: u32) -> anyhow::Result<()> {
        let (before, cpu) = (self.requests(), cpu_seconds(server)?);
        let mut last = before.clone();
        let mut peak = 0.0_f64;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(seconds.into()) {
            sleep(Duration::from_secs(1)).await;
            let now = self.requests();
            peak = peak.max(total(&now) - total(&last));
            last = now;
        }
        let passed = start.elapsed().as_secs_f64();
        println!("\n{phase}: {seconds} s");
        for (request, count) in &last {
            let count = count - before.get(request).unwrap_or(&0.0);
            if count > 0.0 {
                println!("  {request}: {count}, {:.1} a second", count / passed);
            }
        }
        println!(
            "  at most {peak} in a second; API server {:.1} s of CPU",
            cpu_seconds(server)? - cpu
        );
        Ok(())
    }
}

fn total(requests: &BTreeMap<String, f64>) -> f64 {
    requests.values().sum()
}

/// What the API server has used of a processor, without its etcd.
fn cpu_seconds(server: &ApiServer) -> anyhow::Result<f64> {
    let page = server.client.kubectl(&["get", "--raw=/metrics"])?;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
    Ok(line.context("no CPU time in the metrics")?.parse()?)
}

fn conditions(sick: bool) -> Update {
    let condition = |r#type: &str, sick: bool| Condition {
        r#type: Arc::from(r#type),
        status: if sick {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        },
        transition: Timestamp::UNIX_EPOCH,
        reason: Arc::from(if sick { "TaskHung" } else { "AllIsWell" }),
        message: "so it is".to_owned(),
        healthy: None,
    };
    Update {
        number: 0,
        occurrence: None,
        source: Arc::from("kernel-monitor"),
        event: None,
        conditions: vec![
            condition("KernelDeadlock", sick),
            condition("ReadonlyFilesystem", false),
        ],
    }
}

fn event(reason: &str, message: &str) -> Update {
    Update {
        number: 0,
        occurrence: None,
        source: Arc::from("kernel-monitor"),
        event: Some(Event {
            severity: Severity::Warning,
            timestamp: Timestamp::now(),
            reason: Arc::from(reason),
            message: message.to_owned(),
            action: None,
            object: None,
            pod: None,
            dry_run: false,
        }),
        conditions: Vec::new(),
    }
}
