//! The test plays the components, on real sockets.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::*;

const SOON: Duration = Duration::from_millis(200);

/// A status of the container runtime with one condition, in protobuf.
fn status(r#type: &str, holds: bool) -> Vec<u8> {
    let nest = |tag: u8, inside: &[u8]| {
        let length = u8::try_from(inside.len()).unwrap();
        [&[tag, length], inside].concat()
    };
    // Proto3 omits false.
    let status: &[u8] = if holds { &[0x10, 1] } else { &[] };
    let condition = [nest(0x0a, r#type.as_bytes()), status.to_vec()].concat();
    nest(0x0a, &nest(0x0a, &condition))
}

/// Serves gRPC on a socket in `folder`: `answer` gives the message and the status of each call.
fn runtime(folder: &Path, answer: fn(&str) -> (Vec<u8>, &'static str)) -> String {
    let path = folder.join("cri.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let call = move |request: Request<Incoming>| async move {
        let (message, status) = answer(request.uri().path());
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = Bytes::from([&[0], &length[..], &message].concat());
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        let body = Full::new(body).with_trailers(async move { Some(Ok(trailers)) });
        Ok::<_, Infallible>(Response::new(body))
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(call)));
        }
    });
    format!("unix://{}", path.display())
}

#[tokio::test]
async fn a_runtime_that_is_ready_is_well() {
    let folder = TempDir::new().unwrap();
    let path = runtime(folder.path(), |call| match call {
        "/runtime.v1.RuntimeService/Version" => (vec![0x0a, 1, b'1'], "0"),
        "/runtime.v1.RuntimeService/Status" => (status("RuntimeReady", true), "0"),
        _ => (Vec::new(), "12"),
    });
    assert!(cri::probe(&path, SOON).await.unwrap());
}

#[tokio::test]
async fn a_runtime_that_is_not_ready_is_not_well() {
    let folder = TempDir::new().unwrap();
    let path = runtime(folder.path(), |_| (status("RuntimeReady", false), "0"));
    assert!(!cri::probe(&path, SOON).await.unwrap());
}

#[tokio::test]
async fn the_network_is_not_the_runtime_s_business() {
    let folder = TempDir::new().unwrap();
    let path = runtime(folder.path(), |_| (status("NetworkReady", false), "0"));
    assert!(cri::probe(&path, SOON).await.unwrap());
}

#[tokio::test]
async fn a_call_that_fails_is_not_well() {
    let folder = TempDir::new().unwrap();
    let path = runtime(folder.path(), |_| (Vec::new(), "14"));
    assert!(!cri::probe(&path, SOON).await.unwrap());
}

#[tokio::test]
async fn a_runtime_that_is_silent_is_not_well() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cri.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    assert!(!cri::probe(path.to_str().unwrap(), SOON).await.unwrap());
}

#[tokio::test]
async fn a_runtime_that_is_gone_is_not_well_and_one_that_is_not_mounted_unknown() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cri.sock");
    assert!(!cri::probe(path.to_str().unwrap(), SOON).await.unwrap());
    assert!(
        cri::probe("unix:///no/such/folder/cri.sock", SOON)
            .await
            .is_err()
    );
}

/// The result of an answer over HTTP.
async fn says_ok(answer: &str) -> bool {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let serve = async {
        let mut request = vec![0; 1024];
        let length = theirs.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        assert!(
            request.starts_with("GET /healthz HTTP/1.1\r\nhost: localhost:10248\r\n"),
            "{request}"
        );
        theirs.write_all(answer.as_bytes()).await.unwrap();
        drop(theirs);
    };
    tokio::join!(http::says_ok(ours, "localhost:10248", "/healthz"), serve).0
}

#[tokio::test]
async fn only_200_is_well() {
    assert!(says_ok("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await);
    assert!(!says_ok("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await);
    assert!(!says_ok("SSH-2.0-OpenSSH_9.2\r\n").await);
    assert!(!says_ok("").await);
}
