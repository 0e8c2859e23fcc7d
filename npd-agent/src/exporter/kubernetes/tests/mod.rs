//! Stories of the exporter and an API server, told by the requests that are made and when.

mod lab;

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::Value;

use self::lab::{Lab, Mood, deadlock, event};
use crate::problem::{Condition, Pod, PodName};

#[track_caller]
fn check(lab: &Lab, expect: &Expect) {
    expect.assert_eq(&lab.story());
}

/// Takes what changes from run to run out of a body.
#[track_caller]
fn check_body(body: Option<&Value>, expect: &Expect) {
    let mut body = body.unwrap().clone();
    if let Some(name) = body.pointer_mut("/metadata/name") {
        let (object, nanoseconds) = name.as_str().unwrap().rsplit_once('.').unwrap();
        u64::from_str_radix(nanoseconds, 16).unwrap();
        *name = format!("{object}.…").into();
    }
    for index in 0..4 {
        if let Some(time) =
            body.pointer_mut(&format!("/status/conditions/{index}/lastHeartbeatTime"))
        {
            let seconds = time.as_str().unwrap();
            assert_eq!(seconds.len(), "2026-01-01T00:00:00Z".len(), "{seconds}");
            *time = "…".into();
        }
    }
    expect.assert_eq(&serde_json::to_string_pretty(&body).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_healthy_node_writes_its_conditions_once_and_then_only_heartbeats() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    lab.seconds(1200).await;
    check_body(
        lab.server().bodies.get(1),
        &expect![[r#"
        {
          "status": {
            "conditions": [
              {
                "lastHeartbeatTime": "…",
                "lastTransitionTime": "2025-06-15T15:06:40Z",
                "message": "KernelHasNoDeadlock it says",
                "reason": "KernelHasNoDeadlock",
                "status": "False",
                "type": "KernelDeadlock"
              }
            ]
          }
        }"#]],
    );
    check(
        &lab,
        &expect![[r"
        2.500 GET /api/v1/nodes/n1 200
        2.500 PATCH /api/v1/nodes/n1/status 200
        302.500 PATCH /api/v1/nodes/n1/status 200
        602.500 PATCH /api/v1/nodes/n1/status 200
        902.500 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
    assert_eq!(lab.status("kubernetes conditions"), "well");
}

#[tokio::test(start_paused = true)]
async fn no_heartbeat_means_no_write_but_a_new_node_is_still_noticed() {
    let mut lab = Lab::start(&["--k8s-exporter-heartbeat-period=0"], |_| {});
    lab.condition(deadlock(false));
    lab.seconds(400).await;
    lab.server().uid = "uid-2";
    lab.server().conditions.clear();
    lab.seconds(400).await;
    check(
        &lab,
        &expect![[r"
        2.500 GET /api/v1/nodes/n1 200
        2.500 PATCH /api/v1/nodes/n1/status 200
        302.500 GET /api/v1/nodes/n1 200
        602.500 GET /api/v1/nodes/n1 200
        602.500 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
    assert_eq!(lab.server().conditions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sick_node_does_not_wait_at_the_start() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    lab.seconds(1).await;
    lab.condition(deadlock(true));
    lab.seconds(1).await;
    check(
        &lab,
        &expect![[r"
        1.000 GET /api/v1/nodes/n1 200
        1.000 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_goes_out_at_once_and_a_burst_is_folded() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    lab.seconds(60).await;
    lab.story();
    for round in 0..100 {
        lab.condition(deadlock(round % 2 == 0));
        lab.pass(Duration::from_millis(10)).await;
    }
    lab.condition(deadlock(true));
    lab.seconds(10).await;
    check(
        &lab,
        &expect![[r"
        60.000 PATCH /api/v1/nodes/n1/status 200
        60.250 PATCH /api/v1/nodes/n1/status 200
        60.500 PATCH /api/v1/nodes/n1/status 200
        60.750 PATCH /api/v1/nodes/n1/status 200
        61.000 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
    assert_eq!(lab.server().conditions["KernelDeadlock"]["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_never_rests_costs_a_write_a_second() {
    let mut lab = Lab::start(&[], |_| {});
    for round in 0..6000 {
        lab.condition(deadlock(round % 2 == 0));
        lab.pass(Duration::from_millis(10)).await;
    }
    let writes = lab.server().requests("PATCH");
    assert!((60..=72).contains(&writes), "{writes} in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_nothing_new_reads_once_and_writes_nothing() {
    let mut lab = Lab::start(&[], |server| {
        server.add_condition("npd-agent", &deadlock(true));
        server.add_condition("kubelet", &named("Ready"));
    });
    let mut now = deadlock(true);
    now.transition = jiff::Timestamp::now();
    lab.condition(now);
    lab.seconds(60).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn leftovers_are_removed_and_others_stay() {
    let mut lab = Lab::start(&[], |server| {
        server.add_condition("npd-agent", &deadlock(false));
        server.add_condition("npd-agent", &named("ReadonlyFilesystem"));
        server.add_condition("npd-agent", &named("OldPlugin"));
        server.add_condition("kubelet", &named("Ready"));
    });
    lab.condition(deadlock(false));
    lab.seconds(60).await;
    let server = lab.server();
    let left: Vec<&String> = server.conditions.keys().collect();
    assert_eq!(left, ["KernelDeadlock", "ReadonlyFilesystem", "Ready"]);
}

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

#[tokio::test(start_paused = true)]
async fn an_event_of_a_pod_is_told_to_both_in_their_namespaces() {
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

    // A name that is none must not become part of a path.
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
async fn retry_after_is_obeyed() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|line, now| {
            let busy = line.starts_with("PATCH") && now < Duration::from_secs(20);
            busy.then_some(Mood::Code(429, Some(30)))
        });
    });
    lab.condition(deadlock(true));
    lab.seconds(60).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 PATCH /api/v1/nodes/n1/status 429
        33.000 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_a_server_ends_with_everything_right() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    lab.event("Before", "all is well");
    lab.seconds(60).await;
    lab.story();
    lab.server().rule = Box::new(|_, now| (now < Duration::from_mins(61)).then_some(Mood::Reset));
    for flip in 0..200 {
        lab.condition(deadlock(flip % 2 == 0));
        lab.event(&format!("Reason{flip}"), "something");
        lab.event("OOMKilling", &format!("Killed process {flip}"));
        lab.seconds(17).await;
    }
    assert!(
        lab.status("kubernetes conditions")
            .contains("connection reset by peer")
    );
    let tries = lab.server().log.len();
    assert!(tries < 400, "{tries} tries");
    lab.seconds(400).await;
    let server = lab.server();
    assert_eq!(server.conditions["KernelDeadlock"]["status"], "False");
    assert_eq!(server.total(), 1 + 200 + 200);
    assert_eq!(server.events.len(), 1 + 200 + 10);
    let taken = server
        .log
        .iter()
        .filter(|(_, line)| line.starts_with("PATCH /api/v1/nodes") && line.ends_with("200"));
    assert!(
        taken.count() <= 3,
        "one write with the final state, and heartbeats"
    );
    drop(server);
    assert_eq!(lab.status("kubernetes conditions"), "well");
    assert_eq!(
        lab.metrics
            .exporter_dropped
            .with_label_values(&["kubernetes"])
            .get(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_tried_again_slowly() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|line, _| line.starts_with('P').then_some(Mood::Code(403, None)));
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(600).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 PATCH /api/v1/nodes/n1/status 403
        0.000 POST /api/v1/namespaces/default/events 403
        60.000 PATCH /api/v1/nodes/n1/status 403
        60.000 POST /api/v1/namespaces/default/events 403
        120.000 PATCH /api/v1/nodes/n1/status 403
        120.000 POST /api/v1/namespaces/default/events 403
        180.000 PATCH /api/v1/nodes/n1/status 403
        180.000 POST /api/v1/namespaces/default/events 403
        240.000 PATCH /api/v1/nodes/n1/status 403
        240.000 POST /api/v1/namespaces/default/events 403
        300.000 PATCH /api/v1/nodes/n1/status 403
        300.000 POST /api/v1/namespaces/default/events 403
        360.000 PATCH /api/v1/nodes/n1/status 403
        360.000 POST /api/v1/namespaces/default/events 403
        420.000 PATCH /api/v1/nodes/n1/status 403
        420.000 POST /api/v1/namespaces/default/events 403
        480.000 PATCH /api/v1/nodes/n1/status 403
        480.000 POST /api/v1/namespaces/default/events 403
        540.000 PATCH /api/v1/nodes/n1/status 403
        540.000 POST /api/v1/namespaces/default/events 403
    "]],
    );
    expect!["patch nodes/status: 403 Forbidden: as told"].assert_eq(
        lab.status("kubernetes conditions")
            .split_once("Z: ")
            .unwrap()
            .1,
    );
    lab.server().rule = Box::new(|_, _| None);
    lab.seconds(80).await;
    assert_eq!(lab.server().total(), 1);
    assert_eq!(lab.status("kubernetes events"), "well");
}

#[tokio::test(start_paused = true)]
async fn writing_works_without_the_permission_to_read() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|line, _| line.starts_with("GET").then_some(Mood::Code(403, None)));
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(1).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 403
        0.000 PATCH /api/v1/nodes/n1/status 200
        0.000 POST /api/v1/namespaces/default/events 201
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn what_no_server_will_ever_take_is_dropped_and_counted() {
    let mut lab = Lab::start(&[], |server| {
        let mut refusals = 0;
        server.rule = Box::new(move |line, _| {
            refusals += usize::from(line.starts_with("POST"));
            (line.starts_with("POST") && refusals == 1).then_some(Mood::Code(422, None))
        });
    });
    lab.event("First", "killed");
    lab.event("Second", "killed");
    lab.seconds(1).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 POST /api/v1/namespaces/default/events 422
        0.000 POST /api/v1/namespaces/default/events 201
    "]],
    );
    assert_eq!(
        lab.metrics
            .exporter_dropped
            .with_label_values(&["kubernetes"])
            .get(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_silently_is_given_up_and_made_anew() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    lab.seconds(60).await;
    lab.story();
    let start = Duration::from_mins(1);
    lab.server().rule =
        Box::new(move |_, now| (now < start + Duration::from_secs(5)).then_some(Mood::Silent));
    lab.condition(deadlock(true));
    lab.seconds(30).await;
    check(
        &lab,
        &expect![[r"
        60.000 PATCH /api/v1/nodes/n1/status Silent
        70.375 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
    assert_eq!(lab.server().clients, 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_is_read_anew() {
    let mut lab = Lab::start(&[], |server| {
        let mut first = true;
        server.rule =
            Box::new(move |_, _| std::mem::take(&mut first).then_some(Mood::Code(401, None)));
    });
    lab.condition(deadlock(true));
    lab.seconds(10).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 401
        5.000 GET /api/v1/nodes/n1 200
        5.000 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
    assert_eq!(lab.server().clients, 2);
}

#[tokio::test(start_paused = true)]
async fn answers_that_make_no_sense_or_get_lost_are_survived() {
    let mut lab = Lab::start(&[], |server| {
        let mut moods = [
            Some(Mood::Half),
            Some(Mood::Code(500, None)),
            None,
            Some(Mood::LoseAnswer),
            Some(Mood::Half),
            Some(Mood::LoseAnswer),
        ]
        .into_iter();
        server.rule = Box::new(move |_, _| moods.next().flatten());
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.event("OOMKilling", "killed");
    lab.seconds(30).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 Half
        5.000 GET /api/v1/nodes/n1 500
        10.000 GET /api/v1/nodes/n1 200
        10.000 PATCH /api/v1/nodes/n1/status LoseAnswer
        10.000 POST /api/v1/namespaces/default/events Half
        10.375 PATCH /api/v1/nodes/n1/status LoseAnswer
        10.375 POST /api/v1/namespaces/default/events 201
        11.125 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
    let server = lab.server();
    assert_eq!((server.events.len(), server.total()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_waited_for_as_the_flags_say() {
    let flags = [
        "--apiserver-wait-timeout=20s",
        "--apiserver-wait-interval=5s",
    ];
    let mut lab = Lab::start(&flags, |server| {
        server.rule = Box::new(|_, now| (now < Duration::from_secs(40)).then_some(Mood::Reset));
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(90).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 Reset
        5.000 GET /api/v1/nodes/n1 Reset
        10.000 GET /api/v1/nodes/n1 Reset
        15.000 GET /api/v1/nodes/n1 Reset
        20.000 GET /api/v1/nodes/n1 Reset
        20.000 POST /api/v1/namespaces/default/events Reset
        20.375 POST /api/v1/namespaces/default/events Reset
        21.125 POST /api/v1/namespaces/default/events Reset
        22.625 POST /api/v1/namespaces/default/events Reset
        25.625 POST /api/v1/namespaces/default/events Reset
        26.000 GET /api/v1/nodes/n1 Reset
        31.625 POST /api/v1/namespaces/default/events Reset
        38.000 GET /api/v1/nodes/n1 Reset
        43.625 POST /api/v1/namespaces/default/events 201
        60.500 GET /api/v1/nodes/n1 200
        60.500 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deleted_and_created_anew_is_followed() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    lab.event("OOMKilling", "killed");
    lab.seconds(10).await;
    lab.server().uid = "";
    lab.server().conditions.clear();
    lab.condition(deadlock(true));
    lab.seconds(300).await;
    lab.server().uid = "uid-2";
    lab.seconds(120).await;
    assert_eq!(lab.server().conditions["KernelDeadlock"]["status"], "True");
    lab.event("OOMKilling", "killed");
    lab.seconds(1).await;
    let uids: Vec<Value> = lab
        .server()
        .events
        .values()
        .map(|event| event["involvedObject"]["uid"].clone())
        .collect();
    assert_eq!(uids, ["uid-1", "uid-2"]);
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 PATCH /api/v1/nodes/n1/status 200
        0.000 POST /api/v1/namespaces/default/events 201
        10.000 PATCH /api/v1/nodes/n1/status 404
        70.000 GET /api/v1/nodes/n1 404
        130.000 GET /api/v1/nodes/n1 404
        190.000 GET /api/v1/nodes/n1 404
        250.000 GET /api/v1/nodes/n1 404
        310.000 GET /api/v1/nodes/n1 200
        310.000 PATCH /api/v1/nodes/n1/status 200
        430.000 POST /api/v1/namespaces/default/events 201
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn switches_keep_either_half_silent() {
    let mut lab = Lab::start(&["--k8s-exporter-write-events=false"], |_| {});
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(10).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
    let mut lab = Lab::start(&["--k8s-exporter-update-node-conditions=false"], |server| {
        server.add_condition("npd-agent", &named("OldPlugin"));
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(600).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 POST /api/v1/namespaces/default/events 201
        150.000 GET /api/v1/nodes/n1 200
        450.000 GET /api/v1/nodes/n1 200
    "]],
    );
    assert_eq!(lab.server().conditions.len(), 1);
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
async fn stopping_writes_what_waits() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    for _ in 0..5 {
        lab.event("OOMKilling", "killed");
        lab.pass(Duration::from_millis(1)).await;
    }
    lab.condition(deadlock(true));
    lab.finish().await;
    assert_eq!(lab.server().total(), 5);
    assert_eq!(lab.server().conditions["KernelDeadlock"]["status"], "True");
}

fn named(r#type: &str) -> Condition {
    Condition {
        r#type: Arc::from(r#type),
        ..deadlock(false)
    }
}
