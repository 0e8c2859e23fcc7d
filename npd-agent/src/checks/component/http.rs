//! Checks components that answer over HTTP.

use anyhow::Context;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::socket;

/// Docker's socket, unless `$DOCKER_HOST` names another.
const DOCKER_SOCKET: &str = "unix:///var/run/docker.sock";

pub(super) async fn kubelet() -> anyhow::Result<bool> {
    local("KUBELET_PORT", 10248, "/healthz").await
}

pub(super) async fn kube_proxy() -> anyhow::Result<bool> {
    local("KUBEPROXY_PORT", 10256, "/livez").await
}

pub(super) async fn docker() -> anyhow::Result<bool> {
    let path = var("DOCKER_HOST").unwrap_or_else(|| DOCKER_SOCKET.to_owned());
    match socket::unix(&path).await? {
        Some(stream) => Ok(says_ok(stream, "docker", "/_ping").await),
        None => Ok(false),
    }
}

async fn local(port: &str, default: u16, path: &str) -> anyhow::Result<bool> {
    let host = var("HOST_ADDRESS").unwrap_or_else(|| "localhost".to_owned());
    let port = match var(port) {
        Some(number) => number
            .parse()
            .with_context(|| format!("${port} is {number:?}"))?,
        None => default,
    };
    let authority = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    match socket::tcp(&host, port).await? {
        Some(stream) => Ok(says_ok(stream, &authority, path).await),
        None => Ok(false),
    }
}

/// Whether the answer is 200. Anything else is unhealthy, also if it is not HTTP.
pub(super) async fn says_ok(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> bool {
    status(stream, host, path)
        .await
        .is_ok_and(|status| status == StatusCode::OK)
}

async fn status(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> anyhow::Result<StatusCode> {
    let request = Request::get(path)
        .header("host", host)
        .header("user-agent", "health-checker")
        .body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    connection.abort();
    Ok(response?.status())
}

/// An environment variable, unless it is empty.
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
