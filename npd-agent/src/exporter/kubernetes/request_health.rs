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

/// How long "forbidden" is not believed. An API server that has just started forbids everything
/// until it has read its roles.
const DOUBTED: Duration = Duration::from_secs(30);

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
    /// Since when everything has been forbidden.
    forbidden_since: Option<Instant>,
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
        let is_doubted = failure.cause == Cause::Forbidden && self.doubts_forbidden();
        if failure.cause != Cause::Forbidden {
            self.forbidden_since = None;
        }
        let random = (self.random)();
        let pause = self.backoff.pause(failure.retry_after, random);
        if is_doubted {
            return pause;
        }
        self.complain(right, failure);
        match failure.cause {
            Cause::Forbidden | Cause::Refused => pause.max(jittered(SLOW, random)),
            Cause::Missing => pause.max(jittered(MISSING, random)),
            _ => pause,
        }
    }

    /// A request has been forbidden. Whether that may be over soon, without anybody's action.
    pub(super) fn doubts_forbidden(&mut self) -> bool {
        let since = self.forbidden_since.get_or_insert_with(Instant::now);
        since.elapsed() < DOUBTED
    }

    /// A request has succeeded.
    pub(super) fn over(&mut self) {
        self.backoff.reset();
        self.forbidden_since = None;
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

    fn complain(&mut self, right: Permission, failure: &Failure) {
        self.complaints
            .retain(|(.., when)| when.elapsed() < SILENCE);
        let known = |(r, c, _): &(Permission, Cause, Instant)| (*r, *c) == (right, failure.cause);
        if self.complaints.iter().any(known) {
            return;
        }
        self.complaints.push((right, failure.cause, Instant::now()));
        self.complained = true;
        let (verb, resource) = right.names();
        match (failure.cause, right) {
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
