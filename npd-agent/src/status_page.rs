//! What the agent shows of the node and of itself over HTTP.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use crate::go::json::ConfigProblem;
use crate::problem::{Condition, ConditionStatus, Event};

/// How many events `/events` shows.
const EVENTS_SHOWN: usize = 256;

/// The status page; clone it freely, all clones show the same.
#[derive(Clone, Debug)]
pub struct StatusPage(watch::Sender<StatusModel>);

/// What stands on the status page.
#[derive(Debug, Serialize)]
pub struct StatusModel {
    /// The node's name.
    pub node: String,
    /// The agent's version.
    pub version: &'static str,
    /// When the agent started.
    pub started: Timestamp,
    /// What is wrong with config files although the agent started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config_problems: Vec<ConfigProblem>,
    /// The running monitors, by name.
    pub monitors: BTreeMap<String, MonitorState>,
    /// Where records come from, by name.
    pub sources: BTreeMap<String, SourceState>,
    /// How each plugin does, by config file and rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, PluginState>,
    /// How each probe sees, by name.
    pub probes: BTreeMap<String, ProbeState>,
    /// The exporters that run, and what each has to say about itself.
    pub exporters: BTreeMap<String, String>,
    /// The conditions that are not published yet, because those who watch over them have not looked,
    /// and who that is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<Arc<str>, Vec<String>>,
    /// For `/conditions`.
    #[serde(skip)]
    pub conditions: Vec<Condition>,
    /// For `/events`, oldest first.
    #[serde(skip)]
    pub events: VecDeque<EventRecord>,
}

/// A monitor, as `/status` shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MonitorState {
    /// Whether it runs now.
    pub running: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A source of records, as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SourceState {
    /// Whether it delivers.
    pub up: bool,
    /// Whether the agent is unhealthy without it.
    pub mandatory: bool,
    /// Since when it has been up or down.
    pub since: Timestamp,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A plugin, as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct PluginState {
    /// What is run.
    pub path: String,
    /// The status that the last run asked for; `True` means that the node is sick.
    pub last: ConditionStatus,
    /// What the last run said.
    pub message: String,
    /// When that was.
    pub timestamp: Timestamp,
    /// How many runs had not ended at their deadline.
    pub timeouts: u64,
    /// How many runs survived SIGKILL and are still there.
    pub abandoned: usize,
}

/// A probe, as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeState {
    /// How it sees: `raw_tracepoint`, `iterator`, `poll`, `counter`, `kmsg` or `none`.
    pub backend: &'static str,
    /// Why not in a better way.
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

impl StatusPage {
    /// An empty status page.
    pub fn new(node: String, started: Timestamp) -> Self {
        Self(watch::Sender::new(StatusModel {
            node,
            version: env!("CARGO_PKG_VERSION"),
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

    /// Says that a source delivers (`reason` is `None`) or why it does not.
    pub fn source(&self, name: &str, mandatory: bool, reason: Option<String>) {
        self.update(|shown| {
            let up = reason.is_none();
            let since = match shown.sources.get(name) {
                Some(state) if state.up == up => state.since,
                _ => Timestamp::now(),
            };
            shown.sources.insert(
                name.to_owned(),
                SourceState {
                    up,
                    mandatory,
                    since,
                    reason,
                },
            );
        });
    }
}

impl StatusModel {
    /// Why the agent is not healthy: a line for each mandatory source that is down.
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

    /// Adds an event, and lets the oldest go.
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
