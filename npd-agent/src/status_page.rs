//! What the agent shows over HTTP: the node's state and its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::go::json::ConfigProblem;
use crate::problem::{Condition, ConditionStatus, Event};

/// How many events `/events` shows.
const EVENTS_SHOWN: usize = 256;

/// The status page. Clones show the same.
#[derive(Clone, Debug)]
pub struct StatusPage(watch::Sender<StatusModel>);

/// The content of the status page. `npd-agent status` reads it again.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatusModel {
    /// The node's name.
    pub node: String,
    /// The agent's version.
    pub version: Cow<'static, str>,
    /// When the agent started.
    pub started: Timestamp,
    /// The mistakes in config files with which the agent has started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_problems: Vec<ConfigProblem>,
    /// The running monitors, by name.
    pub monitors: BTreeMap<String, MonitorState>,
    /// The sources of records, by name.
    pub sources: BTreeMap<String, SourceState>,
    /// The state of each plugin, by config file and rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, PluginState>,
    /// The state of each probe, by name.
    pub probes: BTreeMap<String, ProbeState>,
    /// The running exporters, and the state of each.
    pub exporters: BTreeMap<String, String>,
    /// The conditions that are not published yet, because their detectors have not checked yet,
    /// with the names of these detectors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<Arc<str>, Vec<String>>,
    /// For `/conditions`.
    #[serde(skip)]
    pub conditions: Vec<Condition>,
    /// For `/events`, oldest first.
    #[serde(skip)]
    pub events: VecDeque<EventRecord>,
}

/// A monitor, as `/status` shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MonitorState {
    /// Whether it runs now.
    pub running: bool,
    /// How many times it was started again.
    pub restarts: u64,
    /// Why it last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A source of records, as `/status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceState {
    /// Whether it can be read.
    pub up: bool,
    /// Whether `/healthz` is 503 without it.
    pub mandatory: bool,
    /// Since when it has been up or down.
    pub since: Timestamp,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it is read, but not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
}

/// A plugin, as `/status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PluginState {
    /// The program.
    pub path: String,
    /// The result of the last run; `True` means that there is a problem.
    pub last: ConditionStatus,
    /// The message of the last run.
    pub message: String,
    /// When the last run ended.
    pub timestamp: Timestamp,
    /// How many runs had not ended at their deadline.
    pub timeouts: u64,
    /// How many runs survived SIGKILL and still exist.
    pub abandoned: usize,
}

/// A probe, as `/status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbeState {
    /// How it gets its data: `raw_tracepoint`, `iterator`, `poll`, `counter`, `kmsg` or `none`.
    pub backend: Cow<'static, str>,
    /// Why it has no better backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An event, as `/events` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct EventRecord {
    /// Who reported it.
    pub source: Arc<str>,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

impl ProbeState {
    /// A probe with this backend, and why it has no better one.
    pub fn new(backend: &'static str, reason: Option<String>) -> Self {
        let backend = Cow::Borrowed(backend);
        Self { backend, reason }
    }
}

impl StatusPage {
    /// An empty status page.
    pub fn new(node: String, started: Timestamp) -> Self {
        Self(watch::Sender::new(StatusModel {
            node,
            version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            started,
            config_problems: Vec::new(),
            monitors: BTreeMap::new(),
            sources: BTreeMap::new(),
            plugins: BTreeMap::new(),
            probes: BTreeMap::new(),
            exporters: BTreeMap::new(),
            unseen: BTreeMap::new(),
            conditions: Vec::new(),
            events: VecDeque::new(),
        }))
    }

    /// Reads the status page. Do not hold the guard across an await.
    pub fn read(&self) -> watch::Ref<'_, StatusModel> {
        self.0.borrow()
    }

    /// Changes the status page.
    pub fn update(&self, change: impl FnOnce(&mut StatusModel)) {
        self.0.send_modify(change);
    }

    /// Sets that a source can be read (`reason` is `None`), or why it cannot.
    pub fn source(&self, name: &str, mandatory: bool, reason: Option<String>) {
        self.update(|shown| {
            let up = reason.is_none();
            let before = shown.sources.get(name);
            let since = match before {
                Some(state) if state.up == up => state.since,
                _ => Timestamp::now(),
            };
            let degraded = before.and_then(|state| state.degraded.clone());
            shown.sources.insert(
                name.to_owned(),
                SourceState {
                    up,
                    mandatory,
                    since,
                    reason,
                    degraded,
                },
            );
        });
    }

    /// Sets why a source that is shown is read, but not well; `None` if it is.
    pub fn source_degraded(&self, name: &str, reason: Option<String>) {
        self.update(|shown| {
            if let Some(state) = shown.sources.get_mut(name) {
                state.degraded = reason;
            }
        });
    }
}

