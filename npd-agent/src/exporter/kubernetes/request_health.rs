//! Reports failed requests, and decides how long to wait before the next.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};

use super::api::{Cause, Failure, Permission};
use super::backoff::{Backoff, jittered};
use crate::status_page::StatusPage;

/// The pause if someone must act: grant a permission, correct a name.
const SLOW: Duration = Duration::from_mins(1);

/// The pause while the Node object or the namespace does not exist. It may be created soon.
const MISSING: Duration = Duration::from_secs(20);

/// For how long a 403 may come from an API server that has just started, and whose authorizer is not ready
/// yet.
const STARTING: Duration = Duration::from_secs(30);

/// The longest pause during that time.
const STARTING_PAUSE: Duration = Duration::from_secs(5);

/// How long the same warning is not repeated in the log.
const SILENCE: Duration = Duration::from_mins(10);

/// The failures of one task, and since when.
#[derive(Debug)]
pub(super) struct RequestHealth {
    status_page: StatusPage,
    /// The task's name in `/status`.
    name: &'static str,
    random: fn() -> f64,
    backoff: Backoff,
    since: Option<Timestamp>,
    /// Since when the answer to every request has been 403.
    forbidden_since: Option<Instant>,
    /// How many requests have succeeded.
    successes: u64,
    has_warned: bool,
    warnings: Vec<(Permission, Cause, Instant)>,
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
            has_warned: false,
            warnings: Vec::new(),
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
        let cause = if self.may_be_starting(failure) {
            Cause::Busy
        } else {
            failure.cause
        };
        self.warn_once(right, cause, failure);
        let random = (self.random)();
        let pause = self.backoff.pause(failure.retry_after, random);
        match cause {
            _ if self.may_be_starting(failure) => pause.min(jittered(STARTING_PAUSE, random)),
            Cause::Forbidden | Cause::Refused => pause.max(jittered(SLOW, random)),
            Cause::Missing => pause.max(jittered(MISSING, random)),
            _ => pause,
        }
    }

    /// A request has failed for a harmless reason: the Event already exists, or has expired. Returns how long
    /// to wait before the next.
    pub(super) fn failed_harmlessly(&mut self) -> Duration {
        self.backoff.pause(None, (self.random)())
    }

    /// Whether a 403 may come from an API server that is just starting.
    pub(super) fn may_be_starting(&self, failure: &Failure) -> bool {
        let since = self.forbidden_since;
        failure.cause == Cause::Forbidden && since.is_some_and(|since| since.elapsed() < STARTING)
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
            if std::mem::take(&mut self.has_warned) {
                info!(what = self.name, %since, "The API server accepts requests again");
            }
            self.show("well".to_owned());
        }
    }

    /// A write has succeeded.
    pub(super) fn well(&mut self) {
        self.over();
        self.show("well".to_owned());
    }

    fn warn_once(&mut self, right: Permission, cause: Cause, failure: &Failure) {
        self.warnings.retain(|(.., when)| when.elapsed() < SILENCE);
        let known = |(r, c, _): &(Permission, Cause, Instant)| (*r, *c) == (right, cause);
        if self.warnings.iter().any(known) {
            return;
        }
        self.warnings.push((right, cause, Instant::now()));
        self.has_warned = true;
        let (verb, resource) = right.names();
        match (cause, right) {
            (Cause::Forbidden, _) => warn!(
                verb, resource, error = %failure,
                "Permission is missing; bind the ClusterRole system:node-problem-detector to the agent"
            ),
            (Cause::Missing, Permission::GetNode | Permission::PatchNodeStatus) => warn!(
                error = %failure,
                "The API server has no Node with this name; check NODE_NAME and --hostname-override"
            ),
            (Cause::Missing, _) => warn!(
                verb, resource, error = %failure,
                "The API server does not have this namespace; storing Events until it does"
            ),
            (Cause::Refused, _) => warn!(
                verb, resource, error = %failure,
                "The API server rejects what the agent writes"
            ),
            _ => warn!(
                verb, resource, error = %failure,
                "The API server does not answer correctly; storing everything and trying again"
            ),
        }
    }

    fn show(&self, text: String) {
        self.status_page.update(|shown| {
            shown.exporters.insert(self.name.to_owned(), text);
        });
    }
}
