//! How conditions reach the API server.

use std::time::Duration;

use expect_test::expect;
use serde_json::Value;

use super::super::condition_task::remove_conditions;
use super::lab::Lab;
use super::samples::{deadlock, named};
use super::{check, check_body};

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
    lab.seconds(800).await;
    assert_eq!(
        lab.server().conditions.len(),
        4,
        "another agent may be reporting it"
    );
    lab.seconds(200).await;
    let server = lab.server();
    let left: Vec<&String> = server.conditions.keys().collect();
    assert_eq!(left, ["KernelDeadlock", "ReadonlyFilesystem", "Ready"]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_removes_comes_back() {
    let mut lab = Lab::start(&["--k8s-exporter-heartbeat-period=0"], |_| {});
    lab.condition(deadlock(false));
    lab.seconds(60).await;
    lab.server().remove_condition("KernelDeadlock");
    lab.seconds(300).await;
    assert_eq!(lab.server().conditions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn uninstalling_removes_what_this_agent_wrote() {
    let lab = Lab::start(&[], |server| {
        server.add_condition("npd-agent", &deadlock(true));
        server.add_condition("kubelet", &named("Ready"));
    });
    let removed = remove_conditions(&lab.api(), "n1").await.unwrap();
    assert_eq!(removed, ["KernelDeadlock"]);
    assert_eq!(lab.server().conditions.len(), 1);
    let removed = remove_conditions(&lab.api(), "n1").await.unwrap();
    assert!(removed.is_empty(), "once is enough");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deleted_and_created_again_is_followed() {
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
            30.000 GET /api/v1/nodes/n1 404
            50.000 GET /api/v1/nodes/n1 404
            70.000 GET /api/v1/nodes/n1 404
            90.000 GET /api/v1/nodes/n1 404
            110.000 GET /api/v1/nodes/n1 404
            130.000 GET /api/v1/nodes/n1 404
            152.500 GET /api/v1/nodes/n1 404
            175.000 GET /api/v1/nodes/n1 404
            197.500 GET /api/v1/nodes/n1 404
            220.000 GET /api/v1/nodes/n1 404
            242.500 GET /api/v1/nodes/n1 404
            265.000 GET /api/v1/nodes/n1 404
            287.500 GET /api/v1/nodes/n1 404
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
