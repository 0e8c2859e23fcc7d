mod records;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use jiff::Timestamp;

use super::*;
use crate::monitor::ConfigFile;
use crate::monitor::log::config;
use crate::problem::ConditionStatus;

/// A kernel log's rule set with one condition and one rule.
fn set(rule: &str) -> RuleSet {
    let json = format!(
        r#"{{"plugin": "kmsg", "conditions": [{{"type": "Sick"}}], "rules": [{{"reason": "Bad", {rule}}}]}}"#
    );
    let file = ConfigFile {
        name: Arc::from("x.json"),
        dir: None,
        bytes: json.into_bytes(),
    };
    config::parse(&file, &mut Vec::new()).unwrap().1
}

fn at(second: u64) -> ClockReading {
    ClockReading {
        wall: Timestamp::from_second(second.cast_signed()).unwrap(),
        monotonic: Duration::from_secs(second),
    }
}

fn describe(reported: &mut String, findings: Vec<Finding>) {
    for Finding {
        present,
        timestamp,
        message,
        claimant,
        subject,
        ..
    } in findings
    {
        let second = timestamp.as_second();
        write!(reported, "{second} {present} by {claimant:?}").unwrap();
        if let Some(subject) = subject {
            write!(reported, " about {subject}").unwrap();
        }
        if present == ConditionStatus::True {
            write!(reported, ": {message}").unwrap();
        }
        reported.push('\n');
    }
}

/// What a rule reports for kernel messages, each at its second. For an empty message, only time passes.
#[track_caller]
fn check(rule: &str, messages: &[(u64, &str)], expect: &Expect) {
    let mut set = set(rule);
    let mut reported = String::new();
    for &(second, message) in messages {
        describe(&mut reported, set.expired(at(second)));
        if !message.is_empty() {
            describe(
                &mut reported,
                set.take(at(second), message, Witness::KernelText),
            );
        }
    }
    expect.assert_eq(&reported);
}

