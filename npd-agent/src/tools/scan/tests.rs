use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::Timestamp;

use super::text::shown;
use super::verdict::{ActionByReason, ScanVerdict};
use crate::problem::{Action, Condition, ConditionStatus, Event, FaultyObject, Severity};
use crate::status_page::{StatusModel, StatusPage};

fn at(time: &str) -> Timestamp {
    format!("2026-11-30T{time}Z").parse().unwrap()
}

fn condition(r#type: &str, status: ConditionStatus, reason: &str, message: &str) -> Condition {
    Condition {
        r#type: Arc::from(r#type),
        status,
        transition: at("11:48:00"),
        reason: Arc::from(reason),
        message: message.to_owned(),
        healthy: None,
    }
}

fn event(time: &str, severity: Severity, reason: &str, message: &str) -> Event {
    Event {
        severity,
        timestamp: at(time),
        reason: Arc::from(reason),
        message: message.to_owned(),
        action: Some(Action::Inspect),
        object: Some(FaultyObject {
            kind: "device".to_owned(),
            name: "sda".to_owned(),
        }),
        pod: None,
        dry_run: false,
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut StatusModel), expect: &Expect) {
    let page = StatusPage::new("node-1".to_owned(), at("12:00:00"));
    page.update(|shown| {
        let message = "kernel has no deadlock";
        let well = condition("KernelDeadlock", ConditionStatus::False, "Well", message);
        shown.conditions = vec![well];
    });
    page.update(change);
    let actions = ActionByReason::from([(Arc::from("XfsHasShutdown"), Action::Reboot)]);
    let verdict = ScanVerdict::of(&page.read(), &actions, at("12:00:00"));
    let state = verdict.state;
    expect.assert_eq(&format!("{}{state:?}", shown(&verdict, at("12:00:00"))));
}

#[test]
fn a_well_node_is_well() {
    check(
        |_| {},
        &expect![[r#"
        node-1: well
          ✔ KernelDeadlock: kernel has no deadlock
        Well"#]],
    );
}

#[test]
fn what_is_wrong_comes_first_with_what_to_do() {
    let sick = |shown: &mut StatusModel| {
        let message = "XFS (sda): Log I/O Error\nas it says";
        let is = ConditionStatus::True;
        let sick = condition("XfsShutdown", is, "XfsHasShutdown", message);
        shown.conditions.push(sick);
        let io = event("11:59:58", Severity::Error, "IOError", "dev sda failed");
        shown.push_event(&Arc::from("kernel"), &io);
    };
    check(
        sick,
        &expect![[r#"
        node-1: SICK
          ✘ XfsShutdown for 12m: XFS (sda): Log I/O Error
              as it says
              → drain and reboot the node
          ✘ IOError for 2s [device/sda]: dev sda failed
              → look closer: docs/reasons.md says what it means
          ✔ KernelDeadlock: kernel has no deadlock
        Sick"#]],
    );
}

/// A line of the log whose fault is over does not make the node sick.
#[test]
fn what_is_over_is_only_listed() {
    let past = |shown: &mut StatusModel| {
        for (time, severity, message) in [
            ("09:00:00", Severity::Error, "dev sda failed"),
            ("11:58:00", Severity::Error, "dev sdb failed"),
            ("11:59:59", Severity::Info, "for information"),
            (
                "11:59:59",
                Severity::Warning,
                "Node condition XfsShutdown is now: True",
            ),
        ] {
            let event = event(time, severity, "IOError", message);
            shown.push_event(&Arc::from("kernel"), &event);
        }
    };
    check(
        past,
        &expect![[r#"
        node-1: well
          ✔ KernelDeadlock: kernel has no deadlock
        Since boot, and over:
            2 × IOError, 2m ago: dev sdb failed
        Well"#]],
    );
}

#[test]
fn what_could_not_be_seen_is_not_called_well() {
    let blind = |shown: &mut StatusModel| {
        let unseen = vec!["builtin:kernel/core.json: log".to_owned()];
        shown.unseen.insert(Arc::from("XfsShutdown"), unseen);
    };
    check(
        blind,
        &expect![[r#"
        node-1: nobody can tell; not everything could be seen
          ? XfsShutdown: not known
          ✔ KernelDeadlock: kernel has no deadlock
        Unknown"#]],
    );
    let page = StatusPage::new("node-1".to_owned(), at("12:00:00"));
    page.source("kmsg", true, Some("permission denied".to_owned()));
    page.source("app.log", false, Some("it is not there".to_owned()));
    let sources = page.read().sources.clone();
    check(
        |shown| shown.sources = sources,
        &expect![[r#"
        node-1: nobody can tell; not everything could be seen
          ? source kmsg: permission denied
          ✔ KernelDeadlock: kernel has no deadlock
        Unknown"#]],
    );
}
