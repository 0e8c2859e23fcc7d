//! The two HTTP servers: `/healthz`, `/conditions`, `/events`, `/status` and `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::debug;

use crate::go::quote::escape_html;
use crate::metrics::Metrics;
use crate::problem::Forever;
use crate::status_page::StatusPage;

/// How many connections one server answers at a time; further ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to send its request line and headers.
const PATIENCE: Duration = Duration::from_secs(10);

/// As NPD's: the format of the page, whatever the client asks for.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// What a server answers with.
#[derive(Clone)]
pub enum Pages {
    /// `/healthz`, `/conditions`, `/events`, `/status`.
    Status(StatusPage),
    /// `/metrics`.
    Metrics(Arc<Metrics>),
}

/// Answers requests until accepting fails for good.
pub async fn serve(listener: tokio::net::TcpListener, pages: Pages) -> Forever {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots)
            .acquire_owned()
            .await
            .context("waiting for a connection")?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or the client has gone: neither is a reason to stop.
                debug!(%error, "Accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let pages = pages.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let response = pages.answer(request.uri().path());
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = connection.await {
                debug!(%error, "Connection ended early");
            }
            drop(slot);
        });
    }
}

impl Pages {
    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
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
                // NPD prints Go's nil slice when there is nothing to show.
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

fn json(value: impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(&value) {
        Ok(body) => response(StatusCode::OK, "application/json", escape_html(&body)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: StatusCode, r#type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(r#type));
    response
}
