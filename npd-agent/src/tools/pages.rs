//! The pages of the running agent.

use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long all answers together may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is read of a page, in bytes.
const LIMIT: usize = 16 << 20;

/// What the agent shows over HTTP.
#[derive(Debug)]
pub(super) struct AgentPages {
    /// `/status`.
    pub(super) status: Value,
    /// `/conditions`.
    pub(super) conditions: Value,
    /// `/events`.
    pub(super) events: Value,
}

impl AgentPages {
    /// Asks the agent at this host and port.
    pub(super) async fn get(host: &str) -> anyhow::Result<Self> {
        let pages = async {
            Ok(Self {
                status: page(host, "/status").await?,
                conditions: page(host, "/conditions").await?,
                events: page(host, "/events").await?,
            })
        };
        let pages = timeout(PATIENCE, pages).await;
        let late = || format!("it has not answered in {} s", PATIENCE.as_secs());
        pages.with_context(late).flatten().with_context(|| {
            format!("asking the agent at {host} (does it run? with other --address or --port?)")
        })
    }

    /// All of them as one object.
    pub(super) fn joined(&self) -> Value {
        json!({"status": self.status, "conditions": self.conditions, "events": self.events})
    }
}

/// The host and the port of an agent.
pub(super) fn host(address: &str, port: i64) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// A page that is JSON.
pub(super) async fn page(host: &str, path: &str) -> anyhow::Result<Value> {
    let body = body(host, path).await?;
    serde_json::from_slice(&body).with_context(|| format!("reading {path}"))
}

/// A page that is a text.
pub(super) async fn text(host: &str, path: &str) -> anyhow::Result<String> {
    let body = body(host, path).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

async fn body(host: &str, path: &str) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(host).await?;
    let request = Request::get(path)
        .header("host", host)
        .body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let body = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        ensure!(status.is_success(), "{path} is answered with {status}");
        let body = Limited::new(response.into_body(), LIMIT).collect().await;
        Ok(body.map_err(anyhow::Error::from_boxed)?.to_bytes())
    };
    let body = body.await;
    connection.abort();
    body
}
