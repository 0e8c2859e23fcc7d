//! What the tasks must write. The hub puts it here and never waits.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::{Notify, watch};

use super::api::lock;
use super::conditions::Conditions;
use super::event::{InvolvedObject, is_name};
use super::events::Correlator;
use crate::checkpoint::Acknowledged;
use crate::exporter::Exporter;
use crate::node::Node;
use crate::problem::{Event, Update};

/// What must be written.
pub(super) struct Pending {
    /// The conditions.
    pub conditions: Mutex<Conditions>,
    /// Notified when they change.
    pub conditions_changed: Notify,
    /// Notified when there is anything to write; the start waits for this.
    pub(super) anything_came: Notify,
    /// The Events.
    pub events: Mutex<Correlator>,
    /// Notified when there is a new event.
    pub events_came: Notify,
    /// Notified after a successful write.
    pub written: Notify,
    /// The number of the last update.
    given: AtomicU64,
    acknowledged: watch::Sender<u64>,
    /// How many Events wait.
    waiting: IntGauge,
}

/// Puts the hub's updates into [`Pending`].
pub(super) struct KubernetesExporter {
    /// What must be written.
    pub pending: Arc<Pending>,
    /// The Node's name.
    pub node: Arc<str>,
    /// `--k8s-exporter-update-node-conditions`.
    pub write_conditions: bool,
    /// `--k8s-exporter-write-events`.
    pub write_events: bool,
    /// Counts events for which there was no room.
    pub dropped: IntCounter,
}

impl Pending {
    /// Nothing to write yet, except for `conditions`.
    pub(super) fn new(node: &Node, conditions: Conditions, waiting: IntGauge) -> Self {
        Self {
            conditions: Mutex::new(conditions),
            conditions_changed: Notify::new(),
            anything_came: Notify::new(),
            events: Mutex::new(Correlator::new(node)),
            events_came: Notify::new(),
            written: Notify::new(),
            given: AtomicU64::new(0),
            acknowledged: watch::Sender::new(0),
            waiting,
        }
    }

    /// The number of the last update for which, and for all before, the server has the Event.
    pub(super) fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.subscribe()
    }

    /// Shows how many Events wait. If the server has every Event, acknowledges all updates. It does not
    /// wait for counts: otherwise a restarted agent would count the same findings again.
    pub(super) fn show_progress(&self, events: &Correlator) {
        let waiting = i64::try_from(events.waiting());
        self.waiting.set(waiting.unwrap_or(i64::MAX));
        if events.is_created() {
            self.acknowledged.send_replace(self.given.load(Relaxed));
        }
    }

    /// Whether there is something that must not wait for the random time at the start.
    pub(super) fn is_urgent(&self) -> bool {
        lock(&self.conditions).is_sick() || !lock(&self.events).is_settled()
    }

    /// Ends when the server has everything. Counts are written at once.
    pub(super) async fn finish(self: Arc<Self>) {
        lock(&self.events).write_all_now(tokio::time::Instant::now().into_std());
        self.events_came.notify_one();
        while lock(&self.conditions).is_dirty() || !lock(&self.events).is_settled() {
            self.written.notified().await;
        }
    }
}

impl KubernetesExporter {
    fn take_event(&self, update: &Update, event: &Event) {
        let node = InvolvedObject::Node(Arc::clone(&self.node));
        let pod = event.pod.as_ref().and_then(|pod| {
            let name = pod.name.as_ref()?;
            // Both names become parts of a URL.
            (is_name(&name.namespace) && is_name(&name.name)).then(|| InvolvedObject::Pod {
                namespace: name.namespace.clone(),
                name: name.name.clone(),
                uid: pod.uid.clone(),
            })
        });
        let (now, clock) = (tokio::time::Instant::now().into_std(), Timestamp::now());
        for object in std::iter::once(node).chain(pod) {
            let mut events = lock(&self.pending.events);
            let (source, occurrence) = (&update.source, update.occurrence.as_ref());
            if !events.add(source, object, event, occurrence, now, clock) {
                self.dropped.inc();
            }
        }
        self.pending.events_came.notify_one();
        self.pending.anything_came.notify_one();
    }
}

impl Exporter for KubernetesExporter {
    fn export(&mut self, status: &Update) {
        if self.write_conditions && !status.conditions.is_empty() {
            let mut conditions = lock(&self.pending.conditions);
            let changed = status.conditions.iter().filter(|c| conditions.set(c));
            if changed.count() > 0 {
                self.pending.conditions_changed.notify_one();
                self.pending.anything_came.notify_one();
            }
        }
        if self.write_events
            && let Some(event) = &status.event
            && !event.dry_run
        {
            self.take_event(status, event);
        }
        self.pending.given.store(status.number, Relaxed);
        self.pending.show_progress(&lock(&self.pending.events));
    }
}
