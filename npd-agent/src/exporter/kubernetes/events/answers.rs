//! What becomes of a write: the API server's answer.

use std::time::{Duration, Instant};

use super::{Correlator, Delivery};

impl Correlator {
    /// The write has succeeded. If the server has an Event for the first time now, returns how long ago it was
    /// found.
    pub(in crate::exporter::kubernetes) fn delivered(
        &mut self,
        delivery: &Delivery,
        now: Instant,
    ) -> Option<Duration> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let entry = self.events.get_mut(&delivery.id)?;
        let is_first = !entry.created && entry.acknowledged == 0;
        let waited = is_first.then(|| now.saturating_duration_since(entry.begun));
        entry.delivered(delivery.event.count, now);
        self.enqueue(delivery.id, now);
        self.forget_if_over(delivery.id);
        waited
    }

    /// The write has failed, and must be tried again after the others.
    pub(in crate::exporter::kubernetes) fn failed(&mut self, delivery: &Delivery, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.enqueue(delivery.id, now);
    }

    /// The server forbids the Event, perhaps only for a moment. Returns true if it is tried again: this is so
    /// if no request has succeeded (`successes`) since it was first forbidden.
    pub(in crate::exporter::kubernetes) fn doubted(
        &mut self,
        delivery: &Delivery,
        successes: u64,
        now: Instant,
    ) -> bool {
        let entry = self.events.get_mut(&delivery.id);
        let first = entry.map(|entry| *entry.forbidden_after.get_or_insert(successes));
        let doubted = first == Some(successes);
        if doubted {
            self.failed(delivery, now);
        }
        doubted
    }

    /// The server already has the Event: the answer was lost, or the agent before has written it. Its count
    /// may have grown since. Returns true if the server said so before.
    pub(in crate::exporter::kubernetes) fn exists(
        &mut self,
        delivery: &Delivery,
        now: Instant,
    ) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        let entry = self.events.get_mut(&delivery.id);
        let again = entry.is_some_and(|entry| {
            entry.created = true;
            entry.acknowledged = 0;
            std::mem::replace(&mut entry.existed, true)
        });
        self.enqueue(delivery.id, now);
        again
    }

    /// The server no longer has the Event. It must be created again, with its whole count.
    pub(in crate::exporter::kubernetes) fn missing(&mut self, delivery: &Delivery, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(entry) = self.events.get_mut(&delivery.id) {
            entry.created = false;
        }
        self.enqueue(delivery.id, now);
    }

    /// The server never accepts the Event. Returns how many occurrences are lost.
    pub(in crate::exporter::kubernetes) fn refused(&mut self, delivery: &Delivery) -> u64 {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(entry) = self.events.get(&delivery.id) else {
            return 0;
        };
        let lost = entry.count - entry.acknowledged;
        self.remove(delivery.id);
        lost
    }
}
