//! Stories about one condition: findings go in, and what is reported to the cluster is checked.

mod detectors;
mod restart;

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::Timestamp;

use super::*;
use crate::problem::ConditionStatus::{False, True, Unknown};
use crate::problem::{Problem, Witness};

/// A finding about the condition `Sick`, at `at` seconds.
fn finding(at: i64, claimant: &str, reason: &str, present: ConditionStatus, text: &str) -> Finding {
    Finding {
        monitor: Arc::from("monitor.json"),
        source: Arc::from("monitor"),
        problem: Arc::new(Problem {
            reason: Arc::from(reason),
            condition: Some(Arc::from("Sick")),
            message_is_news: false,
            metrics: true,
            inert: false,
            advice: None,
        }),
        present,
        timestamp: second(at),
        message: text.to_owned(),
        claimant: claimant.to_owned(),
        subject: None,
        object: None,
        repeated: false,
        witness: Witness::Other,
        pod: None,
        occurrence: None,
    }
}

fn about(subject: u32, finding: Finding) -> Finding {
    Finding {
        subject: Some(Subject::new("hung_task", subject)),
        ..finding
    }
}

fn message_is_news(mut finding: Finding) -> Finding {
    let problem = Problem {
        message_is_news: true,
        ..(*finding.problem).clone()
    };
    finding.problem = Arc::new(problem);
    finding
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.declare(&Arc::from("monitor.json"), healthy(), &[], second(0));
    assert_eq!(ledger.begin(second(0)).len(), 1);
    ledger
}

fn healthy() -> Healthy {
    Healthy {
        r#type: Arc::from("Sick"),
        reason: Arc::from("AllWell"),
        message: "node is well".to_owned(),
    }
}

fn describe(outcome: &Outcome) -> String {
    let mut reported = String::new();
    if let Some(event) = &outcome.event {
        let at = event.timestamp.as_second();
        writeln!(
            reported,
            "{at} {:?} {}: {}",
            event.severity, event.reason, event.message
        )
        .unwrap();
    }
    if let Some(Condition {
        status,
        transition,
        reason,
        message,
        ..
    }) = &outcome.condition
    {
        writeln!(
            reported,
            "  {status} since {} {reason}: {message}",
            transition.as_second()
        )
        .unwrap();
    }
    if reported.is_empty() {
        "  no news\n".to_owned()
    } else {
        reported
    }
}

#[track_caller]
fn check(findings: impl IntoIterator<Item = Finding>, expect: &Expect) {
    let mut ledger = ledger();
    let reported: String = findings
        .into_iter()
        .map(|finding| describe(&ledger.apply(finding)))
        .collect();
    expect.assert_eq(&reported);
}

