//! One Event: its count, the count that the server has, and how often it may be written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::event::{InvolvedObject, KubernetesEvent};
use crate::problem::{Action, Event, FaultyObject, Severity, bounded};

/// The first and the longest pause between two writes of one Event's count. It doubles each time.
const FIRST_PACE: Duration = Duration::from_secs(1);
const WIDEST_PACE: Duration = Duration::from_mins(1);

/// The memory of one Event without its texts, in bytes.
const OVERHEAD: usize = 512;

/// Events that are counted together.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct EventGroup {
    pub(super) source: Arc<str>,
    pub(super) object: InvolvedObject,
    pub(super) reason: Arc<str>,
    pub(super) severity: Severity,
    pub(super) action: Option<Action>,
}

/// One Event and its count.
#[derive(Debug)]
pub(super) struct CountedEvent {
    pub(super) kind: Arc<EventGroup>,
    /// Whether it counts different messages.
    combined: bool,
    pub(super) name: String,
    pub(super) message: String,
    /// That of the first of them.
    about: Option<FaultyObject>,
    first: Timestamp,
    last: Timestamp,
    pub(super) count: u64,
    /// How many of them the server has.
    pub(super) acknowledged: u64,
    /// Whether the server has an Event with this name.
    pub(super) created: bool,
    /// Whether it said so when the Event was to be created.
    pub(super) existed: bool,
    pub(super) stage: WriteStage,
    /// How many requests had succeeded when it was first forbidden.
    pub(super) forbidden_after: Option<u64>,
    pace: Duration,
    written: Option<Instant>,
    /// When it first happened.
    pub(super) begun: Instant,
    /// When it last happened.
    pub(super) seen: Instant,
}

/// The state of a [`CountedEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteStage {
    /// The server has everything.
    Settled,
    /// It must be created.
    Fresh,
    /// Its count must be written, at this time or later.
    Repeated(Instant),
    /// It is being written.
    InFlight,
}

impl EventGroup {
    /// The group of `event`.
    pub(super) fn of(source: &Arc<str>, object: InvolvedObject, event: &Event) -> Self {
        Self {
            source: Arc::clone(source),
            object,
            reason: Arc::clone(&event.reason),
            severity: event.severity,
            action: event.action,
        }
    }
    /// The memory of an Event of this kind, in bytes.
    pub(super) fn weight(&self, message: &str) -> usize {
        OVERHEAD + self.reason.len() + self.object.name().len() + message.len()
    }
}

impl CountedEvent {
    /// An Event that has happened once and must be created.
    pub(super) fn new(
        kind: Arc<EventGroup>,
        combined: bool,
        name: String,
        event: &Event,
        now: Instant,
    ) -> Self {
        Self {
            kind,
            combined,
            name,
            message: event.message.clone(),
            about: event.object.clone(),
            first: event.timestamp,
            last: event.timestamp,
            count: 1,
            acknowledged: 0,
            created: false,
            existed: false,
            stage: WriteStage::Fresh,
            forbidden_after: None,
            pace: FIRST_PACE,
            written: None,
            begun: now,
            seen: now,
        }
    }

    /// Its memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.kind.weight(&self.message)
    }

    /// Counts another occurrence.
    pub(super) fn repeat(&mut self, event: &Event, now: Instant) {
        self.count += 1;
        self.first = self.first.min(event.timestamp);
        self.last = self.last.max(event.timestamp);
        self.seen = now;
        if self.combined {
            self.message.clone_from(&event.message);
        }
    }

    /// The server has `count`. The pause grows while the Event keeps happening.
    pub(super) fn delivered(&mut self, count: u64, now: Instant) {
        self.created = true;
        self.forbidden_after = None;
        self.acknowledged = count;
        let calm = self
            .written
            .is_none_or(|written| now - written >= self.pace * 2);
        self.pace = if calm {
            FIRST_PACE
        } else {
            (self.pace * 2).min(WIDEST_PACE)
        };
        self.written = Some(now);
    }

    /// When its count may be written.
    pub(super) fn due(&self, now: Instant) -> Instant {
        self.written
            .map_or(now, |written| now.max(written + self.pace))
    }

    /// The Event to write.
    pub(super) fn to_kubernetes_event(&self) -> KubernetesEvent {
        let message = if self.combined {
            // client-go's text.
            bounded(format!("(combined from similar events): {}", self.message))
        } else {
            self.message.clone()
        };
        KubernetesEvent {
            name: self.name.clone(),
            object: self.kind.object.clone(),
            source: Arc::clone(&self.kind.source),
            reason: Arc::clone(&self.kind.reason),
            severity: self.kind.severity,
            action: self.kind.action,
            about: self.about.clone().filter(|_| !self.combined),
            message,
            first: self.first,
            last: self.last,
            count: self.count,
        }
    }
}
