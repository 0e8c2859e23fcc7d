//! Real sockets, and what goes wrong with them.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use prometheus::{IntCounterVec, Opts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Api, Call, Cause, Failure, Permission, path_segment};
use crate::exporter::kubernetes::access::Access;

/// What the server does with one request.
#[derive(Clone, Copy)]
enum ScriptedAnswer {
    /// Answers with a status, further header lines and a body.
    Whole(&'static str, &'static str),
    /// Writes this and closes the connection.
    Last(&'static str),
    /// Leaves the connection open and says nothing.
    Nothing,
    /// Closes the connection.
    Close,
}

const OK: ScriptedAnswer = ScriptedAnswer::Whole("200 OK", "{}");

/// Answers the requests in order with these answers. Passes on each request, with the number of its
/// connection.
async fn server(
    answers: Vec<ScriptedAnswer>,
) -> (SocketAddr, mpsc::UnboundedReceiver<(usize, String)>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        let mut silent = Vec::new();
        for connection in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(request) = read(&mut stream).await {
                sender.send((connection, request)).unwrap();
                match answers.next().unwrap() {
                    ScriptedAnswer::Whole(head, body) => {
                        let length = body.len();
                        let text =
                            format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}");
                        stream.write_all(text.as_bytes()).await.unwrap();
                    }
                    ScriptedAnswer::Last(text) => {
                        stream.write_all(text.as_bytes()).await.unwrap();
                        break;
                    }
                    ScriptedAnswer::Close => break,
                    ScriptedAnswer::Nothing => {
                        silent.push(stream);
                        break;
                    }
                }
            }
        }
    });
    (address, requests)
}

async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let count = stream.read_buf(&mut request).await.ok()?;
        let text = String::from_utf8_lossy(&request);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            body.len() >= length.map_or(0, |length| length.parse().unwrap())
        });
        if whole {
            return Some(text.into_owned());
        }
        if count == 0 {
            return None;
        }
    }
}

/// What the agent makes of a kubeconfig for this server whose token is in a file.
fn api(address: SocketAddr, token: &tempfile::NamedTempFile) -> (tempfile::NamedTempFile, Api) {
    let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
    let config = json!({
        "current-context": "c",
        "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
        "clusters": [{ "name": "k", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "u", "user": { "tokenFile": token.path() } }],
    });
    write!(kubeconfig, "{config}").unwrap();
    let flag = format!(
        "?inClusterConfig=false&auth={}",
        kubeconfig.path().display()
    );
    let access = Access::new(&flag, |_| None).unwrap();
    access.check().unwrap();
    let requests = IntCounterVec::new(Opts::new("r", "r"), &["verb", "resource", "code"]).unwrap();
    let api = Api::new(Arc::new(move || access.client()), None, requests);
    (kubeconfig, api)
}

fn token(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    file
}

fn patch() -> Call {
    Call {
        right: Permission::PatchNodeStatus,
        path: "/api/v1/nodes/n1/status".to_owned(),
        body: Some(json!({ "a": 1 })),
        metadata_only: true,
    }
}

async fn call(api: &Api) -> Result<Value, Failure> {
    api.call(&patch()).await
}

#[tokio::test]
async fn a_request_says_who_asks_for_what() {
    let token = token("secret-1");
    let (address, mut requests) = server(vec![OK]).await;
    let (_file, api) = api(address, &token);
    call(&api).await.unwrap();
    let (_, request) = requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().skip(1).collect();
    lines.sort_unstable();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        "accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
        "authorization: Bearer secret-1",
        "content-length: 7",
        "content-type: application/strategic-merge-patch+json",
        &format!("host: {address}"),
        &format!("user-agent: npd-agent/{version}"),
    ];
    assert_eq!(lines, expected);
    assert!(head.starts_with("PATCH /api/v1/nodes/n1/status HTTP/1.1"));
    assert_eq!(body, r#"{"a":1}"#);
}

