//! A correlator with a clock and a server of its own, for the tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::{Correlator, Delivery, NextWrite};
use crate::exporter::kubernetes::event::{InvolvedObject, KubernetesEvent};
use crate::node::{Node, Roots};
use crate::problem::{Event, OccurrenceId, Severity};

/// A correlator, a clock, and a server that takes everything at once.
pub(super) struct CorrelatorBench {
    pub(super) correlator: Correlator,
    start: Instant,
    pub(super) now: Instant,
    /// What the server has, by name.
    pub(super) server: Vec<KubernetesEvent>,
    pub(super) writes: usize,
}

pub(super) fn clock(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn event(reason: &str, message: &str, second: i64) -> Event {
    Event {
        severity: Severity::Warning,
        timestamp: clock(second),
        reason: Arc::from(reason),
        message: message.to_owned(),
        action: None,
        object: None,
        pod: None,
        dry_run: false,
    }
}

pub(super) fn node() -> InvolvedObject {
    InvolvedObject::Node(Arc::from("n1"))
}

fn test_node(boot_id: &str) -> Node {
    Node {
        name: "n1".to_owned(),
        roots: Roots::from_env(|_| None),
        boot_id: boot_id.to_owned(),
    }
}

impl CorrelatorBench {
    pub(super) fn new() -> Self {
        Self::of_boot("")
    }

    /// A correlator of an agent that knows the boot.
    pub(super) fn of_boot(boot_id: &str) -> Self {
        let start = Instant::now();
        Self {
            correlator: Correlator::new(&test_node(boot_id)),
            start,
            now: start,
            server: Vec::new(),
            writes: 0,
        }
    }

    pub(super) fn second(&self) -> i64 {
        i64::try_from((self.now - self.start).as_secs()).unwrap()
    }

    pub(super) fn add(&mut self, reason: &str, message: &str) -> bool {
        self.add_of("kernel-monitor", node(), reason, message)
    }

    pub(super) fn add_of(
        &mut self,
        source: &str,
        object: InvolvedObject,
        reason: &str,
        message: &str,
    ) -> bool {
        let event = event(reason, message, self.second());
        let now = clock(self.second());
        let source = Arc::from(source);
        self.correlator
            .add(&source, object, &event, None, self.now, now)
    }

    /// Adds what was found in a source that may be read again.
    pub(super) fn find(&mut self, found: u64, object: InvolvedObject, reason: &str, message: &str) {
        let event = event(reason, message, self.second());
        let occurrence = OccurrenceId {
            source: Some(Arc::from("kmsg")),
            found,
        };
        let (source, now) = (Arc::from("kernel-monitor"), clock(self.second()));
        self.correlator
            .add(&source, object, &event, Some(&occurrence), self.now, now);
    }

    pub(super) fn take(&mut self) -> Option<Delivery> {
        match self.correlator.next(self.now) {
            NextWrite::Write(delivery) => Some(*delivery),
            _ => None,
        }
    }

    /// The server takes what is due now.
    pub(super) fn deliver(&mut self) {
        while let Some(delivery) = self.take() {
            self.writes += 1;
            match self.serve(&delivery) {
                Ok(()) => {
                    self.correlator.delivered(&delivery, self.now);
                }
                Err(()) if delivery.create => {
                    self.correlator.exists(&delivery, self.now);
                }
                Err(()) => self.correlator.missing(&delivery, self.now),
            }
        }
    }

    /// What the server makes of a request: 409 and 404 are errors.
    pub(super) fn serve(&mut self, delivery: &Delivery) -> Result<(), ()> {
        let event = &delivery.event;
        let known = self
            .server
            .iter_mut()
            .find(|known| known.name == event.name);
        match known {
            Some(_) if delivery.create => Err(()),
            None if !delivery.create => Err(()),
            Some(known) => {
                known.clone_from(event);
                Ok(())
            }
            None => {
                self.server.push(event.clone());
                Ok(())
            }
        }
    }

    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.deliver();
            match self.correlator.next(self.now) {
                NextWrite::At(due) if due <= end => self.now = due,
                NextWrite::At(_) | NextWrite::Nothing => break,
                NextWrite::Write(_) => panic!("everything due was delivered"),
            }
        }
        self.now = end;
    }

    pub(super) fn total(&self) -> u64 {
        self.server.iter().map(|event| event.count).sum()
    }
}
