//! Rules that name an object, match a record from its start, or say when a match is only a repeat.

use super::*;

/// What a rule with `"match": "record"` reports for a message of this writer.
#[track_caller]
fn check_writer(mode: &str, text: &str, witness: Witness, found: bool) {
    let rule = format!(r#""type": "temporary", "pattern": "disk \\w+ failed", "match": "{mode}""#);
    let findings = set(&rule).take(at(1), text, witness);
    assert_eq!(!findings.is_empty(), found, "{mode}: {text}");
}

#[test]
fn a_record_is_matched_from_its_start_and_only_if_the_kernel_wrote_it() {
    for (text, found) in [
        ("disk sda failed", true),
        ("disk sda failed at sector 7", true),
        ("myapp[7]: disk sda failed", false),
        ("tmpfs: Unknown parameter 'disk sda failed'", false),
        ("tmpfs: Unknown parameter '\ndisk sda failed'", false),
    ] {
        check_writer("record", text, Witness::KernelText, found);
        check_writer("record", text, Witness::Other, false);
        check_writer("line", text, Witness::Other, found);
    }
}

/// What a rule reports for each message: its object, and whether it is a repeat.
#[track_caller]
fn check_objects(rule: &str, messages: &[(u64, &str)], expect: &Expect) {
    let mut set = set(rule);
    let mut shown = String::new();
    for &(second, message) in messages {
        for finding in set.take(at(second), message, Witness::KernelText) {
            let object = finding.object.map(|object| object.to_string());
            let repeated = if finding.repeated { ", again" } else { "" };
            let object = object.unwrap_or_default();
            writeln!(shown, "{second} {}: {object}{repeated}", finding.present).unwrap();
        }
    }
    expect.assert_eq(&shown);
}

#[test]
fn repeats_about_one_object_are_only_counted() {
    check_objects(
        r#""type": "temporary", "pattern": "disk (?P<device>\\w+) failed", "match": "record""#,
        &[
            (1, "disk sda failed"),
            (2, "disk sdb failed"),
            (3, "disk sda failed"),
            (601, "disk sda failed"),
            (602, "disk sda failed"),
        ],
        &expect![[r"
            1 True: device/sda
            2 True: device/sdb
            3 True: device/sda, again
            601 True: device/sda
            602 True: device/sda, again
        "]],
    );
    check_objects(
        r#""type": "temporary", "pattern": "disk \\w+ failed", "match": "record", "repeatAfter": "0""#,
        &[(1, "disk sda failed"), (2, "disk sda failed")],
        &expect![[r"
            1 True: 
            2 True: 
        "]],
    );
}

#[test]
fn a_fault_that_comes_again_after_its_end_is_no_repeat() {
    check_objects(
        r#""type": "temporary", "match": "record",
           "pattern": "server (?P<server>\\S+) gone", "clearPattern": "server (?P<server>\\S+) OK""#,
        &[
            (1, "server a gone"),
            (2, "server b gone"),
            (3, "server b OK"),
            (4, "server b gone"),
            (100, "server a gone"),
            (101, "server b gone"),
        ],
        &expect![[r"
            1 True: server/a
            2 True: server/b
            4 True: server/b, again
            100 True: server/a, again
            101 True: server/b
        "]],
    );
    check_objects(
        r#""type": "temporary", "match": "record",
           "pattern": "server (?P<server>\\S+) gone", "clearPattern": "all servers OK""#,
        &[
            (1, "server a gone"),
            (2, "all servers OK"),
            (100, "server a gone"),
        ],
        &expect![[r"
            1 True: server/a
            100 True: server/a
        "]],
    );
}

#[test]
fn each_object_has_a_claim_of_its_own() {
    check(
        r#""type": "permanent", "condition": "Sick", "match": "record",
           "pattern": "server (?P<server>\\S+) gone", "clearPattern": "server (?P<server>\\S+) OK""#,
        &[
            (1, "server a gone"),
            (2, "server b gone"),
            (3, "server a OK"),
            (4, "server b OK"),
        ],
        &expect![[r#"
            1 True by "rules[0]" about server a: server a gone
            2 True by "rules[0]" about server b: server b gone
            3 False by "rules[0]" about server a
            4 False by "rules[0]" about server b
        "#]],
    );
}

#[test]
fn a_line_may_stand_for_many_events() {
    check_objects(
        r#""type": "temporary", "match": "record", "threshold": 10, "window": "1h",
           "pattern": "(?P<controller>MC\\d+): (?P<count>\\d+) CE""#,
        &[(1, "MC0: 4 CE"), (2, "MC0: 5 CE"), (3, "MC0: 1 CE")],
        &expect![[r"
            3 True: controller/MC0
        "]],
    );
}

#[test]
fn what_is_excepted_is_no_match() {
    check_objects(
        r#""type": "temporary", "match": "record", "pattern": "I/O error, dev (?P<device>\\w+)",
           "except": "dev loop\\d|\\(DISCARD\\)""#,
        &[
            (1, "I/O error, dev loop0, sector 0"),
            (2, "I/O error, dev sda, op (DISCARD)"),
            (3, "I/O error, dev sda, op (READ)"),
        ],
        &expect![[r"
            3 True: device/sda
        "]],
    );
}
