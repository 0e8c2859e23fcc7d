//! Checks the container runtime over gRPC on its socket.
//!
//! Written here because two calls of `runtime.v1` without arguments are all that is needed, and the crates
//! `tonic` and `prost` need the definitions of the whole service and generate code for it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use super::socket;
use crate::program::complain;

/// The longest answer that is read. These answers have a few hundred bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Whether the runtime answers both calls within `limit` each, and says that it is ready. The state of
/// the network does not matter.
pub(super) async fn probe(path: &str, limit: Duration) -> anyhow::Result<bool> {
    let Some(stream) = socket::unix(path).await? else {
        return Ok(false);
    };
    let connected = timeout(
        limit,
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)),
    );
    let Ok(Ok((mut client, connection))) = connected.await else {
        return Ok(false);
    };
    let connection = tokio::spawn(connection);
    let asked = async {
        timeout(limit, call(&mut client, "Version")).await??;
        timeout(limit, call(&mut client, "Status")).await?
    };
    let ready = asked.await.and_then(|status| is_ready(&status));
    connection.abort();
    match ready {
        Ok(ready) => Ok(ready),
        Err(error) => {
            complain("cri", format_args!("asking {path}: {error:#}"));
            Ok(false)
        }
    }
}

/// Calls a method of the runtime service with an empty request.
async fn call(client: &mut SendRequest<Full<Bytes>>, method: &str) -> anyhow::Result<Bytes> {
    // No compression, no bytes.
    const EMPTY_MESSAGE: &[u8] = &[0; 5];
    let request = Request::post(format!(
        "http://localhost/runtime.v1.RuntimeService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(Full::new(Bytes::from_static(EMPTY_MESSAGE)))?;
    let response = client.send_request(request).await?;
    let (head, body) = response.into_parts();
    ensure!(
        head.status == StatusCode::OK,
        "{method}: HTTP status {}",
        head.status
    );
    // A call that fails at once has its status in the headers.
    succeeded(method, &head.headers)?;
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body
        .map_err(|error| anyhow::anyhow!(error))
        .context("reading an answer")?;
    if let Some(trailers) = body.trailers() {
        succeeded(method, trailers)?;
    }
    let body = body.to_bytes();
    ensure!(
        body.len() >= EMPTY_MESSAGE.len(),
        "{method}: an answer without a message"
    );
    ensure!(body[0] == 0, "{method}: a compressed answer");
    Ok(body.slice(EMPTY_MESSAGE.len()..))
}

fn succeeded(method: &str, headers: &HeaderMap) -> anyhow::Result<()> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(status) => {
            let message = text("grpc-message").unwrap_or_default();
            bail!("{method}: gRPC status {status}: {message}")
        }
    }
}

/// Reads a `StatusResponse`: no condition `RuntimeReady` may be false.
fn is_ready(response: &[u8]) -> anyhow::Result<bool> {
    const STATUS: u64 = 1;
    const CONDITIONS: u64 = 1;
    let mut ready = true;
    for status in fields(response)?
        .iter()
        .filter_map(|field| field.bytes(STATUS))
    {
        for condition in fields(status)?
            .iter()
            .filter_map(|field| field.bytes(CONDITIONS))
        {
            ready &= !is_not_ready(&fields(condition)?);
        }
    }
    Ok(ready)
}

fn is_not_ready(condition: &[ProtoField<'_>]) -> bool {
    const TYPE: u64 = 1;
    const STATUS: u64 = 2;
    let is = |field: &ProtoField<'_>| field.bytes(TYPE) == Some(b"RuntimeReady");
    let holds = |field: &ProtoField<'_>| matches!(field, ProtoField::Number(STATUS, 1..));
    condition.iter().any(is) && !condition.iter().any(holds)
}

/// A field of a protobuf message.
#[derive(Debug, PartialEq, Eq)]
enum ProtoField<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

impl<'a> ProtoField<'a> {
    fn bytes(&self, wanted: u64) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(tag, bytes) if *tag == wanted => Some(bytes),
            _ => None,
        }
    }
}

/// The fields of a protobuf message.
fn fields(mut message: &[u8]) -> anyhow::Result<Vec<ProtoField<'_>>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = match key & 7 {
            0 => ProtoField::Number(key >> 3, varint(&mut message)?),
            1 => ProtoField::Bytes(key >> 3, split(&mut message, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?)?;
                ProtoField::Bytes(key >> 3, split(&mut message, length)?)
            }
            5 => ProtoField::Bytes(key >> 3, split(&mut message, 4)?),
            other => bail!("unexpected protobuf field of type {other}"),
        };
        fields.push(field);
    }
    Ok(fields)
}

fn varint(message: &mut &[u8]) -> anyhow::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = split(message, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a protobuf number is too long")
}

fn split<'a>(message: &mut &'a [u8], length: usize) -> anyhow::Result<&'a [u8]> {
    let (first, rest) = message
        .split_at_checked(length)
        .context("a protobuf message is incomplete")?;
    *message = rest;
    Ok(first)
}
