//! Writes the conditions of [`Pending`] to the Node at the API server, and reads the Node's uid.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use super::api::{Api, Call, Cause, Failure, Permission, lock, path_segment};
use super::backoff::jittered;
use super::conditions::removal;
use super::node::{FIELD_MANAGER, NodeObject};
use super::pending::Pending;
use super::rate_limit::RateLimit;
use super::request_health::RequestHealth;
use crate::problem::Forever;

/// The longest wait at the start while nothing is wrong. A fleet that starts at once spreads its first
/// requests over this time.
const START_SPREAD: Duration = Duration::from_secs(5);

/// The shortest time between two writes. Changes meanwhile are in the next write.
const GAP: Duration = Duration::from_millis(250);

/// If conditions keep changing, there are ten writes at this pace, and then one write per second.
const CHANGES_A_SECOND: f64 = 1.0;
const CHANGES_AT_ONCE: f64 = 10.0;

/// How often to read the Node's uid if there is no heartbeat, whose answer contains it.
const CHECK: Duration = Duration::from_mins(5);

/// After how many missed heartbeats another agent counts as gone.
const MISSED_HEARTBEATS: u32 = 3;

/// The shortest time between two reads of the Node at the start.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What is known about the Node's uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeUid {
    /// The first request is not yet answered.
    Asked,
    /// It could not be read.
    Unknown,
    /// The uid.
    Known(Arc<str>),
}

/// The settings of the task.
#[derive(Clone, Debug)]
pub(super) struct ConditionTaskConfig {
    /// The Node's name.
    pub node: Arc<str>,
    /// Whether to write conditions at all.
    pub write: bool,
    /// `--k8s-exporter-heartbeat-period`; `None` for no heartbeat.
    pub heartbeat: Option<Duration>,
    /// `--apiserver-wait-timeout`.
    pub wait_timeout: Duration,
    /// `--apiserver-wait-interval`.
    pub wait_interval: Duration,
    /// Returns random numbers from 0 to 1.
    pub random: fn() -> f64,
}

/// The task.
pub(super) struct ConditionTask {
    /// The API server.
    pub api: Arc<Api>,
    /// The conditions to write.
    pub pending: Arc<Pending>,
    /// The settings.
    pub config: ConditionTaskConfig,
    /// Publishes the Node's uid.
    pub uid: watch::Sender<NodeUid>,
    /// Reports failed requests.
    pub health: RequestHealth,
}

/// When to write next, and when to read.
struct WriteSchedule {
    /// Limits the writes of changes.
    changes: RateLimit,
    /// No write before this: the shortest gap, or a pause after a failure.
    hold: Instant,
    /// The next heartbeat, or the next read of the uid.
    tick: Instant,
    /// When to examine the conditions that may have to be removed.
    examine: Option<Instant>,
}

enum Work {
    /// Write all conditions.
    Write,
    /// Check that it is still the same Node, with our conditions.
    Check,
    /// Check whether suspected conditions must be removed.
    Examine,
}

impl ConditionTask {
    /// Runs for ever.
    pub(super) async fn run(mut self) -> Forever {
        self.settle().await;
        let node = self.read_node(self.config.wait_timeout).await;
        let now = Instant::now();
        let mut schedule = WriteSchedule {
            changes: RateLimit::new(CHANGES_A_SECOND, CHANGES_AT_ONCE, now.into_std()),
            hold: now,
            tick: now + self.first_tick(node.as_ref()),
            examine: self.when_to_examine(),
        };
        loop {
            let (due, work) = self.next(&schedule);
            tokio::select! {
                () = self.pending.conditions_changed.notified() => continue,
                () = sleep_until(due) => {}
            }
            let done = match work {
                Work::Write => self.write(&mut schedule).await,
                Work::Check => self.check(&mut schedule).await,
                Work::Examine => self.examine(&mut schedule).await,
            };
            if let Err((right, failure)) = done {
                let pause = self.health.failed(right, &failure);
                if failure.cause == Cause::Missing {
                    sleep(pause).await;
                    self.read_node(Duration::ZERO).await;
                    schedule.examine = self.when_to_examine();
                } else {
                    schedule.hold = Instant::now() + pause;
                }
            }
        }
    }

    /// Waits for a random time, unless something is wrong.
    async fn settle(&self) {
        let spread = START_SPREAD.mul_f64((self.config.random)());
        let end = Instant::now() + spread;
        while !self.pending.is_urgent() {
            tokio::select! {
                () = self.pending.anything_came.notified() => {}
                () = sleep_until(end) => return,
            }
        }
    }

    /// Reads the Node, and tries until that succeeds. Nothing is written before. `None` if reading is
    /// forbidden.
    async fn read_node(&mut self, wait: Duration) -> Option<NodeObject> {
        let deadline = Instant::now() + wait;
        loop {
            let failure = match self.api.call::<NodeObject>(&get(&self.config.node)).await {
                Ok(node) => {
                    self.health.over();
                    lock(&self.pending.conditions).learn(&node);
                    self.set_uid(&node);
                    return Some(node);
                }
                Err(failure) => failure,
            };
            let pause = self.health.failed(Permission::GetNode, &failure);
            if failure.cause == Cause::Forbidden && !self.health.may_be_starting(&failure) {
                self.uid.send_replace(NodeUid::Unknown);
                lock(&self.pending.conditions).forget();
                return None;
            }
            if Instant::now() < deadline {
                let interval = self.config.wait_interval.max(SHORTEST_INTERVAL);
                let interval = jittered(interval, (self.config.random)());
                let asked = failure.retry_after.map_or(Duration::ZERO, |_| pause);
                sleep(interval.max(asked)).await;
            } else {
                self.uid.send_if_modified(|uid| {
                    let asked = *uid == NodeUid::Asked;
                    *uid = if asked { NodeUid::Unknown } else { uid.clone() };
                    asked
                });
                sleep(pause).await;
            }
        }
    }

