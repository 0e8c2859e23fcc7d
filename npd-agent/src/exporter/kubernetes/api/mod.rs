//! One request to the API server: its deadline, its rate limit, its metrics, and the meaning of a failure.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, StatusCode};
use kube::Client;
use kube::client::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prometheus::IntCounterVec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::rate_limit::RateLimit;
use crate::threads::ThreadPool;

/// How long one request may take, from connecting to the last byte. A healthy server answers in
/// milliseconds. A connection that a router has dropped never answers.
const DEADLINE: Duration = Duration::from_secs(10);

/// How many requests per second all tasks together make while requests fail.
const FAILURES_A_SECOND: f64 = 2.0;

/// The longest answer that is read. A Node with thousands of images stays below 1 MiB.
const LONGEST_ANSWER: usize = 8 << 20;

/// The longest part of a server's message that is shown.
const LONGEST_MESSAGE: usize = 512;

/// Makes a client; called again when the last one failed, so that it reads new credentials.
pub(super) type Connect = Arc<dyn Fn() -> anyhow::Result<Client> + Send + Sync>;

/// The API server.
pub(super) struct Api {
    connect: Connect,
    client: Mutex<Option<Client>>,
    /// Held while a client is made, so that only one attempt can hang.
    connecting: Arc<tokio::sync::Mutex<()>>,
    threads: ThreadPool,
    rate_limit: Mutex<Option<RateLimit>>,
    /// Limits failed requests to [`FAILURES_A_SECOND`], whatever the reason.
    failing: Mutex<Option<RateLimit>>,
    requests: IntCounterVec,
    deadline: Duration,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// The permission that it needs.
    pub right: Permission,
    /// Path and query.
    pub path: String,
    /// The body, if it has one.
    pub body: Option<serde_json::Value>,
    /// Whether the answer may contain only the object's metadata, which makes it much smaller.
    pub metadata_only: bool,
}

/// A permission, as RBAC grants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// To read the Node.
    GetNode,
    /// To write its conditions.
    PatchNodeStatus,
    /// To create an Event.
    CreateEvent,
    /// To write an Event's count.
    PatchEvent,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The kind of failure.
    pub cause: Cause,
    /// The message for people.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether the API server itself sent this answer.
    pub from_api_server: bool,
}

/// The kinds of failures that are handled differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No complete answer: refused, reset, timed out, untrusted, or invalid.
    Unreachable,
    /// 401: the token or certificate is not accepted. The next request reads it again.
    Unauthorized,
    /// 403: the permission is missing.
    Forbidden,
    /// 404 or 410: the object does not exist.
    Missing,
    /// 409: the object already exists, or somebody else has changed it.
    Conflict,
    /// The server is overloaded, or something other than the API server answered: 408, 429, 5xx, and every
    /// answer that an API server does not give to such a request, for example a load balancer's redirect.
    Busy,
    /// The API server rejects the request, and will always do so.
    Refused,
}

impl Permission {
    /// The verb and the resource, as RBAC names them.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::GetNode => ("get", "nodes"),
            Self::PatchNodeStatus => ("patch", "nodes/status"),
            Self::CreateEvent => ("create", "events"),
            Self::PatchEvent => ("patch", "events"),
        }
    }

    fn method(self) -> Method {
        match self {
            Self::GetNode => Method::GET,
            Self::CreateEvent => Method::POST,
            Self::PatchNodeStatus | Self::PatchEvent => Method::PATCH,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, resource) = self.names();
        write!(f, "{verb} {resource}")
    }
}

/// The characters that are escaped in a path: all but RFC 3986's "unreserved".
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Escapes a name for [`Call::path`], also one that no object can have.
pub(super) fn path_segment(name: &str) -> impl fmt::Display {
    utf8_percent_encode(name, RESERVED)
}

impl Api {
    /// Uses the clients that `connect` makes. `requests` has the labels verb, resource and code.
    pub(super) fn new(
        connect: Connect,
        rate_limit: Option<RateLimit>,
        requests: IntCounterVec,
    ) -> Self {
        Self {
            connect,
            client: Mutex::new(None),
            connecting: Arc::default(),
            threads: ThreadPool::new("client", 1),
            rate_limit: Mutex::new(rate_limit),
            failing: Mutex::new(None),
            requests,
            deadline: DEADLINE,
        }
    }

