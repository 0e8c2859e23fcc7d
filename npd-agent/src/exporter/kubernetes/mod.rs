//! The Kubernetes exporter: conditions into the Node's status, events into core/v1 Events.
//!
//! The hub puts updates into [`pending`] and does not wait. Two tasks write, each one request at a time:
//! [`condition_task`] writes the newest condition of each type, [`event_task`] the Events that the
//! correlator in [`events`] makes. A failed request is tried again. What is pending is always the latest,
//! so after any outage the server gets the present state.

mod access;
mod api;
mod backoff;
mod condition_task;
mod conditions;
mod event;
mod event_task;
mod events;
mod node;
mod pending;
mod rate_limit;
mod request_health;

use std::sync::Arc;

use anyhow::{Context, ensure};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use self::access::Access;
use self::api::Api;
use self::api::Connect;
use self::condition_task::{ConditionTask, ConditionTaskConfig, NodeUid};
use self::conditions::Conditions;
use self::event::{EventWriter, is_name};
use self::event_task::EventTask;
use self::pending::{KubernetesExporter, Pending};
use self::rate_limit::RateLimit;
use self::request_health::RequestHealth;
use super::{BuildContext, Built};
use crate::flags::{BadFlag, Options};
use crate::metrics::{LATENCY, registered};
use crate::node::random;

/// Builds the exporter if there is a cluster to report to.
pub fn build(context: &BuildContext<'_>) -> anyhow::Result<Option<Built>> {
    let options = context.options;
    if !options.enable_k8s_exporter {
        return Ok(None);
    }
    if !context.cluster {
        info!("No cluster to report to: this is not a pod, and --apiserver-override is not set");
        return Ok(None);
    }
    let (write_conditions, write_events) = (
        options.k8s_exporter_update_node_conditions,
        options.k8s_exporter_write_events,
    );
    if !write_conditions && !write_events {
        info!("Nothing is reported to the cluster: neither conditions nor Events are enabled");
        return Ok(None);
    }
    // As NPD, which asks the server.
    if let Err(error) = check_names(&context.node.name, &options.event_namespace) {
        warn!(%error, "No API server knows such an object");
    }
    let access = access(&options.apiserver_override)?;
    start(context, Arc::new(move || access.client()), random::fraction).map(Some)
}

/// Removes from the Node every condition that this agent was the last to write, and returns their
/// types. For uninstalling: no agent may be running. `apiserver_override` is the flag.
pub async fn remove_conditions(
    apiserver_override: &str,
    node: &str,
) -> anyhow::Result<Vec<String>> {
    check_names(node, "")?;
    let access = access(apiserver_override)?;
    let api = Api::new(Arc::new(move || access.client()), None, requests()?);
    condition_task::remove_conditions(&api, node)
        .await
        .context("removing the agent's conditions from the Node")
}

/// Connects the queue and the tasks.
fn start(
    context: &BuildContext<'_>,
    connect: Connect,
    random: fn() -> f64,
) -> anyhow::Result<Built> {
    let options = context.options;
    let node: Arc<str> = Arc::from(&*context.node.name);
    let registry = &context.metrics.registry;
    let waiting = IntGauge::new(
        "npd_events_waiting",
        "Kubernetes Events that are not yet written, or whose new count is not.",
    )?;
    let now = Instant::now().into_std();
    let rate_limit = RateLimit::from_flags(options.kube_api_qps, options.kube_api_burst, now);
    let api = Arc::new(Api::new(
        connect,
        rate_limit,
        registered(registry, requests()?)?,
    ));
    let waiting = registered(registry, waiting)?;
    let latency = Histogram::with_opts(
        HistogramOpts::new(
            "npd_event_delivery_seconds",
            "From the finding to the API server's answer that it has created the Event.",
        )
        .buckets(LATENCY.to_vec()),
    )?;
    let latency = registered(registry, latency)?;
    let dropped = context
        .metrics
        .exporter_dropped
        .with_label_values(&["kubernetes"]);
    let conditions = Conditions::new(context.conditions.clone());
    let pending = Arc::new(Pending::new(context.node, conditions, waiting));
    let (uid, uid_seen) = watch::channel(NodeUid::Asked);
    let conditions = ConditionTask {
        api: Arc::clone(&api),
        pending: Arc::clone(&pending),
        config: config(options, &node, random),
        uid,
        health: RequestHealth::new(context.status_page.clone(), "kubernetes conditions", random),
    };
    let events = EventTask {
        api,
        pending: Arc::clone(&pending),
        writer: EventWriter {
            node: Arc::clone(&node),
            node_uid: None,
            namespace: options.event_namespace.clone(),
        },
        uid: uid_seen,
        latency,
        health: RequestHealth::new(context.status_page.clone(), "kubernetes events", random),
        dropped: dropped.clone(),
    };
    let task = async move {
        tokio::select! {
            biased;
            ended = conditions.run() => ended,
            ended = events.run() => ended,
        }
    };
    Ok(Built {
        finish: Some(Box::pin(Arc::clone(&pending).finish())),
        acknowledged: Some(pending.acknowledged()),
        exporter: Box::new(KubernetesExporter {
            pending,
            node,
            write_conditions: options.k8s_exporter_update_node_conditions,
            write_events: options.k8s_exporter_write_events,
            dropped,
        }),
        task: Some(Box::pin(task)),
    })
}

fn requests() -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(
        Opts::new(
            "npd_apiserver_requests_total",
            "Requests to the API server, by verb, resource and HTTP status; the code is none if there was no answer.",
        ),
        &["verb", "resource", "code"],
    )
}

fn config(options: &Options, node: &Arc<str>, random: fn() -> f64) -> ConditionTaskConfig {
    let positive =
        |duration: crate::go::duration::GoDuration| duration.to_std().unwrap_or_default();
    ConditionTaskConfig {
        node: Arc::clone(node),
        write: options.k8s_exporter_update_node_conditions,
        heartbeat: Some(positive(options.k8s_exporter_heartbeat_period))
            .filter(|period| !period.is_zero()),
        wait_timeout: positive(options.apiserver_wait_timeout),
        wait_interval: positive(options.apiserver_wait_interval),
        random,
    }
}

/// How to reach the API server that the flag names. What cannot work is a bad command line, as in
/// NPD.
fn access(apiserver_override: &str) -> Result<Access, BadFlag> {
    let access = Access::new(apiserver_override, |name| std::env::var(name).ok());
    let checked = access.and_then(|access| access.check().map(|()| access));
    checked.map_err(|error| BadFlag(format!("{error:#}")))
}

fn check_names(node: &str, namespace: &str) -> anyhow::Result<()> {
    ensure!(
        is_name(node),
        "{node:?} cannot be the name of a Node (lower-case letters, digits, - and .); \
         set NODE_NAME or --hostname-override"
    );
    let is_namespace = namespace.is_empty()
        || (is_name(namespace) && !namespace.contains('.') && namespace.len() <= 63);
    ensure!(
        is_namespace,
        "--event-namespace={namespace}: this cannot be the name of a namespace"
    );
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