#[test]
fn a_rule_of_npd_never_clears() {
    let rule = r#""type": "permanent", "condition": "Sick", "pattern": "bad.*""#;
    check(
        rule,
        &[(1, "bad one"), (2, "bad two"), (1_000_000, "")],
        &expect![[r#"
        1 True by "": bad one
        2 True by "": bad two
    "#]],
    );
}

#[test]
fn a_line_that_clears_ends_what_the_rule_has_claimed() {
    let rule = r#""type": "permanent", "condition": "Sick", "pattern": ".*bad.*", "clearPattern": ".*well.*""#;
    check(
        rule,
        &[
            (1, "well"),
            (2, "bad"),
            (3, "all is well"),
            (4, "well"),
            (5, "not bad, well"),
        ],
        &expect![[r#"
        2 True by "rules[0]": bad
        3 False by "rules[0]"
        5 True by "rules[0]": not bad, well
        5 False by "rules[0]"
    "#]],
    );
}

#[test]
fn a_line_about_a_subject_clears_only_that() {
    let rule = r#""type": "permanent", "condition": "Sick", "pattern": "EXT4-fs error.*", "clearPattern": ".*well""#;
    let messages = [
        (1, "EXT4-fs error (device vda1): one"),
        (2, "EXT4-fs error (device vdb1): two"),
        (3, "EXT4-fs error (device vdc1): three"),
        (4, "EXT4-fs (vdb1): well"),
        (5, "EXT4-fs (vdd1): well"),
        (6, "everything is well"),
    ];
    check(
        rule,
        &messages,
        &expect![[r#"
        1 True by "rules[0]" about filesystem vda1: EXT4-fs error (device vda1): one
        2 True by "rules[0]" about filesystem vdb1: EXT4-fs error (device vdb1): two
        3 True by "rules[0]" about filesystem vdc1: EXT4-fs error (device vdc1): three
        4 False by "rules[0]" about filesystem vdb1
        6 False by "rules[0]" about filesystem vda1
        6 False by "rules[0]" about filesystem vdc1
    "#]],
    );
}

#[test]
fn a_condition_ends_when_nothing_has_come_for_long_enough() {
    let rule =
        r#""type": "permanent", "condition": "Sick", "pattern": "bad.*", "clearAfter": "1m""#;
    check(
        rule,
        &[
            (1, "bad"),
            (50, "bad again"),
            (109, ""),
            (110, ""),
            (200, ""),
        ],
        &expect![[r#"
        1 True by "rules[0]": bad
        50 True by "rules[0]": bad again
        110 False by "rules[0]"
    "#]],
    );
}

#[test]
fn a_threshold_is_so_many_matches_within_the_window() {
    let rule = r#""type": "temporary", "pattern": "bad.*", "threshold": 3, "window": "1m""#;
    let messages = [
        (1, "bad 1"),
        (30, "bad 2"),
        (62, "bad 3, and the first is too old"),
        (90, "bad 4"),
        (91, "bad 5, counted anew"),
        (92, "bad 6"),
        (93, "bad 7"),
    ];
    check(
        rule,
        &messages,
        &expect![[r#"
        90 True by "": bad 4
        93 True by "": bad 7
    "#]],
    );
    let lasting = r#""type": "permanent", "condition": "Sick", "pattern": "bad.*", "threshold": 2, "window": "1m", "clearPattern": "well""#;
    check(
        lasting,
        &[
            (1, "bad 1"),
            (2, "well"),
            (3, "bad 2"),
            (4, "bad 3"),
            (5, "bad 4"),
            (6, "well"),
            (7, "bad 5"),
        ],
        &expect![[r#"
        4 True by "rules[0]": bad 3
        5 True by "rules[0]": bad 4
        6 False by "rules[0]"
    "#]],
    );
}

#[test]
fn a_wall_clock_that_is_set_changes_no_duration() {
    let mut set = set(
        r#""type": "permanent", "condition": "Sick", "pattern": "bad.*", "threshold": 2, "window": "1m", "clearAfter": "1m""#,
    );
    let step = |wall: i64, monotonic| ClockReading {
        wall: Timestamp::from_second(wall).unwrap(),
        monotonic: Duration::from_secs(monotonic),
    };
    let mut reported = String::new();
    let mut take = |set: &mut RuleSet, at, text| {
        describe(&mut reported, set.expired(at));
        describe(&mut reported, set.take(at, text, Witness::Other));
    };
    take(&mut set, step(10_000, 1), "bad 1");
    take(&mut set, step(6_410, 11), "bad 2, an hour back");
    take(&mut set, step(10_020, 21), "an hour forward");
    take(
        &mut set,
        step(6_470, 71),
        "an hour back, and a minute since the last",
    );
    expect![[r#"
        6410 True by "rules[0]": bad 2, an hour back
        6470 False by "rules[0]"
    "#]]
    .assert_eq(&reported);
}

#[test]
fn what_a_rule_remembers_survives_a_restart() {
    let rule = r#""type": "permanent", "condition": "Sick", "pattern": "bad.*", "threshold": 2, "window": "1m", "clearAfter": "1m""#;
    let mut reported = String::new();
    let restarted = |before: &RuleSet| {
        let saved = serde_json::to_string(&Remembered::of([before])).unwrap();
        let mut after = set(rule);
        after.remember(&serde_json::from_str(&saved).unwrap());
        after
    };
    let mut set = restarted(&set(rule));
    describe(&mut reported, set.take(at(1), "bad 1", Witness::Other));
    let mut set = restarted(&set);
    describe(&mut reported, set.take(at(2), "bad 2", Witness::Other));
    let mut set = restarted(&set);
    describe(&mut reported, set.expired(at(61)));
    assert_eq!(set.expiry(), Some(Duration::from_secs(62)));
    describe(&mut reported, set.expired(at(62)));
    expect![[r#"
        2 True by "rules[0]": bad 2
        62 False by "rules[0]"
    "#]]
    .assert_eq(&reported);
}