    /// The time until the first heartbeat. It continues the heartbeat of the agent before, so a fleet that
    /// restarts at once stays out of step.
    fn first_tick(&self, node: Option<&NodeObject>) -> Duration {
        let period = self.period();
        let random = (self.config.random)();
        let heard = node.and_then(|node| lock(&self.pending.conditions).oldest_heartbeat(node));
        let Some(heard) = heard else {
            return period.mul_f64(random);
        };
        let ago = Timestamp::now().duration_since(heard);
        let ago = Duration::try_from(ago).unwrap_or_default();
        let left = jittered(period, random).saturating_sub(ago);
        left.max(START_SPREAD.mul_f64(random))
    }

    fn period(&self) -> Duration {
        self.config.heartbeat.unwrap_or(CHECK)
    }

    fn when_to_examine(&self) -> Option<Instant> {
        let worth = self.config.write && lock(&self.pending.conditions).has_suspects();
        worth.then(|| Instant::now() + self.period() * MISSED_HEARTBEATS)
    }

    fn next(&self, schedule: &WriteSchedule) -> (Instant, Work) {
        let conditions = lock(&self.pending.conditions);
        if self.config.write && conditions.is_dirty() {
            let ready = schedule.changes.ready_at(Instant::now().into_std());
            return (Instant::from_std(ready).max(schedule.hold), Work::Write);
        }
        let beats = self.config.write && self.config.heartbeat.is_some();
        let work = if beats && !conditions.is_empty() {
            Work::Write
        } else {
            Work::Check
        };
        let (due, work) = match schedule.examine {
            Some(examine) if examine < schedule.tick => (examine, Work::Examine),
            _ => (schedule.tick, work),
        };
        (due.max(schedule.hold), work)
    }

    async fn write(&mut self, schedule: &mut WriteSchedule) -> Result<(), (Permission, Failure)> {
        let start = Instant::now();
        let patch = {
            let conditions = lock(&self.pending.conditions);
            if conditions.is_dirty() {
                schedule.changes.take(start.into_std());
            }
            conditions.patch(Timestamp::now())
        };
        schedule.hold = start + GAP;
        let call = patch_status(&self.config.node, patch.body.clone());
        let node: NodeObject = self.call(&call).await?;
        self.health.well();
        lock(&self.pending.conditions).wrote(&patch);
        self.pending.written.notify_one();
        self.set_uid(&node);
        schedule.tick = Instant::now() + jittered(self.period(), (self.config.random)());
        Ok(())
    }

    async fn check(&mut self, schedule: &mut WriteSchedule) -> Result<(), (Permission, Failure)> {
        let node = self.call(&check(&self.config.node)).await?;
        self.health.over();
        let another = self.set_uid(&node);
        let mut conditions = lock(&self.pending.conditions);
        if another || (self.config.write && conditions.are_lost(&node)) {
            conditions.forget();
        }
        schedule.tick = Instant::now() + jittered(self.period(), (self.config.random)());
        Ok(())
    }

    async fn examine(&mut self, schedule: &mut WriteSchedule) -> Result<(), (Permission, Failure)> {
        let node = self.call(&get(&self.config.node)).await?;
        self.health.over();
        schedule.examine = None;
        lock(&self.pending.conditions).examine(&node);
        Ok(())
    }

    async fn call(&self, call: &Call) -> Result<NodeObject, (Permission, Failure)> {
        let answer = self.api.call(call).await;
        answer.map_err(|failure| (call.right, failure))
    }

    /// Returns true if it is another Node object than before.
    fn set_uid(&self, node: &NodeObject) -> bool {
        let uid = &*node.metadata.uid;
        if uid.is_empty() {
            return false;
        }
        let mut another = false;
        self.uid.send_if_modified(|known| {
            let changed = !matches!(known, NodeUid::Known(old) if **old == *uid);
            another = changed && matches!(known, NodeUid::Known(_));
            if changed {
                *known = NodeUid::Known(Arc::from(uid));
            }
            changed
        });
        if another {
            info!(uid, "The Node object was deleted and created again");
        }
        another
    }
}

/// Removes from the Node every condition that this agent was the last to write.
pub(super) async fn remove_conditions(api: &Api, node: &str) -> Result<Vec<String>, Failure> {
    let object: NodeObject = api.call(&get(node)).await?;
    let mut ours = object.written_by_us();
    ours.retain(|r#type| object.condition(r#type).is_some());
    if !ours.is_empty() {
        let removals: Vec<_> = ours.iter().map(|r#type| removal(r#type)).collect();
        let body = serde_json::json!({ "status": { "conditions": removals } });
        let _: NodeObject = api.call(&patch_status(node, body)).await?;
    }
    Ok(ours.into_iter().collect())
}

/// Reads the present Node. The server's cache may not yet contain what the agent before wrote.
fn get(node: &str) -> Call {
    Call {
        right: Permission::GetNode,
        path: node_path(node),
        body: None,
        metadata_only: false,
    }
}

/// Reads the Node's metadata from the server's cache, without a read of its database.
fn check(node: &str) -> Call {
    Call {
        right: Permission::GetNode,
        path: node_path(node) + "?resourceVersion=0",
        body: None,
        metadata_only: true,
    }
}

fn node_path(node: &str) -> String {
    format!("/api/v1/nodes/{}", path_segment(node))
}

fn patch_status(node: &str, body: serde_json::Value) -> Call {
    Call {
        right: Permission::PatchNodeStatus,
        path: format!("{}/status?fieldManager={FIELD_MANAGER}", node_path(node)),
        body: Some(body),
        metadata_only: true,
    }
}
