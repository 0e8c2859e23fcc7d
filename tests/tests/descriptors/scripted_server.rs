//! An API server in this process. It stores a Node's conditions and the counts of Events, and fails as its
//! script says.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use serde_json::{Value, json};

/// What the server does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ApiFault {
    /// Answers with this code, as an API server.
    Refusal(u16),
    /// Answers with this code, as a load balancer or a proxy.
    Proxy(u16),
    /// Never answers.
    Silent,
    /// Closes the connection.
    Reset,
    /// Answers with half a document.
    Half,
    /// Does its work, and closes the connection instead of saying so.
    LoseAnswer,
}

/// The server. It serves until the process ends.
pub(crate) struct ScriptedServer {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    state: Arc<Mutex<ServerState>>,
}

/// What it stores, and what is left of its script.
struct ServerState {
    conditions: BTreeMap<String, Value>,
    counts: BTreeMap<String, u64>,
    events: Script,
    node: Script,
    /// Connections that are never answered.
    silent: Vec<TcpStream>,
}

/// Faults, one for every second request.
struct Script {
    faults: VecDeque<ApiFault>,
    fails_next: bool,
}

impl Script {
    fn of(faults: Vec<ApiFault>) -> Self {
        Self {
            faults: faults.into(),
            fails_next: true,
        }
    }

    fn next(&mut self) -> Option<ApiFault> {
        let fails = self.fails_next;
        self.fails_next = !fails;
        fails.then(|| self.faults.pop_front()).flatten()
    }
}

impl ScriptedServer {
    /// Starts it with the faults of requests about Events, and of those about the Node.
    pub(crate) fn start(events: Vec<ApiFault>, node: Vec<ApiFault>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(ServerState {
            conditions: BTreeMap::new(),
            counts: BTreeMap::new(),
            events: Script::of(events),
            node: Script::of(node),
            silent: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // An agent that goes away is no fault of the server.
                std::thread::spawn(move || serve(&stream, &state).ok());
            }
        });
        Ok(Self { port, state })
    }

    fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many faults are left.
    pub(crate) fn faults_left(&self) -> usize {
        let state = self.lock();
        state.events.faults.len() + state.node.faults.len()
    }

    /// How often all Events together have happened.
    pub(crate) fn told(&self) -> u64 {
        self.lock().counts.values().sum()
    }

    /// The status of a condition.
    pub(crate) fn condition(&self, r#type: &str) -> Option<String> {
        let state = self.lock();
        Some(state.conditions.get(r#type)?["status"].as_str()?.to_owned())
    }
}

/// Answers one request.
fn serve(mut stream: &TcpStream, state: &Mutex<ServerState>) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().context("a request without a path")?;
    let path = path.split('?').next().unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();

    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let is_about_node = path.starts_with("/api/v1/nodes/");
    let fault = if is_about_node {
        state.node.next()
    } else {
        state.events.next()
    };
    let (code, text) = match fault {
        None | Some(ApiFault::LoseAnswer) => state.work(&method, &path, &body),
        Some(ApiFault::Refusal(code)) => {
            let status = json!({ "kind": "Status", "message": "as told" });
            (code, status.to_string())
        }
        Some(ApiFault::Proxy(code)) => (code, "<html>as told</html>".to_owned()),
        Some(ApiFault::Half) => (200, r#"{"kind": "No"#.to_owned()),
        Some(ApiFault::Reset) => return Ok(()),
        Some(ApiFault::Silent) => {
            state.silent.push(stream.try_clone()?);
            return Ok(());
        }
    };
    drop(state);
    if fault == Some(ApiFault::LoseAnswer) {
        return Ok(());
    }
    let missing = if fault == Some(ApiFault::Half) {
        100
    } else {
        0
    };
    let length = text.len() + missing;
    let head = format!("HTTP/1.1 {code} As told\r\ncontent-length: {length}\r\n");
    let more = "location: /elsewhere\r\nconnection: close\r\n\r\n";
    stream.write_all((head + more + &text).as_bytes())?;
    Ok(())
}

impl ServerState {
    /// What a server does that is well.
    fn work(&mut self, method: &str, path: &str, body: &Value) -> (u16, String) {
        if path.starts_with("/api/v1/nodes/") {
            let written = body["status"]["conditions"].as_array();
            for condition in written.into_iter().flatten() {
                let r#type = condition["type"].as_str().unwrap_or_default();
                self.conditions.insert(r#type.to_owned(), condition.clone());
            }
            let node = json!({
                "kind": "Node",
                "metadata": { "name": "n1", "uid": "uid-1" },
                "status": { "conditions": self.conditions.values().collect::<Vec<_>>() },
            });
            return (200, node.to_string());
        }
        let is_new = method == "POST";
        let name = if is_new {
            body["metadata"]["name"].as_str()
        } else {
            path.rsplit('/').next()
        };
        let name = name.unwrap_or_default();
        let code = match (is_new, self.counts.contains_key(name)) {
            (true, true) => 409,
            (false, false) => 404,
            (true, false) => 201,
            (false, true) => 200,
        };
        if code < 300 {
            let count = body["count"].as_u64().unwrap_or_default();
            self.counts.insert(name.to_owned(), count);
        }
        (code, json!({ "kind": "Status" }).to_string())
    }
}
