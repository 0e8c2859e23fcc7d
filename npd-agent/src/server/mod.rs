//! The two HTTP servers: `/healthz`, `/conditions`, `/events`, `/status` and `/metrics`.
//!
//! Five fixed paths need a `match` and no router: `hyper` is in the tree for `kube` anyway, and `axum` would
//! only add crates.

mod unread;

use std::convert::Infallible;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit};
use serde::Serialize;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tracing::debug;

use self::unread::{UnreadAnswers, UnreadOfClient};
use crate::go::quote::escape_html;
use crate::metrics::Metrics;
use crate::problem::Forever;
use crate::status_page::StatusPage;

/// How many connections a server may have from this host, and how many from all others.
const MAX_CONNECTIONS: usize = 64;

/// How many file descriptors connections leave to those who read logs and start programs. One connection is
/// answered all the same, because it may be the kubelet's.
const RESERVED_DESCRIPTORS: u64 = 32;

/// How long a connection may last, also for a client that does not read the answer.
const LIFETIME: Duration = Duration::from_mins(1);

/// How long a connection may last at least if no file descriptor is left for another.
const GRACE: Duration = Duration::from_secs(1);

/// How long a client may take to send its request line and headers.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of an answer the kernel keeps for a client that does not read, in bytes. By itself it keeps some
/// MiB for each, which count as the agent's memory.
const SEND_BUFFER: usize = 64 << 10;

/// The format of the page, as in NPD, whatever the client asks for.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// What a server answers with.
#[derive(Clone)]
pub enum Pages {
    /// `/healthz`, `/conditions`, `/events`, `/status`.
    Status(StatusPage),
    /// `/metrics`.
    Metrics(Arc<Metrics>),
}

/// Accepts connections and answers their requests.
pub async fn serve(listener: tokio::net::TcpListener, pages: Pages) -> Forever {
    let (mut local, mut remote) = (Connections::default(), Connections::default());
    // A spare descriptor. It is closed to accept a client when no other is left.
    let mut spare = None;
    // The connections inherit it.
    if let Err(error) = SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER) {
        debug!(%error, "The kernel keeps more of each answer");
    }
    loop {
        spare = spare.or_else(|| listener.as_fd().try_clone_to_owned().ok());
        let mut accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = local.unread.full() => {
                local.close_unread();
                continue;
            }
            () = remote.unread.full() => {
                remote.close_unread();
                continue;
            }
        };
        if accepted.is_err() && spare.take().is_some() {
            // The client gets the descriptor, before anybody can make a spare one of it again.
            accepted = listener.accept().await;
        }
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // There are no file descriptors left, or the client is gone. Neither is a reason to stop.
                // Linux refuses before it looks whether a client waits at all, so those that are being
                // answered have the time for it.
                debug!(%error, "Accepting a connection failed");
                let _closed = remote.close_oldest(GRACE) || local.close_oldest(GRACE);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if is_reserved(&stream) {
            let _closed = remote.close_oldest(Duration::ZERO) || local.close_oldest(Duration::ZERO);
        }
        let address = peer.ip().to_canonical();
        let connections = if address.is_loopback() {
            &mut local
        } else {
            &mut remote
        };
        connections.make_room();
        let client = UnreadOfClient::default();
        let answers = answer(
            stream,
            pages.clone(),
            connections.unread.clone(),
            client.clone(),
        );
        connections.add(address, tokio::spawn(answers).abort_handle(), client);
    }
}

struct ClientConnection {
    address: IpAddr,
    task: AbortHandle,
    since: Instant,
    unread: UnreadOfClient,
}

/// The connections of this host's clients, or those of all others.
#[derive(Default)]
struct Connections {
    /// The open ones, oldest first.
    open: Vec<ClientConnection>,
    unread: UnreadAnswers,
}

impl Connections {
    fn add(&mut self, address: IpAddr, task: AbortHandle, unread: UnreadOfClient) {
        let since = Instant::now();
        self.open.push(ClientConnection {
            address,
            task,
            since,
            unread,
        });
    }

