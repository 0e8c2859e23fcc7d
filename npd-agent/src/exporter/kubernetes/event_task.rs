//! Writes Events, one after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::IntCounter;
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
    /// What is to be written.
    pub pending: Arc<Pending>,
    /// What all Events have in common.
    pub writer: EventWriter,
    /// What is known of the Node's uid. Nothing is written while it is being asked for.
    pub uid: watch::Receiver<NodeUid>,
    /// Where to tell what goes wrong.
    pub health: RequestHealth,
    /// Counts occurrences that the server will never know of.
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

    /// Writes one Event. Returns how long to pause if the server did not take it.
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
            events.delivered(delivery, now);
            self.pending.tell(&events);
            drop(events);
            self.pending.written.notify_one();
            self.health.well();
            return None;
        };
        // A pod's namespace may be gone, or closed to us; that says nothing about other Events.
        let is_pods = !delivery.event.object.is_node() && failure.from_api_server;
        match failure.cause {
            Cause::Conflict if delivery.create => {
                events.exists(delivery, now);
                return Some(self.health.stumbled());
            }
            Cause::Missing if !delivery.create => {
                events.missing(delivery, now);
                return Some(self.health.stumbled());
            }
            Cause::Missing if is_pods => {
                self.dropped.inc_by(events.refused(delivery));
                self.pending.tell(&events);
            }
            Cause::Forbidden if is_pods => {
                let pause = self.health.failed(call.right, &failure);
                let successes = self.health.successes();
                if self.health.doubts(&failure) && events.doubted(delivery, successes, now) {
                    return Some(pause);
                }
                self.dropped.inc_by(events.refused(delivery));
                self.pending.tell(&events);
            }
            Cause::Refused => {
                self.dropped.inc_by(events.refused(delivery));
                self.pending.tell(&events);
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
