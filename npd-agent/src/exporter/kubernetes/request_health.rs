//! What is told about requests that fail, and how long to wait before the next.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};

use super::api::{Cause, Failure, Permission};
use super::backoff::{Backoff, jittered};
use crate::status_page::StatusPage;

/// The pause when only somebody's action can help: a permission, a valid name.
const SLOW: Duration = Duration::from_mins(1);

/// The pause while there is no Node object or no namespace: somebody may be about to create it.
const MISSING: Duration = Duration::from_secs(20);

/// How long a 403 is taken for the answer of an API server that has just started, and whose
/// authorizer is not ready yet.
const DOUBT: Duration = Duration::from_secs(30);

/// The longest pause meanwhile.
const DOUBTING: Duration = Duration::from_secs(5);

/// How long the same complaint is not repeated in the log.
const SILENCE: Duration = Duration::from_mins(10);

/// What goes wrong in one line of work, and since when.
#[derive(Debug)]
pub(super) struct RequestHealth {
    status_page: StatusPage,
    /// The line of work, as `/status` names it.
    name: &'static str,
    random: fn() -> f64,
    backoff: Backoff,
    since: Option<Timestamp>,
    /// Since when every answer has been 403, or worse.
    forbidden_since: Option<Instant>,
    /// How many requests have succeeded.
    successes: u64,
    complained: bool,
    complaints: Vec<(Permission, Cause, Instant)>,
}

impl RequestHealth {
    /// Nothing has been tried yet.
    pub(super) fn new(status_page: StatusPage, name: &'static str, random: fn() -> f64) -> Self {
        let health = Self {
            status_page,
            name,
            random,
            backoff: Backoff::default(),
            since: None,
            forbidden_since: None,
            successes: 0,
            complained: false,
            complaints: Vec::new(),
        };
        health.show("nothing written yet".to_owned());
        health
    }

    /// A request has failed. Returns how long to wait before the next.
    pub(super) fn failed(&mut self, right: Permission, failure: &Failure) -> Duration {
        let since = *self.since.get_or_insert_with(Timestamp::now);
        self.show(format!("failing since {since:.0}: {right}: {failure}"));
        if failure.cause == Cause::Forbidden {
            self.forbidden_since.get_or_insert_with(Instant::now);
        } else {
            self.forbidden_since = None;
        }
        let cause = if self.doubts(failure) {
            Cause::Busy
        } else {
            failure.cause
        };
        self.complain(right, cause, failure);
        let random = (self.random)();
        let pause = self.backoff.pause(failure.retry_after, random);
        match cause {
            _ if self.doubts(failure) => pause.min(jittered(DOUBTING, random)),
            Cause::Forbidden | Cause::Refused => pause.max(jittered(SLOW, random)),
            Cause::Missing => pause.max(jittered(MISSING, random)),
            _ => pause,
        }
    }

    /// A request has failed as it may when all is well: an Event is there already, or has expired.
    /// Returns how long to wait before the next.
    pub(super) fn stumbled(&mut self) -> Duration {
        self.backoff.pause(None, (self.random)())
    }

    /// Whether a permission that is said to be missing may be there a moment later.
    pub(super) fn doubts(&self, failure: &Failure) -> bool {
        let since = self.forbidden_since;
        failure.cause == Cause::Forbidden && since.is_some_and(|since| since.elapsed() < DOUBT)
    }

    /// How many requests have succeeded.
    pub(super) fn successes(&self) -> u64 {
        self.successes
    }

    /// A request has succeeded.
    pub(super) fn over(&mut self) {
        self.backoff.reset();
        self.forbidden_since = None;
        self.successes += 1;
        if let Some(since) = self.since.take() {
            if std::mem::take(&mut self.complained) {
                info!(what = self.name, %since, "The API server takes what the agent writes again");
            }
            self.show("well".to_owned());
        }
    }

    /// All is well for the first time.
    pub(super) fn well(&mut self) {
        self.over();
        self.show("well".to_owned());
    }

    fn complain(&mut self, right: Permission, cause: Cause, failure: &Failure) {
        self.complaints
            .retain(|(.., when)| when.elapsed() < SILENCE);
        let known = |(r, c, _): &(Permission, Cause, Instant)| (*r, *c) == (right, cause);
        if self.complaints.iter().any(known) {
            return;
        }
        self.complaints.push((right, cause, Instant::now()));
        self.complained = true;
        let (verb, resource) = right.names();
        match (cause, right) {
            (Cause::Forbidden, _) => warn!(
                verb, resource, error = %failure,
                "Permission is missing; bind the ClusterRole system:node-problem-detector to the agent"
            ),
            (Cause::Missing, Permission::GetNode | Permission::PatchNodeStatus) => warn!(
                error = %failure,
                "The API server has no Node of this name; is it NODE_NAME or --hostname-override"
            ),
            (Cause::Missing, _) => warn!(
                verb, resource, error = %failure,
                "The API server has no such namespace; keeping Events until it has"
            ),
            (Cause::Refused, _) => warn!(
                verb, resource, error = %failure,
                "The API server refuses what the agent writes"
            ),
            _ => warn!(
                verb, resource, error = %failure,
                "The API server does not answer as it should; keeping everything and trying again"
            ),
        }
    }

    fn show(&self, text: String) {
        self.status_page.update(|shown| {
            shown.exporters.insert(self.name.to_owned(), text);
        });
    }
}
