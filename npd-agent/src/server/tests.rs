use std::net::{Ipv4Addr, SocketAddr};

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::problem::{Condition, ConditionStatus, Event, Severity};

/// A server on a port of its own.
async fn start(pages: Pages) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listener = listener.await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, pages));
    address
}

/// A status server, and the page that it shows.
async fn server() -> (SocketAddr, StatusPage) {
    let page = StatusPage::new("n".to_owned(), Timestamp::UNIX_EPOCH);
    (start(Pages::Status(page.clone())).await, page)
}

/// Asks on a connection of its own, and returns the status line, the type and the body.
async fn ask(server: SocketAddr, method: &str, path: &str) -> [String; 3] {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap().trim_start_matches("HTTP/1.1 ");
    let r#type = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "));
    [status, r#type.unwrap_or_default(), body].map(str::to_owned)
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

#[tokio::test]
async fn each_port_has_its_pages_and_no_others() {
    let (status, _page) = server().await;
    let metrics = start(Pages::Metrics(Arc::new(Metrics::new().unwrap()))).await;
    for (server, path, expect, r#type, body) in [
        (status, "/healthz", "200 OK", TEXT, "ok"),
        (status, "/healthz?verbose=1", "200 OK", TEXT, "ok"),
        // What NPD shows if there is nothing.
        (status, "/conditions", "200 OK", JSON, "null"),
        (status, "/events", "200 OK", JSON, "[]"),
        (
            status,
            "/metrics",
            "404 Not Found",
            TEXT,
            "404 page not found\n",
        ),
        (status, "/", "404 Not Found", TEXT, "404 page not found\n"),
        (
            status,
            "/healthz/",
            "404 Not Found",
            TEXT,
            "404 page not found\n",
        ),
        (
            status,
            "/Healthz",
            "404 Not Found",
            TEXT,
            "404 page not found\n",
        ),
        (
            status,
            "/debug/pprof/",
            "404 Not Found",
            TEXT,
            "404 page not found\n",
        ),
        (
            metrics,
            "/healthz",
            "404 Not Found",
            TEXT,
            "404 page not found\n",
        ),
        (
            metrics,
            "/status",
            "404 Not Found",
            TEXT,
            "404 page not found\n",
        ),
    ] {
        assert_eq!(
            ask(server, "GET", path).await,
            [expect, r#type, body],
            "{path}"
        );
    }
    let [line, r#type, body] = ask(metrics, "GET", "/metrics").await;
    assert_eq!([&*line, &r#type], ["200 OK", METRICS_TYPE]);
    assert!(body.starts_with("# HELP "), "{body}");
    let [line, r#type, body] = ask(status, "GET", "/status").await;
    assert_eq!([&*line, &r#type], ["200 OK", JSON]);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["node"], "n");
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let (server, _page) = server().await;
    let [status, r#type, body] = ask(server, "HEAD", "/healthz").await;
    assert_eq!([&*status, &r#type, &body], ["200 OK", TEXT, ""]);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
        for path in ["/healthz", "/status", "/unknown"] {
            let [status, ..] = ask(server, method, path).await;
            assert_eq!(status, "405 Method Not Allowed", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn pages_show_what_is_known_as_go_would_print_it() {
    let (server, page) = server().await;
    page.update(|shown| {
        shown.conditions.push(Condition {
            r#type: Arc::from("Bad"),
            status: ConditionStatus::True,
            transition: Timestamp::UNIX_EPOCH,
            reason: Arc::from("WhyBad"),
            message: "<a> & b".to_owned(),
            healthy: None,
        });
        let event = Event {
            severity: Severity::Warning,
            timestamp: Timestamp::UNIX_EPOCH,
            reason: Arc::from("Happened"),
            message: "it is <so>".to_owned(),
            action: None,
            object: None,
            pod: None,
            dry_run: false,
        };
        shown.push_event(&Arc::from("kernel"), &event);
    });
    let [.., body] = ask(server, "GET", "/conditions").await;
    assert!(body.contains(r"\u003ca\u003e \u0026 b"), "{body}");
    let [.., body] = ask(server, "GET", "/events").await;
    let events: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(events[0]["source"], "kernel");
    assert_eq!(events[0]["message"], "it is <so>");
}

#[tokio::test]
async fn a_mandatory_source_that_is_down_is_why_the_agent_is_unhealthy() {
    let (server, page) = server().await;
    page.source("journald", false, Some("no such folder".to_owned()));
    assert_eq!(ask(server, "GET", "/healthz").await[2], "ok");
    page.source("kmsg", true, Some("permission denied".to_owned()));
    let [status, _, body] = ask(server, "GET", "/healthz").await;
    assert_eq!(status, "503 Service Unavailable");
    assert!(body.starts_with("source kmsg is down since "), "{body}");
    assert!(body.ends_with(": permission denied"), "{body}");
    page.source("kmsg", true, None);
    assert_eq!(ask(server, "GET", "/healthz").await[2], "ok");
}

#[tokio::test]
async fn clients_that_do_not_read_keep_nobody_out() {
    let (server, _page) = server().await;
    let mut silent = Vec::new();
    for _ in 0..3 * MAX_CONNECTIONS {
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_all(b"GET /status HTTP/1.1\r\n").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(ask(server, "GET", "/healthz").await[2], "ok");
}

/// Those that do not read their answers lose them, the oldest first, before too many are held.
#[tokio::test]
async fn answers_that_are_not_read_take_a_bounded_part_of_the_memory() {
    const PAGE: usize = 3 << 20;
    let metrics = Metrics::new().unwrap();
    metrics
        .rendered
        .print("big", |page| page.push_str(&"x".repeat(PAGE)));
    let server = start(Pages::Metrics(Arc::new(metrics))).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        silent.push(stream);
    }
    let [status, _, page] = ask(server, "GET", "/metrics").await;
    assert_eq!(status, "200 OK");
    assert!(page.len() > PAGE);
    let mut held = 0;
    for mut stream in silent {
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        held += usize::from(answer.len() > PAGE);
    }
    assert!((1..=3).contains(&held), "{held} answers were held");
}

/// Neither a client that asks nothing nor one that asks for ever has its connection for ever.
#[tokio::test(start_paused = true)]
async fn no_connection_lasts() {
    let (server, _page) = server().await;
    let mut silent = TcpStream::connect(server).await.unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
    let mut eager = TcpStream::connect(server).await.unwrap();
    let mut answers = 0;
    let request = b"GET /healthz HTTP/1.1\r\nhost: n\r\n\r\n";
    loop {
        let mut answer = [0; 1024];
        match (
            eager.write_all(request).await,
            eager.read(&mut answer).await,
        ) {
            (Ok(()), Ok(length)) if length > 0 => answers += 1,
            _ => break,
        }
        tokio::time::sleep(PATIENCE / 2).await;
        assert!(answers < 100, "it lasts");
    }
    assert!(answers > 1, "one connection takes several requests");
}

/// The oldest connection of the client that has the most is closed, and nobody else's.
#[tokio::test]
async fn the_greediest_client_makes_room() {
    let (greedy, modest) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let mut connections = Connections::default();
    let mut tasks = Vec::new();
    for number in 0..MAX_CONNECTIONS {
        let task = tokio::spawn(std::future::pending::<()>());
        let client = if number % 3 == 0 { modest } else { greedy };
        connections.add(
            IpAddr::from(client),
            task.abort_handle(),
            UnreadOfClient::default(),
        );
        tasks.push(task);
    }
    connections.make_room();
    assert_eq!(connections.open.len(), MAX_CONNECTIONS - 1);
    assert!(tasks.remove(1).await.unwrap_err().is_cancelled());
    tokio::task::yield_now().await;
    assert!(tasks.iter().all(|task| !task.is_finished()));
}

/// Without a descriptor for another client, one that is being answered has a moment for it.
#[tokio::test(start_paused = true)]
async fn a_new_connection_is_not_closed_for_another_at_once() {
    let mut connections = Connections::default();
    let task = tokio::spawn(std::future::pending::<()>());
    connections.add(
        IpAddr::from([10, 0, 0, 1]),
        task.abort_handle(),
        UnreadOfClient::default(),
    );
    assert!(!connections.close_oldest(GRACE));
    tokio::time::advance(GRACE).await;
    assert!(connections.close_oldest(GRACE));
    assert!(task.await.unwrap_err().is_cancelled());
}
