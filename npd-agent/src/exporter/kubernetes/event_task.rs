//! Writes Events, one at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Histogram, IntCounter};
use serde::de::IgnoredAny;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::api::{Api, Cause, lock};
use super::condition_task::NodeUid;
use super::event::EventWriter;
use super::events::{Delivery, NextWrite};
use super::pending::Pending;
use super::request_health::RequestHealth;
use crate::problem::Forever;

/// The task.
pub(super) struct EventTask {
    /// The API server.
    pub api: Arc<Api>,
    /// The Events to write.
    pub pending: Arc<Pending>,
    /// The values that all Events share.
    pub writer: EventWriter,
    /// What is known about the Node's uid. Nothing is written before the first answer.
    pub uid: watch::Receiver<NodeUid>,
    /// Reports failed requests.
    pub health: RequestHealth,
    /// How long each Event waited until the server had it.
    pub latency: Histogram,
    /// Counts occurrences that cannot be written.
    pub dropped: IntCounter,
}

impl EventTask {
    /// Runs for ever.
    pub(super) async fn run(mut self) -> Forever {
        // An Event without the Node's uid is not shown by `kubectl describe node`.
        self.uid.wait_for(|uid| *uid != NodeUid::Asked).await?;
        loop {
            self.look_at_uid();
            let next = self.next();
            let due = match next {
                NextWrite::Write(delivery) => {
                    if let Some(pause) = self.write(&delivery).await {
                        sleep(pause).await;
                    }
                    continue;
                }
                NextWrite::At(due) => Some(Instant::from_std(due)),
                NextWrite::Nothing => None,
            };
            tokio::select! {
                () = self.pending.events_came.notified() => {}
                changed = self.uid.changed() => changed?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    fn next(&self) -> NextWrite {
        lock(&self.pending.events).next(Instant::now().into_std())
    }

    fn look_at_uid(&mut self) {
        let NodeUid::Known(uid) = self.uid.borrow_and_update().clone() else {
            return;
        };
        let old = self.writer.node_uid.replace(Arc::clone(&uid));
        if old.is_some_and(|old| old != uid) {
            lock(&self.pending.events).node_replaced(Timestamp::now());
        }
    }

    /// Writes one Event. Returns how long to pause if this failed.
    async fn write(&mut self, delivery: &Delivery) -> Option<Duration> {
        let call = if delivery.create {
            self.writer.create(&delivery.event)
        } else {
            self.writer.count(&delivery.event)
        };
        let answer = self.api.call::<IgnoredAny>(&call).await;
        let now = Instant::now().into_std();
        let mut events = lock(&self.pending.events);
        let Err(failure) = answer else {
            if let Some(waited) = events.delivered(delivery, now) {
                self.latency.observe(waited.as_secs_f64());
            }
            self.pending.show_progress(&events);
            drop(events);
            self.pending.written.notify_one();
            self.health.well();
            return None;
        };
        // A pod's namespace may be gone or forbidden. Other Events do not depend on it.
        let is_pods = !delivery.event.object.is_node() && failure.from_api_server;
        match failure.cause {
            Cause::Conflict if delivery.create => {
                let again = events.exists(delivery, now);
                return again.then(|| self.health.failed_harmlessly());
            }
            Cause::Missing if !delivery.create => {
                events.missing(delivery, now);
                return Some(self.health.failed_harmlessly());
            }
            Cause::Missing if is_pods => {
                self.dropped.inc_by(events.refused(delivery));
                self.pending.show_progress(&events);
            }
            Cause::Forbidden if is_pods => {
                let pause = self.health.failed(call.right, &failure);
                let successes = self.health.successes();
                if self.health.may_be_starting(&failure) && events.doubted(delivery, successes, now)
                {
                    return Some(pause);
                }
                self.dropped.inc_by(events.refused(delivery));
                self.pending.show_progress(&events);
            }
            Cause::Refused => {
                self.dropped.inc_by(events.refused(delivery));
                self.pending.show_progress(&events);
                drop(events);
                self.health.failed(call.right, &failure);
            }
            _ => {
                events.failed(delivery, now);
                drop(events);
                return Some(self.health.failed(call.right, &failure));
            }
        }
        None
    }
}
