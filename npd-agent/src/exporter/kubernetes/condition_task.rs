//! Keeps the Node's conditions at the API server in line with the [`Pending`], and learns the Node's
//! uid on the way.

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

/// How long a start waits, at most, while nothing is wrong: a fleet that starts at once spreads its
/// first requests over this long.
const START_SPREAD: Duration = Duration::from_secs(5);

/// The shortest time between two writes. What changes meanwhile goes with the next.
const GAP: Duration = Duration::from_millis(250);

/// A condition that keeps changing is written ten times at that pace, and then once a second.
const CHANGES_A_SECOND: f64 = 1.0;
const CHANGES_AT_ONCE: f64 = 10.0;

/// How often to ask for the Node's uid when there is no heartbeat that would tell it.
const CHECK: Duration = Duration::from_mins(5);

/// After how many heartbeats without a word an agent is not there any more.
const WORDLESS: u32 = 3;

/// The shortest time between two questions for the Node at the start.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of the Node's uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeUid {
    /// The API server is being asked.
    Asked,
    /// It does not tell, for now.
    Unknown,
    /// The uid.
    Known(Arc<str>),
}

/// How the task is to behave.
#[derive(Clone, Debug)]
pub(super) struct Manners {
    /// The Node's name.
    pub node: Arc<str>,
    /// Whether to write conditions at all.
    pub write: bool,
    /// `--k8s-exporter-heartbeat-period`, if there is to be a heartbeat.
    pub heartbeat: Option<Duration>,
    /// `--apiserver-wait-timeout`.
    pub wait_timeout: Duration,
    /// `--apiserver-wait-interval`.
    pub wait_interval: Duration,
    /// Draws numbers from 0 to 1.
    pub random: fn() -> f64,
}

/// The task.
pub(super) struct ConditionTask {
    /// The API server.
    pub api: Arc<Api>,
    /// What is to stand there.
    pub pending: Arc<Pending>,
    /// How to go about it.
    pub manners: Manners,
    /// Where to tell the Node's uid.
    pub uid: watch::Sender<NodeUid>,
    /// Where to tell what goes wrong.
    pub health: RequestHealth,
}

/// When to write next, and when to ask.
struct Diary {
    /// Paces writes of changes.
    changes: RateLimit,
    /// No write before then: the shortest gap, or a pause after a failure.
    hold: Instant,
    /// The next heartbeat, or the next question for the uid.
    tick: Instant,
    /// When to look again at conditions that may be leftovers.
    examine: Option<Instant>,
}

enum Work {
    /// Write all conditions.
    Write,
    /// Look whether it is still the same Node, with our conditions.
    Check,
    /// Look whether leftovers are abandoned.
    Examine,
}

impl ConditionTask {
    /// Runs for ever.
    pub(super) async fn run(mut self) -> Forever {
        self.settle().await;
        let node = self.meet(self.manners.wait_timeout).await;
        let now = Instant::now();
        let mut diary = Diary {
            changes: RateLimit::new(CHANGES_A_SECOND, CHANGES_AT_ONCE, now.into_std()),
            hold: now,
            tick: now + self.first_tick(node.as_ref()),
            examine: self.when_to_examine(),
        };
        loop {
            let (due, work) = self.next(&diary);
            tokio::select! {
                () = self.pending.conditions_changed.notified() => continue,
                () = sleep_until(due) => {}
            }
            let done = match work {
                Work::Write => self.write(&mut diary).await,
                Work::Check => self.check(&mut diary).await,
                Work::Examine => self.examine(&mut diary).await,
            };
            if let Err((right, failure)) = done {
                let pause = self.health.failed(right, &failure);
                if failure.cause == Cause::Missing {
                    sleep(pause).await;
                    self.meet(Duration::ZERO).await;
                    diary.examine = self.when_to_examine();
                } else {
                    diary.hold = Instant::now() + pause;
                }
            }
        }
    }

    /// Waits a random while, but not when something is wrong.
    async fn settle(&self) {
        let spread = START_SPREAD.mul_f64((self.manners.random)());
        let end = Instant::now() + spread;
        while !self.pending.is_urgent() {
            tokio::select! {
                () = self.pending.anything_came.notified() => {}
                () = sleep_until(end) => return,
            }
        }
    }