    /// Makes a request and reads its answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Failure> {
        wait_for_token(&self.rate_limit).await;
        wait_for_token(&self.failing).await;
        let answer = timeout(self.deadline, self.exchange(call)).await;
        let late = || unreachable(&format_args!("no answer within {:?}", self.deadline));
        let answer = answer.unwrap_or_else(|_| Err(late()));
        let code = match &answer {
            Ok((status, ..)) => status.as_str(),
            Err(_) => "none",
        };
        let (verb, resource) = call.right.names();
        self.requests
            .with_label_values(&[verb, resource, code])
            .inc();
        let result = answer.and_then(|(status, headers, body)| understand(status, &headers, &body));
        self.pace_failures(result.is_err());
        if let Err(failure) = &result {
            debug!(request = %call.right, %failure, "Request failed");
            if matches!(failure.cause, Cause::Unreachable | Cause::Unauthorized) {
                *lock(&self.client) = None;
            }
        }
        result
    }

    fn pace_failures(&self, failed: bool) {
        let mut failing = lock(&self.failing);
        if !failed {
            *failing = None;
        } else if failing.is_none() {
            let now = Instant::now().into_std();
            let mut pace = RateLimit::new(FAILURES_A_SECOND, 1.0, now);
            pace.take(now);
            *failing = Some(pace);
        }
    }

    async fn exchange(&self, call: &Call) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
        let client = self.client().await?;
        let request = request(call).map_err(|error| unreachable(&error))?;
        let answer = client.send(request).await;
        let answer = answer.map_err(|error| unreachable_because(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER);
        let body = body.collect().await;
        let body = body.map_err(|error| unreachable_because(&*error))?;
        Ok((head.status, head.headers, body.to_bytes().to_vec()))
    }

    /// The client. If there is none, makes one on a thread of its own: this reads files, and a kubeconfig may
    /// name a program that gets a token.
    async fn client(&self) -> Result<Client, Failure> {
        let known = || lock(&self.client).clone();
        if let Some(client) = known() {
            return Ok(client);
        }
        let turn = Arc::clone(&self.connecting).lock_owned().await;
        if let Some(client) = known() {
            return Ok(client);
        }
        let connect = Arc::clone(&self.connect);
        let threads = self.threads.ready();
        let threads = threads.map_err(|error| unreachable(&error))?;
        let runtime = Handle::current();
        let made = threads.run(move || {
            let _turn = turn;
            // The client makes its tasks there.
            let _runtime = runtime.enter();
            connect()
        });
        let made = made.await;
        let made = made.map_err(|error| unreachable(&error))?;
        let client = made.map_err(|error| unreachable(&format_args!("{error:#}")))?;
        *lock(&self.client) = Some(client.clone());
        Ok(client)
    }
}

async fn wait_for_token(rate_limit: &Mutex<Option<RateLimit>>) {
    let now = Instant::now();
    let ready = lock(rate_limit)
        .as_mut()
        .map(|rate_limit| rate_limit.take(now.into_std()));
    if let Some(ready) = ready {
        sleep_until(Instant::from_std(ready)).await;
    }
}

/// Locks a mutex, also after a panic: no value is ever left half-changed under a lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request(call: &Call) -> anyhow::Result<Request<Body>> {
    let accept = if call.metadata_only {
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
    } else {
        "application/json"
    };
    let mut request = Request::builder()
        .method(call.right.method())
        .uri(&call.path)
        .header(ACCEPT, HeaderValue::from_static(accept));
    let body = match &call.body {
        None => Body::empty(),
        Some(body) => {
            let kind = match call.right {
                Permission::CreateEvent => "application/json",
                _ => "application/strategic-merge-patch+json",
            };
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(kind));
            Body::from(serde_json::to_vec(body)?)
        }
    };
    Ok(request.body(body)?)
}

/// The used parts of a `meta/v1` Status.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiStatus {
    kind: String,
    message: String,
    details: Option<Details>,
}
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: u64,
    causes: Vec<DetailCause>,
}
#[derive(Default, Deserialize)]
#[serde(default)]
struct DetailCause {
    reason: String,
}

fn understand<T: DeserializeOwned>(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Failure> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| {
            unreachable(&format_args!(
                "the answer is not the expected JSON: {error}"
            ))
        });
    }
    let said: ApiStatus = serde_json::from_slice(body).unwrap_or_default();
    // And not a load balancer, or a proxy.
    let from_api_server = said.kind == "Status";
    let details = said.details.unwrap_or_default();
    let in_header = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let in_body = Some(details.retry_after_seconds).filter(|seconds| *seconds > 0);
    // A namespace that is being deleted forbids what RBAC allows, and does not come back.
    let terminating = details
        .causes
        .iter()
        .any(|cause| cause.reason == "NamespaceTerminating");
    let cause = match status.as_u16() {
        401 => Cause::Unauthorized,
        403 if terminating => Cause::Missing,
        403 => Cause::Forbidden,
        404 | 410 => Cause::Missing,
        409 => Cause::Conflict,
        400 | 405 | 406 | 413 | 415 | 422 if from_api_server => Cause::Refused,
        _ => Cause::Busy,
    };
    let message = if said.message.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {}", cut(said.message))
    };
    Err(Failure {
        cause,
        message,
        retry_after: in_header.or(in_body).map(Duration::from_secs),
        from_api_server,
    })
}

fn cut(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        message.push('…');
    }
    message
}

fn unreachable(error: &(impl fmt::Display + ?Sized)) -> Failure {
    Failure {
        cause: Cause::Unreachable,
        message: cut(error.to_string()),
        retry_after: None,
        from_api_server: false,
    }
}

/// Uses the innermost cause, which is the useful one: "Connection refused".
fn unreachable_because(error: &(dyn Error + 'static)) -> Failure {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    unreachable(&innermost)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests;
