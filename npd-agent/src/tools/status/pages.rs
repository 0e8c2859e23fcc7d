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
    pub(super) async fn get(address: &str, port: i64) -> anyhow::Result<Self> {
        let host = if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        };
        let pages = async {
            Ok(Self {
                status: page(&host, "/status").await?,
                conditions: page(&host, "/conditions").await?,
                events: page(&host, "/events").await?,
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

async fn page(host: &str, path: &str) -> anyhow::Result<Value> {
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
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        serde_json::from_slice(&body).with_context(|| format!("reading {path}"))
    };
    let body = body.await;
    connection.abort();
    body
}