    /// Reads the Node, however long that takes. Nothing is written before, for the server has to
    /// answer anyway. `None` if reading is forbidden.
    async fn meet(&mut self, wait: Duration) -> Option<NodeObject> {
        let deadline = Instant::now() + wait;
        loop {
            let failure = match self.api.call::<NodeObject>(&get(&self.manners.node)).await {
                Ok(node) => {
                    self.health.over();
                    lock(&self.pending.conditions).learn(&node);
                    self.tell_uid(&node);
                    return Some(node);
                }
                Err(failure) => failure,
            };
            let pause = self.health.failed(Permission::GetNode, &failure);
            if failure.cause == Cause::Forbidden && !self.health.doubts(&failure) {
                self.uid.send_replace(NodeUid::Unknown);
                lock(&self.pending.conditions).forget();
                return None;
            }
            if Instant::now() < deadline {
                let interval = self.manners.wait_interval.max(SHORTEST_INTERVAL);
                let interval = jittered(interval, (self.manners.random)());
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

    /// When the first heartbeat is due: as if this process had written what stands there, so that
    /// a fleet that restarts together is out of step as before.
    fn first_tick(&self, node: Option<&NodeObject>) -> Duration {
        let period = self.period();
        let random = (self.manners.random)();
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
        self.manners.heartbeat.unwrap_or(CHECK)
    }

    fn when_to_examine(&self) -> Option<Instant> {
        let worth = self.manners.write && lock(&self.pending.conditions).has_suspects();
        worth.then(|| Instant::now() + self.period() * WORDLESS)
    }

    fn next(&self, diary: &Diary) -> (Instant, Work) {
        let conditions = lock(&self.pending.conditions);
        if self.manners.write && conditions.is_dirty() {
            let ready = diary.changes.ready_at(Instant::now().into_std());
            return (Instant::from_std(ready).max(diary.hold), Work::Write);
        }
        let beats = self.manners.write && self.manners.heartbeat.is_some();
        let work = if beats && !conditions.is_empty() {
            Work::Write
        } else {
            Work::Check
        };
        let (due, work) = match diary.examine {
            Some(examine) if examine < diary.tick => (examine, Work::Examine),
            _ => (diary.tick, work),
        };
        (due.max(diary.hold), work)
    }

    async fn write(&mut self, diary: &mut Diary) -> Result<(), (Permission, Failure)> {
        let start = Instant::now();
        let patch = {
            let conditions = lock(&self.pending.conditions);
            if conditions.is_dirty() {
                diary.changes.take(start.into_std());
            }
            conditions.patch(Timestamp::now())
        };
        diary.hold = start + GAP;
        let call = patch_status(&self.manners.node, patch.body.clone());
        let node: NodeObject = self.call(&call).await?;
        self.health.well();
        lock(&self.pending.conditions).wrote(&patch);
        self.pending.written.notify_one();
        self.tell_uid(&node);
        diary.tick = Instant::now() + jittered(self.period(), (self.manners.random)());
        Ok(())
    }

    async fn check(&mut self, diary: &mut Diary) -> Result<(), (Permission, Failure)> {
        let node = self.call(&check(&self.manners.node)).await?;
        self.health.over();
        let another = self.tell_uid(&node);
        let mut conditions = lock(&self.pending.conditions);
        if another || (self.manners.write && conditions.are_lost(&node)) {
            conditions.forget();
        }
        diary.tick = Instant::now() + jittered(self.period(), (self.manners.random)());
        Ok(())
    }

    async fn examine(&mut self, diary: &mut Diary) -> Result<(), (Permission, Failure)> {
        let node = self.call(&get(&self.manners.node)).await?;
        self.health.over();
        diary.examine = None;
        lock(&self.pending.conditions).examine(&node);
        Ok(())
    }

    async fn call(&self, call: &Call) -> Result<NodeObject, (Permission, Failure)> {
        let answer = self.api.call(call).await;
        answer.map_err(|failure| (call.right, failure))
    }

    /// True if it is another Node than before.
    fn tell_uid(&self, node: &NodeObject) -> bool {
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
            info!(uid, "The Node object was deleted and created anew");
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

/// Reads the Node as it is now. The server's cache may be behind what our predecessor wrote.
fn get(node: &str) -> Call {
    Call {
        right: Permission::GetNode,
        path: node_path(node),
        body: None,
        metadata_only: false,
    }
}

/// Reads the Node's metadata from the server's cache, which costs its database nothing.
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
