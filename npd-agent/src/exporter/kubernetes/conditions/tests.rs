use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::Timestamp;

use super::Conditions;
use crate::exporter::kubernetes::node::NodeObject;
use crate::problem::{Condition, ConditionStatus};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn condition(r#type: &str, status: ConditionStatus, reason: &str, second: i64) -> Condition {
    Condition {
        r#type: Arc::from(r#type),
        status,
        transition: at(second),
        reason: Arc::from(reason),
        message: format!("about {reason}"),
        healthy: None,
    }
}

fn deadlock(sick: bool, second: i64) -> Condition {
    if sick {
        condition("KernelDeadlock", ConditionStatus::True, "TaskHung", second)
    } else {
        condition(
            "KernelDeadlock",
            ConditionStatus::False,
            "NoDeadlock",
            second,
        )
    }
}

fn declared() -> Conditions {
    Conditions::new(
        ["KernelDeadlock", "ReadonlyFilesystem"]
            .map(Arc::from)
            .into(),
    )
}

/// A Node that has `conditions` in the short form `type status reason second writer`.
fn node(conditions: &[&str]) -> NodeObject {
    let mut items = Vec::new();
    let mut managers = serde_json::Map::new();
    for text in conditions {
        let words: Vec<&str> = text.split(' ').collect();
        let [r#type, status, reason, second, writer] = words[..] else {
            panic!("{text}");
        };
        let time = at(second.parse().unwrap()).to_string();
        items.push(serde_json::json!({
            "type": r#type, "status": status, "reason": reason, "message": format!("about {reason}"),
            "lastTransitionTime": time, "lastHeartbeatTime": at(1000).to_string(),
        }));
        let owned = managers
            .entry(writer)
            .or_insert_with(|| serde_json::json!({ ".": {} }));
        let key = format!("k:{{\"type\":\"{type}\"}}");
        owned[key] = serde_json::json!({ ".": {}, "f:lastHeartbeatTime": {}, "f:type": {} });
    }
    let managed: Vec<_> = managers
        .into_iter()
        .map(|(manager, owned)| {
            serde_json::json!({
                "manager": manager, "operation": "Update", "subresource": "status",
                "fieldsType": "FieldsV1", "fieldsV1": { "f:status": { "f:conditions": owned } },
            })
        })
        .collect();
    serde_json::from_value(serde_json::json!({
        "metadata": { "name": "n", "uid": "u", "managedFields": managed },
        "status": { "conditions": items, "images": [{}] },
    }))
    .unwrap()
}