    /// Forgets those that have ended, and closes one if there are too many.
    fn make_room(&mut self) {
        self.forget_ended();
        if self.open.len() >= MAX_CONNECTIONS {
            self.close_oldest(Duration::ZERO);
        }
    }

    fn forget_ended(&mut self) {
        self.open
            .retain(|connection| !connection.task.is_finished());
    }

    /// Closes the oldest of the client that has the most: one that asks and does not read must not keep
    /// others out. Returns false if there is none of this age.
    fn close_oldest(&mut self, age: Duration) -> bool {
        self.forget_ended();
        let count = |address| self.open.iter().filter(|of| of.address == address).count();
        let old = self.open.iter().enumerate();
        let old = old.filter(|(_, connection)| connection.since.elapsed() >= age);
        // Of equals the first, which is the oldest.
        let oldest = old
            .rev()
            .max_by_key(|(_, connection)| count(connection.address));
        self.close(oldest.map(|(index, _)| index))
    }

    /// Closes the oldest that has not read its answer.
    fn close_unread(&mut self) {
        self.forget_ended();
        let waits = |connection: &ClientConnection| connection.unread.are_some();
        self.close(self.open.iter().position(waits));
    }

    fn close(&mut self, index: Option<usize>) -> bool {
        if let Some(index) = index {
            let ClientConnection { address, task, .. } = self.open.remove(index);
            task.abort();
            debug!(client = %address, "Connection closed for another");
        }
        index.is_some()
    }
}

/// Whether a connection has taken one of the last file descriptors that this process may have. The kernel
/// always gives the lowest that is free.
fn is_reserved(stream: &TcpStream) -> bool {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return false;
    };
    let number = u64::try_from(stream.as_raw_fd()).unwrap_or_default();
    number + RESERVED_DESCRIPTORS >= limit
}

async fn answer(stream: TcpStream, pages: Pages, unread: UnreadAnswers, client: UnreadOfClient) {
    let answer = service_fn(async |request: Request<Incoming>| {
        unread.room().await;
        let response = pages.answer(request.method(), request.uri().path());
        Ok::<_, Infallible>(response.map(|page| Full::new(unread.hold(page, &client))))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    let ended = match timeout(LIFETIME, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_elapsed) => {
            connection.as_mut().graceful_shutdown();
            timeout(PATIENCE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "Connection ended early");
    }
}

impl Pages {
    fn answer(&self, method: &Method, path: &str) -> Response<String> {
        if ![Method::GET, Method::HEAD].contains(method) {
            let refusal = "405 method not allowed\n".to_owned();
            return text(StatusCode::METHOD_NOT_ALLOWED, refusal);
        }
        match (self, path) {
            (Self::Status(status_page), "/healthz") => {
                let complaints = status_page.read().complaints();
                if complaints.is_empty() {
                    text(StatusCode::OK, "ok".to_owned())
                } else {
                    text(StatusCode::SERVICE_UNAVAILABLE, complaints.join("\n"))
                }
            }
            (Self::Status(status_page), "/conditions") => {
                let shown = status_page.read();
                // NPD prints `null` when there is nothing to show: Go's nil slice.
                json((!shown.conditions.is_empty()).then_some(&shown.conditions))
            }
            (Self::Status(status_page), "/events") => json(&status_page.read().events),
            (Self::Status(status_page), "/status") => json(&*status_page.read()),
            (Self::Metrics(metrics), "/metrics") => match metrics.page() {
                Ok(page) => response(StatusCode::OK, METRICS_TYPE, page),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            },
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        }
    }
}

fn json(value: impl Serialize) -> Response<String> {
    match serde_json::to_string(&value) {
        Ok(body) => response(StatusCode::OK, "application/json", escape_html(&body)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn text(status: StatusCode, body: String) -> Response<String> {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: StatusCode, r#type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(r#type));
    response
}

#[cfg(test)]
mod tests;