#[tokio::test]
async fn requests_share_a_connection_as_long_as_it_lasts() {
    let token = token("t");
    let close = ScriptedAnswer::Last("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let (address, mut requests) = server(vec![OK, close, OK]).await;
    let (_file, api) = api(address, &token);
    let mut connections = Vec::new();
    for _ in 0..3 {
        call(&api).await.unwrap();
        connections.push(requests.recv().await.unwrap().0);
    }
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_rotated_token_is_read_when_the_old_one_is_refused() {
    let token = token("old");
    let (address, mut requests) = server(vec![
        OK,
        ScriptedAnswer::Whole("401 Unauthorized", "{}"),
        OK,
    ])
    .await;
    let (_file, api) = api(address, &token);
    call(&api).await.unwrap();
    std::fs::write(&token, "new").unwrap();
    assert_eq!(call(&api).await.unwrap_err().cause, Cause::Unauthorized);
    call(&api).await.unwrap();
    for expected in ["Bearer old", "Bearer old", "Bearer new"] {
        let (_, request) = requests.recv().await.unwrap();
        assert!(request.contains(expected), "{request}");
    }
}

#[tokio::test]
async fn a_silent_connection_is_given_up() {
    let token = token("t");
    let (address, mut requests) = server(vec![OK, ScriptedAnswer::Nothing, OK]).await;
    let (_file, mut api) = api(address, &token);
    call(&api).await.unwrap();
    // Only the silent connection meets the short deadline: a busy machine may answer late.
    let patient = std::mem::replace(&mut api.deadline, Duration::from_millis(300));
    let failure = call(&api).await.unwrap_err();
    assert_eq!(failure.to_string(), "no answer within 300ms");
    api.deadline = patient;
    call(&api).await.unwrap();
    let connections = [
        requests.recv().await,
        requests.recv().await,
        requests.recv().await,
    ];
    assert_eq!(connections.map(|seen| seen.unwrap().0), [0, 0, 1]);
    let labels = ["patch", "nodes/status", "none"];
    assert_eq!(api.requests.with_label_values(&labels).get(), 1);
}

#[track_caller]
fn check(result: Result<Value, Failure>, cause: Cause, message: &str, retry_after: Option<u64>) {
    let failure = result.unwrap_err();
    assert_eq!((failure.cause, &*failure.message), (cause, message));
    assert_eq!(failure.retry_after, retry_after.map(Duration::from_secs));
}

#[tokio::test]
async fn every_kind_of_answer_is_recognised() {
    let token = token("t");
    let (address, _requests) = server(vec![
        ScriptedAnswer::Close,
        ScriptedAnswer::Last("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"kind\""),
        ScriptedAnswer::Whole("429 Too Many\r\nretry-after: 7", ""),
        ScriptedAnswer::Whole(
            "503 Service",
            r#"{"message":"not now","details":{"retryAfterSeconds":3}}"#,
        ),
        ScriptedAnswer::Whole(
            "403 Forbidden",
            r#"{"details":{"causes":[{"reason":"NamespaceTerminating"}]}}"#,
        ),
        ScriptedAnswer::Whole("403 Forbidden", "nope"),
        ScriptedAnswer::Whole("422 Nope", r#"{"kind":"Status"}"#),
        ScriptedAnswer::Whole("422 Nope", "a proxy says so"),
        ScriptedAnswer::Whole("308 Over There\r\nlocation: /", ""),
        ScriptedAnswer::Whole("451 Legal", r#"{"kind":"Status"}"#),
        ScriptedAnswer::Whole("200 OK", "<html>"),
    ])
    .await;
    let (_file, api) = api(address, &token);
    let closed = "connection closed before message completed";
    check(call(&api).await, Cause::Unreachable, closed, None);
    let cut = "end of file before message length reached";
    check(call(&api).await, Cause::Unreachable, cut, None);
    check(
        call(&api).await,
        Cause::Busy,
        "429 Too Many Requests",
        Some(7),
    );
    check(
        call(&api).await,
        Cause::Busy,
        "503 Service Unavailable: not now",
        Some(3),
    );
    check(call(&api).await, Cause::Missing, "403 Forbidden", None);
    check(call(&api).await, Cause::Forbidden, "403 Forbidden", None);
    let wrong = "422 Unprocessable Entity";
    check(call(&api).await, Cause::Refused, wrong, None);
    check(call(&api).await, Cause::Busy, wrong, None);
    check(
        call(&api).await,
        Cause::Busy,
        "308 Permanent Redirect",
        None,
    );
    let legal = "451 Unavailable For Legal Reasons";
    check(call(&api).await, Cause::Busy, legal, None);
    let html = "the answer is not the expected JSON: expected value at line 1 column 1";
    check(call(&api).await, Cause::Unreachable, html, None);
}

#[tokio::test]
async fn nobody_there_is_said_plainly() {
    let token = token("t");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (_file, api) = api(address, &token);
    let refused = "Connection refused (os error 111)";
    check(call(&api).await, Cause::Unreachable, refused, None);

    let requests = IntCounterVec::new(Opts::new("r", "r"), &["verb", "resource", "code"]).unwrap();
    let api = Api::new(Arc::new(|| Err(anyhow!("no token"))), None, requests);
    check(call(&api).await, Cause::Unreachable, "no token", None);
}

/// The paths that NPD was seen to ask for.
#[test]
fn a_name_that_no_node_can_have_is_asked_for_as_npd_does() {
    let names = ["Bad_Name", "UPPER.Example", "a b", "ä", "a/../b?c"];
    let paths = names.map(|name| path_segment(name).to_string());
    assert_eq!(
        paths,
        [
            "Bad_Name",
            "UPPER.Example",
            "a%20b",
            "%C3%A4",
            "a%2F..%2Fb%3Fc"
        ]
    );
}
