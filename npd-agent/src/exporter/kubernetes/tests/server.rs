//! An API server in this process. It stores a Node and Events as the real one does, and logs every
//! request. A test can make it fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::{Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::service_fn;

use super::super::api::{Connect, lock};
use crate::problem::Condition;

/// A fault: what the server does instead of its work.
#[derive(Clone, Debug)]
pub(crate) enum ServerFault {
    /// Answers with this code, and this Retry-After.
    Code(u16, Option<u64>),
    /// Never answers.
    Silent,
    /// Breaks the connection.
    Reset,
    /// Does its work, and breaks the connection instead of saying so.
    LoseAnswer,
    /// Answers with half a document.
    Half,
}

/// The fault of a request, if there is one. It gets the request line and the time.
pub(crate) type ResponseRule = Box<dyn FnMut(&str, Duration) -> Option<ServerFault> + Send>;

pub(crate) struct Server {
    start: Instant,
    /// The Node's uid and conditions; no Node if empty.
    pub(super) uid: &'static str,
    pub(crate) conditions: BTreeMap<String, Value>,
    /// Those that our field manager owns.
    owned: BTreeSet<String>,
    pub(super) events: BTreeMap<String, Value>,
    /// Decides for each request whether the server fails, and how.
    pub(crate) rule: ResponseRule,
    /// One line for each request: when, method and path, code.
    pub(crate) log: Vec<(Duration, String)>,
    /// How many clients were made.
    pub(super) clients: usize,
    pub(crate) bodies: VecDeque<Value>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            uid: "uid-1",
            conditions: BTreeMap::new(),
            owned: BTreeSet::new(),
            events: BTreeMap::new(),
            rule: Box::new(|_, _| None),
            log: Vec::new(),
            clients: 0,
            bodies: VecDeque::new(),
        }
    }

    /// Another agent begins, in another virtual time.
    pub(crate) fn restart_clock(&mut self) {
        self.start = Instant::now();
    }

    /// A condition that `manager` has written.
    pub(crate) fn add_condition(&mut self, manager: &str, condition: &Condition) {
        let r#type = condition.r#type.to_string();
        self.conditions.insert(
            r#type.clone(),
            json!({
                "type": condition.r#type, "status": condition.status, "reason": condition.reason,
                "message": condition.message, "lastHeartbeatTime": Timestamp::now(),
                "lastTransitionTime": condition.transition,
            }),
        );
        if manager == "npd-agent" {
            self.owned.insert(r#type);
        }
    }

    /// Somebody removes a condition.
    pub(super) fn remove_condition(&mut self, r#type: &str) {
        self.conditions.remove(r#type);
        self.owned.remove(r#type);
    }

    fn node(&self) -> Value {
        let owned: serde_json::Map<_, _> = self
            .owned
            .iter()
            .map(|t| {
                (
                    format!("k:{{\"type\":\"{t}\"}}"),
                    json!({"f:lastHeartbeatTime": {}}),
                )
            })
            .collect();
        json!({
            "kind": "Node",
            "metadata": { "name": "n1", "uid": self.uid, "managedFields": [{
                "manager": "npd-agent", "fieldsV1": { "f:status": { "f:conditions": owned } },
            }]},
            "status": { "conditions": self.conditions.values().collect::<Vec<_>>() },
        })
    }

    fn work(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        if path.starts_with("/api/v1/nodes/n1") {
            if self.uid.is_empty() {
                return (404, json!({ "message": "nodes \"n1\" not found" }));
            }
            let written = body["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten();
            for condition in written {
                let r#type = condition["type"].as_str().unwrap().to_owned();
                if condition["$patch"] == "delete" {
                    self.remove_condition(&r#type);
                } else {
                    self.conditions.insert(r#type.clone(), condition.clone());
                    self.owned.insert(r#type);
                }
            }
            return (200, self.node());
        }
        let name = match method {
            "POST" => body["metadata"]["name"].as_str().unwrap().to_owned(),
            _ => path
                .rsplit('/')
                .next()
                .unwrap()
                .split('?')
                .next()
                .unwrap()
                .to_owned(),
        };
        match (method, self.events.contains_key(&name)) {
            ("POST", true) => (409, json!({ "message": "already exists" })),
            ("POST", false) => {
                self.events.insert(name, body.clone());
                (201, json!({}))
            }
            (_, false) => (404, json!({ "message": "not found" })),
            (_, true) => {
                let event = self.events.get_mut(&name).unwrap().as_object_mut().unwrap();
                event.extend(body.as_object().unwrap().clone());
                (200, json!({}))
            }
        }
    }

    /// How often all Events together have happened.
    pub(super) fn total(&self) -> u64 {
        self.events
            .values()
            .map(|event| event["count"].as_u64().unwrap())
            .sum()
    }

    /// How many requests were made that begin so.
    pub(super) fn requests(&self, start: &str) -> usize {
        self.log
            .iter()
            .filter(|(_, line)| line.starts_with(start))
            .count()
    }

    /// The log, one line for each request; event names are random.
    pub(super) fn story(&self) -> String {
        let lines = self.log.iter();
        let lines = lines.map(|(when, line)| format!("{:.3} {line}\n", when.as_secs_f64()));
        lines.collect::<Vec<_>>().concat()
    }
}

async fn serve(
    server: Arc<Mutex<Server>>,
    request: Request<Body>,
) -> anyhow::Result<Response<String>> {
    let (head, body) = request.into_parts();
    let bytes = body
        .collect()
        .await
        .map_err(|e| anyhow::anyhow!("{e}"))?
        .to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let kind = |name| {
        head.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    };
    match head.method.as_str() {
        "GET" => assert!(bytes.is_empty()),
        "PATCH" => assert_eq!(
            kind("content-type"),
            "application/strategic-merge-patch+json"
        ),
        _ => assert_eq!(kind("content-type"), "application/json"),
    }
    let path = head.uri.to_string();
    // The names of Events are made of the time.
    let shown = match path.split_once("/events/n1.") {
        Some((front, _)) => format!("{front}/events/…"),
        None => path.split('?').next().unwrap_or_default().to_owned(),
    };
    let line = format!("{} {shown}", head.method);
    let now = Instant::now() - lock(&server).start;
    let fault = (lock(&server).rule)(&line, now);
    let (code, answer, retry_after) = match &fault {
        None | Some(ServerFault::LoseAnswer) => {
            let (code, answer) = lock(&server).work(head.method.as_str(), &path, &body);
            (code, answer.to_string(), None)
        }
        Some(ServerFault::Code(code, after)) => {
            let text = json!({ "kind": "Status", "message": "as told" }).to_string();
            (*code, text, *after)
        }
        Some(ServerFault::Half) => (200, "{\"kind\":\"No".to_owned(), None),
        Some(ServerFault::Silent | ServerFault::Reset) => (0, String::new(), None),
    };
    let noted = match &fault {
        Some(ServerFault::Code(..)) | None => code.to_string(),
        Some(fault) => format!("{fault:?}"),
    };
    lock(&server).log.push((now, format!("{line} {noted}")));
    lock(&server).bodies.push_back(body);
    match fault {
        Some(ServerFault::Silent) => std::future::pending().await,
        Some(ServerFault::Reset | ServerFault::LoseAnswer) => {
            anyhow::bail!("connection reset by peer")
        }
        _ => {}
    }
    let mut response = Response::builder().status(code);
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds.to_string());
    }
    Ok(response.body(answer)?)
}

/// Makes clients of the server.
pub(super) fn connect(server: &Arc<Mutex<Server>>) -> Connect {
    let connected = Arc::clone(server);
    Arc::new(move || {
        lock(&connected).clients += 1;
        let server = Arc::clone(&connected);
        let service = service_fn(move |request| serve(Arc::clone(&server), request));
        Ok(Client::new(service, "default"))
    })
}