#[test]
fn a_rule_that_matches_again_is_no_news() {
    check(
        [
            finding(1, "", "DockerHung", True, "task docker:7 blocked"),
            finding(2, "", "DockerHung", True, "task docker:8 blocked"),
        ],
        &expect![[r#"
            1 Warning DockerHung: Node condition Sick is now: True, reason: DockerHung, message: "task docker:7 blocked"
              True since 1 DockerHung: task docker:7 blocked
              no news
        "#]],
    );
}

#[test]
fn another_reason_of_the_same_log_replaces_the_first_as_in_npd() {
    check(
        [
            finding(1, "", "A", True, "a"),
            finding(2, "", "B", True, "b"),
            finding(3, "", "A", True, "a again"),
        ],
        &expect![[r#"
            1 Warning A: Node condition Sick is now: True, reason: A, message: "a"
              True since 1 A: a
            2 Warning B: Node condition Sick is now: True, reason: B, message: "b"
              True since 2 B: b
            3 Warning A: Node condition Sick is now: True, reason: A, message: "a again"
              True since 3 A: a again
        "#]],
    );
}

#[test]
fn a_plugin_recovers_with_the_default_reason_and_message() {
    check(
        [
            finding(1, "rule 0", "Down", False, "all is well here"),
            finding(2, "rule 0", "Down", True, "it is down"),
            finding(3, "rule 0", "Down", Unknown, "timed out"),
            finding(4, "rule 0", "Down", Unknown, "timed out again"),
            finding(5, "rule 0", "Down", False, "ok"),
            finding(6, "rule 0", "Down", False, "ok"),
        ],
        &expect![[r#"
              no news
            2 Warning Down: Node condition Sick is now: True, reason: Down, message: "it is down"
              True since 2 Down: it is down
            3 Info AllWell: Node condition Sick is now: Unknown, reason: AllWell, message: "timed out"
              Unknown since 3 AllWell: timed out
              no news
            5 Info AllWell: Node condition Sick is now: False, reason: AllWell, message: "node is well"
              False since 5 AllWell: node is well
              no news
        "#]],
    );
}

#[test]
fn two_plugin_rules_on_one_condition_do_not_flap() {
    check(
        [
            finding(1, "rule 0", "A", True, "a"),
            finding(1, "rule 1", "B", False, ""),
            finding(2, "rule 0", "A", True, "a"),
            finding(2, "rule 1", "B", True, "b"),
            finding(3, "rule 0", "A", True, "a"),
            finding(3, "rule 1", "B", False, ""),
            finding(4, "rule 0", "A", Unknown, "?"),
            finding(5, "rule 0", "A", False, ""),
        ],
        &expect![[r#"
            1 Warning A: Node condition Sick is now: True, reason: A, message: "a"
              True since 1 A: a
              no news
              no news
            2 Warning B: Node condition Sick is now: True, reason: B, message: "b"
              True since 2 B: b
              no news
            3 Info A: Node condition Sick is now: True, reason: A, message: "a"
              True since 3 A: a
            4 Info AllWell: Node condition Sick is now: Unknown, reason: AllWell, message: "?"
              Unknown since 4 AllWell: ?
            5 Info AllWell: Node condition Sick is now: False, reason: AllWell, message: "node is well"
              False since 5 AllWell: node is well
        "#]],
    );
}

#[test]
fn a_new_message_is_news_only_where_the_config_says_so() {
    let first = finding(1, "rule 0", "Down", True, "90 %");
    let second = finding(2, "rule 0", "Down", True, "95 %");
    check(
        [first.clone(), second.clone()].map(message_is_news),
        &expect![[r#"
            1 Warning Down: Node condition Sick is now: True, reason: Down, message: "90 %"
              True since 1 Down: 90 %
            2 Warning Down: Node condition Sick is now: True, reason: Down, message: "95 %"
              True since 2 Down: 95 %
        "#]],
    );
    check(
        [first, second],
        &expect![[r#"
            1 Warning Down: Node condition Sick is now: True, reason: Down, message: "90 %"
              True since 1 Down: 90 %
              no news
        "#]],
    );
}

#[test]
fn a_condition_lasts_until_its_last_subject_is_well() {
    let mut ledger = ledger();
    let hung = |at, pid, text: &str| about(pid, finding(at, "", "TaskHung", True, text));
    let mut reported = String::new();
    for found in [hung(1, 7, "kubelet:7"), hung(2, 8, "runc:8")] {
        reported += &describe(&ledger.apply(found));
    }
    for (at, pid) in [(3, 7), (4, 9), (5, 8)] {
        let outcomes = ledger.recover(&Subject::new("hung_task", pid), second(at));
        writeln!(reported, "task {pid} recovers:").unwrap();
        reported.extend(outcomes.iter().map(describe));
    }
    expect![[r#"
        1 Warning TaskHung: Node condition Sick is now: True, reason: TaskHung, message: "kubelet:7"
          True since 1 TaskHung: kubelet:7
          no news
        task 7 recovers:
          True since 1 TaskHung: runc:8
        task 9 recovers:
        task 8 recovers:
        5 Info AllWell: Node condition Sick is now: False, reason: AllWell, message: "node is well"
          False since 5 AllWell: node is well
    "#]]
    .assert_eq(&reported);
}

#[test]
fn temporary_problems_make_an_event_each_time() {
    let temporary = |present, text: &str| {
        let mut finding = finding(1, "", "OOMKilling", present, text);
        finding.problem = Arc::new(Problem {
            condition: None,
            ..(*finding.problem).clone()
        });
        finding
    };
    check(
        [
            temporary(True, "killed 50 %d"),
            temporary(Unknown, "timed out"),
            temporary(False, "ok"),
        ],
        &expect![[r#"
            1 Warning OOMKilling: killed 50 %d
            1 Warning OOMKilling: timed out
              no news
        "#]],
    );
}

#[test]
fn an_undeclared_condition_is_dropped_as_in_npd() {
    let mut ledger = Ledger::default();
    assert_eq!(
        ledger.apply(finding(1, "", "A", True, "a")),
        Outcome::default()
    );
}

#[test]
fn claims_are_bounded() {
    let mut ledger = ledger();
    let claims = u32::try_from(MAX_CLAIMS).unwrap();
    let claim = |pid| about(pid, finding(1, "", "TaskHung", True, "hung"));
    assert!((0..claims).all(|pid| !ledger.apply(claim(pid)).refused));
    assert!(ledger.apply(claim(claims)).refused);
    ledger.recover(&Subject::new("hung_task", 0), second(2));
    assert!(!ledger.apply(claim(claims)).refused);
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let long = "ä".repeat(4096);
    let Outcome { condition, .. } = ledger().apply(finding(1, "", "A", True, &long));
    let message = condition.unwrap().message;
    assert!(message.len() <= crate::problem::MAX_MESSAGE && message.ends_with("ä… [cut]"));
}

#[test]
fn one_objects_fault_does_not_hide_the_next_ones() {
    let of = |device: &str, at: i64| Finding {
        object: Some(FaultyObject {
            kind: "device".to_owned(),
            name: device.to_owned(),
        }),
        subject: Some(Subject::new("filesystem", device)),
        ..finding(at, "rules[0]", "FilesystemIsReadOnly", True, device)
    };
    check(
        [of("sda", 1), of("sdb", 2), of("sda", 3)],
        &expect![[r#"
        1 Warning FilesystemIsReadOnly: Node condition Sick is now: True, reason: FilesystemIsReadOnly, message: "sda"
          True since 1 FilesystemIsReadOnly: sda
        2 Warning FilesystemIsReadOnly: sdb
          no news
    "#]],
    );
}
