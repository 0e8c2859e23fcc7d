//! One Event: what it counts, what the server knows of it, and how often it may be written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::event::{InvolvedObject, KubernetesEvent};
use crate::problem::{Event, bounded};

/// The pause between two writes of one Event's count: this at first, doubled up to the second.
const FIRST_PACE: Duration = Duration::from_secs(1);
const WIDEST_PACE: Duration = Duration::from_mins(1);

/// What one remembered Event costs beside its texts, in bytes.
const OVERHEAD: usize = 512;

/// What is counted together.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct EventGroup {
    pub(super) source: Arc<str>,
    pub(super) object: InvolvedObject,
    pub(super) reason: Arc<str>,
    pub(super) warning: bool,
}

/// One Event and its count.
#[derive(Debug)]
pub(super) struct CountedEvent {
    pub(super) kind: Arc<EventGroup>,
    /// Whether it counts different messages.
    combined: bool,
    pub(super) name: String,
    pub(super) message: String,
    first: Timestamp,
    last: Timestamp,
    pub(super) count: u64,
    /// How many of them the server knows of.
    pub(super) acknowledged: u64,
    /// Whether the server has an Event of this name.
    pub(super) created: bool,
    pub(super) place: WriteStage,
    /// How many requests had succeeded when it was first forbidden.
    pub(super) forbidden_after: Option<u64>,
    pace: Duration,
    written: Option<Instant>,
    /// When it last happened.
    pub(super) seen: Instant,
}

/// Where a [`CountedEvent`] is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteStage {
    /// The server knows all.
    Settled,
    /// Among those to be created.
    Fresh,
    /// Among those to be counted on, from then on.
    Repeated(Instant),
    /// With the one who writes.
    InFlight,
}

impl EventGroup {
    /// What an Event of this kind costs to remember, in bytes.
    pub(super) fn weight(&self, message: &str) -> usize {
        OVERHEAD + self.reason.len() + self.object.name().len() + message.len()
    }
}

impl CountedEvent {
    /// Something that has happened once and is to be told.
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
            first: event.timestamp,
            last: event.timestamp,
            count: 1,
            acknowledged: 0,
            created: false,
            place: WriteStage::Fresh,
            forbidden_after: None,
            pace: FIRST_PACE,
            written: None,
            seen: now,
        }
    }

    /// What it costs to remember, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.kind.weight(&self.message)
    }

    /// It has happened again.
    pub(super) fn repeat(&mut self, event: &Event, now: Instant) {
        self.count += 1;
        self.first = self.first.min(event.timestamp);
        self.last = self.last.max(event.timestamp);
        self.seen = now;
        if self.combined {
            self.message.clone_from(&event.message);
        }
    }

    /// The server knows of `count`. Its pace widens while it keeps happening.
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

    /// How it is to stand at the server.
    pub(super) fn to_kubernetes_event(&self) -> KubernetesEvent {
        let message = if self.combined {
            // client-go's words.
            bounded(format!("(combined from similar events): {}", self.message))
        } else {
            self.message.clone()
        };
        KubernetesEvent {
            name: self.name.clone(),
            object: self.kind.object.clone(),
            source: Arc::clone(&self.kind.source),
            reason: Arc::clone(&self.kind.reason),
            warning: self.kind.warning,
            message,
            first: self.first,
            last: self.last,
            count: self.count,
        }
    }
}