/// Whether there is something to write, and what it would be.
#[track_caller]
fn check(conditions: &Conditions, expect: &Expect) {
    let body = conditions.patch(at(2000)).body;
    let lines: Vec<String> = body["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| condition.to_string().replace('"', ""))
        .collect();
    let dirty = if conditions.is_dirty() {
        "dirty"
    } else {
        "clean"
    };
    expect.assert_eq(&format!("{dirty}\n{}", lines.join("\n")));
}

#[test]
fn a_change_is_written_with_all_that_is_known() {
    let mut conditions = declared();
    assert!(!conditions.is_dirty());
    conditions.set(&deadlock(true, 1));
    conditions.set(&condition(
        "ReadonlyFilesystem",
        ConditionStatus::Unknown,
        "",
        2,
    ));
    check(
        &conditions,
        &expect![[r"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:01Z,message:about TaskHung,reason:TaskHung,status:True,type:KernelDeadlock}
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:02Z,message:about ,status:Unknown,type:ReadonlyFilesystem}"]],
    );
    let patch = conditions.patch(at(3));
    assert!(conditions.set(&deadlock(false, 4)));
    conditions.wrote(&patch);
    check(
        &conditions,
        &expect![[r"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:04Z,message:about NoDeadlock,reason:NoDeadlock,status:False,type:KernelDeadlock}
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:02Z,message:about ,status:Unknown,type:ReadonlyFilesystem}"]],
    );
    let patch = conditions.patch(at(3));
    conditions.wrote(&patch);
    assert!(!conditions.is_dirty());
}

#[test]
fn what_is_no_news_is_not_written() {
    let mut conditions = declared();
    conditions.set(&deadlock(true, 1));
    conditions.wrote(&conditions.patch(at(1)));
    assert!(!conditions.set(&deadlock(true, 1)));
    assert!(!conditions.is_dirty());
    let mut louder = deadlock(true, 1);
    louder.message = "two tasks now".to_owned();
    assert!(conditions.set(&louder), "a new message is news");
}

#[test]
fn a_restart_finds_its_conditions_and_writes_nothing() {
    let mut conditions = declared();
    conditions.set(&deadlock(true, 500));
    conditions.learn(&node(&[
        "Ready True KubeletReady 0 kubelet",
        "KernelDeadlock True TaskHung 7 npd-agent",
    ]));
    check(
        &conditions,
        &expect![[r"
        clean
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:07Z,message:about TaskHung,reason:TaskHung,status:True,type:KernelDeadlock}"]],
    );
    // The ledger does not know the older transition time, and publishes a new message with its own.
    let mut louder = deadlock(true, 500);
    louder.message = "two tasks now".to_owned();
    conditions.set(&louder);
    check(
        &conditions,
        &expect![[r"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:07Z,message:two tasks now,reason:TaskHung,status:True,type:KernelDeadlock}"]],
    );
}

#[test]
fn what_is_reported_after_the_server_was_asked_keeps_its_transition_too() {
    let mut conditions = declared();
    conditions.learn(&node(&[
        "KernelDeadlock True TaskHung 7 node-problem-detector",
        "ReadonlyFilesystem True Broken 7 node-problem-detector",
    ]));
    assert!(
        !conditions.is_dirty(),
        "it stands until somebody has looked"
    );
    assert!(
        !conditions.set(&deadlock(true, 500)),
        "it stands there already"
    );
    assert!(conditions.set(&condition(
        "ReadonlyFilesystem",
        ConditionStatus::False,
        "Fine",
        501
    )));
    check(
        &conditions,
        &expect![[r"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:07Z,message:about TaskHung,reason:TaskHung,status:True,type:KernelDeadlock}
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:08:21Z,message:about Fine,reason:Fine,status:False,type:ReadonlyFilesystem}"]],
    );
}

#[test]
fn a_claim_that_is_older_than_what_stands_changes_nothing() {
    let mut conditions = declared();
    conditions.set(&deadlock(true, 3));
    conditions.learn(&node(&["KernelDeadlock True TaskHung 7 npd-agent"]));
    assert!(!conditions.is_dirty());
    assert!(!conditions.set(&deadlock(true, 3)));
}

#[test]
fn a_restart_writes_what_differs() {
    let mut conditions = declared();
    conditions.set(&deadlock(false, 500));
    conditions.learn(&node(&["KernelDeadlock True TaskHung 7 npd-agent"]));
    check(
        &conditions,
        &expect![[r"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:08:20Z,message:about NoDeadlock,reason:NoDeadlock,status:False,type:KernelDeadlock}"]],
    );
}

#[test]
fn leftovers_of_an_earlier_config_go_and_nobody_elses() {
    let mut conditions = declared();
    conditions.set(&deadlock(false, 7));
    let shown = [
        "Ready True KubeletReady 0 kubelet",
        "KernelDeadlock False NoDeadlock 7 npd-agent",
        // Declared, though nothing was reported yet (skip_initial_status).
        "ReadonlyFilesystem False Fine 7 npd-agent",
        "OldPlugin True Broken 7 npd-agent",
        "FrequentRestart True Restarting 7 node-problem-detector",
    ];
    conditions.learn(&node(&shown));
    assert!(conditions.has_suspects());
    assert!(!conditions.is_dirty(), "another agent may be reporting it");
    conditions.examine(&node(&shown));
    check(
        &conditions,
        &expect![[r#"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:07Z,message:about NoDeadlock,reason:NoDeadlock,status:False,type:KernelDeadlock}
        {$patch:delete,type:OldPlugin}"#]],
    );
    conditions.wrote(&conditions.patch(at(1)));
    check(
        &conditions,
        &expect![[r#"
        clean
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:07Z,message:about NoDeadlock,reason:NoDeadlock,status:False,type:KernelDeadlock}"#]],
    );
}

#[test]
fn what_another_agent_on_the_node_reports_stays() {
    let mut conditions = declared();
    let mut object = node(&[
        "Other True Broken 7 npd-agent",
        "More True Broken 7 npd-agent",
    ]);
    conditions.learn(&object);
    object.status.conditions[0].last_heartbeat_time = Some(at(1300));
    object.status.conditions.remove(1);
    conditions.examine(&object);
    assert!(!conditions.is_dirty());
    assert!(!conditions.has_suspects());
}

#[test]
fn what_was_removed_or_taken_over_is_missed() {
    let mut conditions = declared();
    conditions.set(&deadlock(true, 7));
    let ours = node(&["KernelDeadlock True TaskHung 7 npd-agent"]);
    assert!(!conditions.are_lost(&ours));
    let theirs = node(&["KernelDeadlock True TaskHung 7 somebody"]);
    assert!(conditions.are_lost(&theirs));
}

#[test]
fn the_heartbeat_is_as_old_as_the_oldest() {
    let mut conditions = declared();
    conditions.set(&deadlock(false, 7));
    let object = node(&["KernelDeadlock False NoDeadlock 7 npd-agent"]);
    assert_eq!(conditions.oldest_heartbeat(&object), Some(at(1000)));
    conditions.set(&condition(
        "ReadonlyFilesystem",
        ConditionStatus::False,
        "Fine",
        7,
    ));
    assert_eq!(conditions.oldest_heartbeat(&object), None);
}

#[test]
fn another_node_gets_everything() {
    let mut conditions = declared();
    conditions.set(&deadlock(false, 7));
    conditions.wrote(&conditions.patch(at(1)));
    conditions.forget();
    assert!(conditions.is_dirty());
    assert!(!conditions.is_sick());
}

/// A consumer acts when an alias has had a status for some time.
#[test]
fn an_alias_keeps_the_transition_time_of_its_status() {
    let alias = |reason: &str, second| Condition {
        healthy: Some(ConditionStatus::True),
        ..condition("KernelReady", ConditionStatus::False, reason, second)
    };
    let mut conditions = Conditions::new([Arc::from("KernelReady")].into());
    conditions.set(&alias("TaskHung", 20));
    conditions.learn(&node(&["KernelReady False MemoryBroken 10 npd-agent"]));
    check(
        &conditions,
        &expect![[r#"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:10Z,message:about TaskHung,reason:TaskHung,status:False,type:KernelReady}"#]],
    );
    assert!(conditions.set(&alias("MemoryBroken", 20)));
    check(
        &conditions,
        &expect![[r#"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:10Z,message:about MemoryBroken,reason:MemoryBroken,status:False,type:KernelReady}"#]],
    );
    assert!(conditions.is_sick());
    let well = Condition {
        status: ConditionStatus::True,
        ..alias("KernelIsReady", 30)
    };
    assert!(conditions.set(&well));
    check(
        &conditions,
        &expect![[r#"
        dirty
        {lastHeartbeatTime:2027-01-15T08:33:20Z,lastTransitionTime:2027-01-15T08:00:30Z,message:about KernelIsReady,reason:KernelIsReady,status:True,type:KernelReady}"#]],
    );
    assert!(!conditions.is_sick());
}
