//! What the running agent shows of a fault.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde_json::Value;
use tokio::time::sleep;

use super::fault::{DrillFault, Hit};
use crate::tools::pages::{AgentPages, host, page, text};

/// How often it is asked.
const PACE: Duration = Duration::from_millis(20);

/// Where the running agent answers: host and port of its pages, and of its metrics.
pub(super) struct DrilledAgent {
    pages: String,
    metrics: String,
}

/// When a fault was reported, after it was made.
pub(super) struct FaultReport {
    pub(super) shown: Duration,
    /// When the API server had acknowledged every Event; `None` if the agent has no cluster.
    pub(super) acknowledged: Option<Duration>,
    pub(super) message: String,
}

impl DrilledAgent {
    pub(super) fn new(address: &str, port: i64, prometheus_port: i64) -> Self {
        Self {
            pages: host(address, port),
            metrics: host(address, prometheus_port),
        }
    }

    /// Refuses a drill on a node that is sick: nobody could tell its faults from those of the drill.
    pub(super) async fn ensure_well(&self) -> anyhow::Result<()> {
        let pages = AgentPages::get(&self.pages).await?;
        let conditions = pages.conditions.as_array().map(Vec::as_slice);
        let sick = conditions.unwrap_or_default().iter();
        let sick = sick.filter(|condition| condition["status"] != "False");
        let sick: Vec<_> = sick
            .filter_map(|condition| condition["type"].as_str())
            .collect();
        ensure!(
            sick.is_empty(),
            "the node is not well, and a drill would hide it: {}",
            sick.join(", ")
        );
        Ok(())
    }

    /// The events that it shows now.
    pub(super) async fn events(&self) -> anyhow::Result<Vec<Value>> {
        let events = page(&self.pages, "/events").await?;
        Ok(events.as_array().cloned().unwrap_or_default())
    }

    /// Waits until the agent reports `fault`, by an event that is not one of those `before`.
    pub(super) async fn wait_for(
        &self,
        fault: &DrillFault,
        hit: &Hit,
        before: &[Value],
        patience: Duration,
    ) -> anyhow::Result<FaultReport> {
        let made = hit.made;
        let (shown, message) = loop {
            let events = self.events().await?;
            let mut news = events.iter().filter(|event| !before.contains(event));
            if let Some(message) = news.find_map(|event| message(event, fault.reasons, &hit.names))
            {
                break (made.elapsed(), message);
            }
            ensure!(
                made.elapsed() < patience,
                "the agent has not reported it in {} s",
                patience.as_secs()
            );
            sleep(PACE).await;
        };
        Ok(FaultReport {
            shown,
            acknowledged: self.acknowledged(made, patience).await?,
            message,
        })
    }

    /// Waits until no Event waits for the API server.
    async fn acknowledged(
        &self,
        made: Instant,
        patience: Duration,
    ) -> anyhow::Result<Option<Duration>> {
        let status = page(&self.pages, "/status").await?;
        if status["exporters"].get("kubernetes").is_none() {
            return Ok(None);
        }
        loop {
            let metrics = text(&self.metrics, "/metrics").await?;
            let waiting = metrics
                .lines()
                .find_map(|line| line.strip_prefix("npd_events_waiting "));
            match waiting {
                None => bail!("the agent's metrics do not say how many Events wait"),
                Some("0") => return Ok(Some(made.elapsed())),
                Some(_) if made.elapsed() > patience => {
                    bail!("the API server has not acknowledged it")
                }
                Some(_) => sleep(PACE).await,
            }
        }
    }
}

/// The message of an event, if it has one of these reasons and is about one of these names.
fn message(event: &Value, reasons: &[&str], names: &[String]) -> Option<String> {
    let message = event["message"].as_str()?;
    let is_fault = reasons.contains(&event["reason"].as_str()?);
    let is_hit = names.iter().any(|name| message.contains(name));
    (is_fault && is_hit).then(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_about_what_was_hit() {
        let event = json!({"reason": "IOError", "message": "I/O error, dev loop7, sector 8"});
        let find = |reason, name: &str| message(&event, &[reason], &[name.to_owned()]).is_some();
        assert!(find("IOError", "dev loop7,"));
        assert!(!find("IOError", "dev loop70,"));
        assert!(!find("OOMKilling", "dev loop7,"));
    }
}
