//! How events reach the API server.

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;

use super::lab::Lab;
use super::samples::event;
use super::server::ServerFault;
use super::{check, check_body};
use crate::problem::{Action, Event, FaultyObject, Pod, PodName, Severity};

#[tokio::test(start_paused = true)]
async fn an_event_names_the_node_in_full() {
    let mut lab = Lab::start(&[], |_| {});
    lab.event("OOMKilling", "50% done\nKilled process 1");
    lab.seconds(1).await;
    check_body(
        lab.server().bodies.get(1),
        &expect![[r#"
        {
          "apiVersion": "v1",
          "count": 1,
          "firstTimestamp": "2025-06-15T15:06:40Z",
          "involvedObject": {
            "apiVersion": "v1",
            "kind": "Node",
            "name": "n1",
            "uid": "uid-1"
          },
          "kind": "Event",
          "lastTimestamp": "2025-06-15T15:06:40Z",
          "message": "50% done\nKilled process 1",
          "metadata": {
            "name": "n1.…",
            "namespace": "default"
          },
          "reason": "OOMKilling",
          "reportingComponent": "kernel-monitor",
          "reportingInstance": "n1",
          "source": {
            "component": "kernel-monitor",
            "host": "n1"
          },
          "type": "Warning"
        }"#]],
    );
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 POST /api/v1/namespaces/default/events 201
    "]],
    );
}

/// The rule is tried: the cluster is not told.
#[tokio::test(start_paused = true)]
async fn an_event_of_a_dry_run_is_not_written() {
    let mut lab = Lab::start(&[], |_| {});
    let tried = Event {
        dry_run: true,
        ..event("OOMKilling", "tried")
    };
    lab.export(Some(tried), vec![]);
    lab.event("OOMKilling", "Killed process 1");
    lab.seconds(1).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 POST /api/v1/namespaces/default/events 201
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_pod_is_written_for_node_and_pod() {
    let mut lab = Lab::start(&["--event-namespace=ops"], |_| {});
    let mut of_pod = event("OOMKilling", "killed");
    of_pod.pod = Some(Pod {
        uid: "pod-uid".to_owned(),
        name: Some(PodName {
            namespace: "shop".to_owned(),
            name: "cart-0".to_owned(),
        }),
    });
    lab.export(Some(of_pod.clone()), vec![]);
    lab.seconds(1).await;
    assert_eq!(lab.server().bodies[1]["involvedObject"]["namespace"], "ops");
    check_body(
        lab.server().bodies.get(2),
        &expect![[r#"
        {
          "apiVersion": "v1",
          "count": 1,
          "firstTimestamp": "2025-06-15T15:06:40Z",
          "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "cart-0",
            "namespace": "shop",
            "uid": "pod-uid"
          },
          "kind": "Event",
          "lastTimestamp": "2025-06-15T15:06:40Z",
          "message": "killed",
          "metadata": {
            "name": "cart-0.…",
            "namespace": "shop"
          },
          "reason": "OOMKilling",
          "reportingComponent": "kernel-monitor",
          "reportingInstance": "n1",
          "source": {
            "component": "kernel-monitor",
            "host": "n1"
          },
          "type": "Warning"
        }"#]],
    );
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 POST /api/v1/namespaces/ops/events 201
        0.000 POST /api/v1/namespaces/shop/events 201
    "]],
    );

    // An invalid name must not become part of a path.
    of_pod
        .pod
        .as_mut()
        .unwrap()
        .name
        .as_mut()
        .unwrap()
        .namespace = "../nodes".to_owned();
    of_pod.reason = Arc::from("Other");
    lab.export(Some(of_pod), vec![]);
    lab.seconds(1).await;
    check(
        &lab,
        &expect![[r"
        1.000 POST /api/v1/namespaces/ops/events 201
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_storm_costs_tens_of_writes_and_another_reason_gets_through() {
    let mut lab = Lab::start(&[], |_| {});
    for kill in 0..10_000 {
        lab.event("OOMKilling", &format!("Killed process {kill}"));
        if kill == 5000 {
            let before = lab.server().events.len();
            lab.event("Ext4Error", "EXT4-fs error");
            lab.pass(Duration::from_millis(1)).await;
            assert_eq!(lab.server().events.len(), before + 1);
        }
        lab.pass(Duration::from_millis(2)).await;
    }
    lab.seconds(120).await;
    assert_eq!(lab.server().total(), 10_001);
    let writes = lab.server().requests("P");
    assert!(writes < 30, "{writes}");
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_what_the_flags_say() {
    let mut lab = Lab::start(&["--kube-api-qps=1", "--kube-api-burst=2"], |_| {});
    for reason in ["A", "B", "C"] {
        lab.event(reason, "m");
    }
    lab.seconds(10).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 POST /api/v1/namespaces/default/events 201
        1.000 POST /api/v1/namespaces/default/events 201
        2.000 POST /api/v1/namespaces/default/events 201
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_rule_advises_is_in_annotations() {
    let mut lab = Lab::start(&[], |_| {});
    let mut advised = event("IOError", "I/O error, dev sda");
    advised.severity = Severity::Error;
    advised.action = Some(Action::Replace);
    advised.object = Some(FaultyObject {
        kind: "device".to_owned(),
        name: "sda".to_owned(),
    });
    lab.export(Some(advised), vec![]);
    lab.seconds(1).await;
    let body = &lab.server().bodies[1];
    assert_eq!(body["type"], "Warning");
    assert_eq!(
        body["metadata"]["annotations"],
        serde_json::json!({
            "npd-agent/severity": "error",
            "npd-agent/action": "replace",
            "npd-agent/object": "device/sda",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn how_long_an_event_waits_for_the_server_is_measured() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|line, since| {
            let is_refused = line.starts_with("POST") && since < Duration::from_secs(20);
            is_refused.then_some(ServerFault::Code(503, None))
        });
    });
    lab.event("OOMKilling", "killed");
    lab.seconds(100).await;
    lab.event("OOMKilling", "killed");
    lab.seconds(100).await;
    let page = lab.metrics.page().unwrap();
    let buckets = page
        .lines()
        .filter(|line| line.starts_with("npd_event_delivery_seconds_bucket"));
    let buckets: Vec<_> = buckets.collect();
    assert!(
        buckets.iter().any(|line| line.ends_with(r#"le="10"} 0"#)),
        "{buckets:#?}"
    );
    assert!(
        buckets.iter().any(|line| line.ends_with(r#"le="60"} 1"#)),
        "{buckets:#?}"
    );
}