impl StatusModel {
    /// Why the agent is not healthy: one line for each mandatory source that is down.
    pub fn complaints(&self) -> Vec<String> {
        let down = self
            .sources
            .iter()
            .filter(|(_, state)| state.mandatory && !state.up);
        down.map(|(name, state)| {
            let reason = state.reason.as_deref().unwrap_or("unknown");
            format!("source {name} is down since {}: {reason}", state.since)
        })
        .collect()
    }

    /// Adds an event, and removes the oldest if there are too many.
    pub fn push_event(&mut self, source: &Arc<str>, event: &Event) {
        if self.events.len() == EVENTS_SHOWN {
            self.events.pop_front();
        }
        self.events.push_back(EventRecord {
            source: Arc::clone(source),
            event: event.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Severity;

    fn page() -> StatusPage {
        StatusPage::new("n".to_owned(), Timestamp::UNIX_EPOCH)
    }

    /// What `/healthz` says after these news of sources: name, whether it is mandatory, why it is down.
    #[track_caller]
    fn check(news: &[(&str, bool, Option<&str>)], expect: &[&str]) {
        let page = page();
        for (name, mandatory, reason) in news {
            page.source(name, *mandatory, reason.map(str::to_owned));
        }
        let complaints = page.read().complaints();
        let said: Vec<_> = complaints
            .iter()
            .map(|line| {
                let (who, rest) = line.split_once(" is down since ").unwrap();
                let (_, why) = rest.split_once("Z: ").unwrap();
                format!("{who}: {why}")
            })
            .collect();
        assert_eq!(said, expect, "{news:?}");
    }

    #[test]
    fn each_mandatory_source_that_is_down_is_complained_about() {
        check(&[], &[]);
        check(&[("kmsg", true, None)], &[]);
        check(&[("a.log", false, Some("it is gone"))], &[]);
        check(&[("kmsg", true, Some("denied"))], &["source kmsg: denied"]);
        check(
            &[
                ("oom", true, Some("no BTF")),
                ("journald", false, Some("no folder")),
                ("kmsg", true, Some("denied")),
            ],
            &["source kmsg: denied", "source oom: no BTF"],
        );
        check(&[("kmsg", true, Some("denied")), ("kmsg", true, None)], &[]);
        check(
            &[("kmsg", true, Some("denied")), ("kmsg", true, Some("gone"))],
            &["source kmsg: gone"],
        );
    }

    #[test]
    fn a_source_is_down_since_it_went_down_and_not_since_its_last_error() {
        let page = page();
        let since = || page.read().sources["kmsg"].since;
        page.source("kmsg", true, None);
        page.update(|shown| {
            let state = shown.sources.get_mut("kmsg").unwrap();
            state.since = Timestamp::UNIX_EPOCH;
        });
        page.source("kmsg", true, None);
        assert_eq!(since(), Timestamp::UNIX_EPOCH);
        page.source("kmsg", true, Some("denied".to_owned()));
        let down = since();
        assert!(down > Timestamp::UNIX_EPOCH);
        page.source("kmsg", true, Some("gone".to_owned()));
        assert_eq!(since(), down);
    }

    #[test]
    fn the_last_events_are_shown() {
        let page = page();
        let source = Arc::from("kernel");
        for number in 0..EVENTS_SHOWN + 3 {
            let event = Event {
                severity: Severity::Warning,
                timestamp: Timestamp::UNIX_EPOCH,
                reason: Arc::from("Happened"),
                message: number.to_string(),
                action: None,
                object: None,
                pod: None,
                dry_run: false,
            };
            page.update(|shown| shown.push_event(&source, &event));
        }
        let shown = page.read();
        assert_eq!(shown.events.len(), EVENTS_SHOWN);
        assert_eq!(shown.events[0].event.message, "3");
    }
}
