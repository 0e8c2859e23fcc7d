use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;
use crate::monitor::log::load;

fn file(json: &str) -> ConfigFile {
    ConfigFile {
        name: Arc::from("x.json"),
        dir: None,
        bytes: json.as_bytes().to_vec(),
    }
}

#[track_caller]
fn check(json: &str, expect: &Expect) {
    let file = file(json);
    let mut problems = Vec::new();
    let mut shown = match parse(&file, &mut problems) {
        Ok(_) => "started".to_owned(),
        Err(error) => error.to_string(),
    };
    for problem in problems {
        write!(shown, "\n{problem}").unwrap();
    }
    expect.assert_eq(&shown);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (json, expect) in [
        ("", expect!["x.json:1:1: EOF while parsing a value"]),
        ("{}", expect!["x.json:1:1: missing field `plugin`"]),
        (
            r#"{"plugin": "kmsgs"}"#,
            expect![
                "x.json:1:12: plugin: unknown variant `kmsgs`, expected one of `kmsg`, `filelog`, `journald`"
            ],
        ),
        (
            r#"{"plugin": "kmsg", "lookback": 5}"#,
            expect!["x.json:1:32: lookback: invalid type: integer `5`, expected a string"],
        ),
        (
            r#"{"plugin": "kmsg", "lookback": "5"}"#,
            expect![[r#"x.json:1:32: lookback: time: missing unit in duration "5""#]],
        ),
        (
            r#"{"plugin": "kmsg", "delay": "1d"}"#,
            expect![[r#"x.json:1:29: delay: time: unknown unit "d" in duration "1d""#]],
        ),
        (
            r#"{"plugin": "kmsg", "bufferSize": -1}"#,
            expect!["x.json:1:34: bufferSize: -1 entries: it cannot be negative"],
        ),
        (
            r#"{"plugin": "kmsg", "bufferSize": "1"}"#,
            expect![[r#"x.json:1:34: bufferSize: invalid type: string "1", expected i64"#]],
        ),
        (
            r#"{"plugin": "kmsg", "pluginConfig": {"a": 1}}"#,
            expect!["x.json:1:42: pluginConfig.a: invalid type: integer `1`, expected a string"],
        ),
        (
            r#"{"plugin": "kmsg", "conditions": [{"type": "A", "transition": "now"}]}"#,
            expect![[
                r#"x.json:1:63: conditions[0].transition: parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006""#
            ]],
        ),
    ] {
        check(json, &expect);
    }
}

#[test]
fn what_a_rule_does_less_than_it_seems_to_is_noted() {
    for (json, expect) in [
        (
            r#"{"plugin": "kmsg", "rules": [null]}"#,
            expect![[r#"
                started
                x.json:1:30: rules[0].type: is missing; the rule counts as permanent
                x.json:1:30: rules[0].condition: is missing; the rule has no effect
                x.json:1:30: rules[0].pattern: is missing; the rule matches every entry"#]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporay"}]}"#,
            expect![[r#"
                started
                x.json:1:39: rules[0].type: "temporay" is neither temporary nor permanent; the rule counts as permanent
                x.json:1:30: rules[0].condition: is missing; the rule has no effect
                x.json:1:30: rules[0].pattern: is missing; the rule matches every entry"#]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "("}]}"#,
            expect![[
                r#"x.json:1:63: rules[0].pattern: error parsing regexp: missing closing ): `(`"#
            ]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporary"}]}"#,
            expect![[r#"
                started
                x.json:1:30: rules[0].pattern: is missing; the rule matches every entry"#]],
        ),
        (
            r#"{"plugin": "kmsg", "conditions": [{"type": "A"}],
            "rules": [{"type": "permanent", "condition": "B", "pattern": "x"}]}"#,
            expect![[r#"
                started
                x.json:2:58: rules[0].condition: "B" is not declared in conditions; the rule has no effect"#]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "clearAfter": "1m"}]}"#,
            expect![[r#"
                started
                x.json:1:82: rules[0].clearAfter: has no effect: a temporary problem does not last, so there is nothing to clear"#]],
        ),
        (
            r#"{"plugin": "kmsg", "conditions": [{"type": "A"}],
            "rules": [{"type": "permanent", "condition": "A", "pattern": "x", "clearAfter": "0"}]}"#,
            expect![[r#"
                started
                x.json:2:93: rules[0].clearAfter: must be more than 0; it counts as absent"#]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "match": "recrod",
            "severity": "bad", "action": "explode", "except": "(", "repeatAfter": "1"}]}"#,
            expect![[r#"
                started
                x.json:2:25: rules[0].severity: unknown variant `bad`, expected one of `info`, `warning`, `error`, `fatal`; it counts as absent
                x.json:2:42: rules[0].action: unknown variant `explode`, expected one of `none`, `restart-workload`, `drain`, `reboot`, `reset-device`, `replace`, `inspect`; it counts as absent
                x.json:1:77: rules[0].match: unknown variant `recrod`, expected `record` or `line`; it counts as absent
                x.json:2:63: rules[0].except: error parsing regexp: missing closing ): `(`; it counts as absent
                x.json:2:83: rules[0].repeatAfter: time: missing unit in duration "1"; it counts as absent"#]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "match": "record",
            "pattern": "(?P<a>x)(?P<a>y)"}]}"#,
            expect![[r#"
                started
                x.json:2:24: rules[0].pattern: error: duplicate capture group name; the rule is matched as in NPD"#]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "threshold": 3}]}"#,
            expect![[r#"
                started
                x.json:1:30: rules[0].window: is missing, and a threshold is given; each match counts"#]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "window": "3m"}]}"#,
            expect![[r#"
                started
                x.json:1:30: rules[0].threshold: is missing, and a window is given; each match counts"#]],
        ),
        (
            r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "window": "3m", "threshold": 0}]}"#,
            expect![[r#"
                started
                x.json:1:97: rules[0].threshold: must be at least 1; it counts as absent
                x.json:1:97: rules[0].threshold: is missing, and a window is given; each match counts"#]],
        ),
    ] {
        check(json, &expect);
    }
}

#[test]
fn a_very_large_buffer_is_bounded() {
    let rule = r#""rules": [{"type": "temporary", "pattern": "(?s)first.*last"}]"#;
    let json = format!(r#"{{"plugin": "kmsg", "bufferSize": 1000000, {rule}}}"#);
    check(
        &json,
        &expect![[r#"
            started
            x.json:1:34: bufferSize: is more than 10000; 10000 entries are used"#]],
    );
    for (between, matches) in [(9_998, 1), (9_999, 0)] {
        let mut matcher = parse(&file(&json), &mut Vec::new()).unwrap().1.matcher;
        matcher.push(jiff::Timestamp::UNIX_EPOCH, "first", true);
        for _ in 0..between {
            matcher.push(jiff::Timestamp::UNIX_EPOCH, "", true);
        }
        let found = matcher.push(jiff::Timestamp::UNIX_EPOCH, "last", true);
        assert_eq!(found.len(), matches, "{between} entries in between");
    }
}

#[test]
fn a_log_file_needs_a_way_to_read_it() {
    for (json, expect) in [
        (
            r#"{"plugin": "filelog"}"#,
            expect![[r#"
                started
                x.json:1:1: pluginConfig.timestamp: is missing; no line can be read without it
                x.json:1:1: pluginConfig.message: is missing; no line can be read without it
                x.json:1:1: pluginConfig.timestampFormat: is missing; no line can be read without it
                x.json:1:1: logPath: is missing; no file is read
                x.json:1:1: rules: there is none; nothing is looked for"#]],
        ),
        (
            r#"{"plugin": "filelog", "logPath": "x", "pluginConfig": {"timestamp": "x"}}"#,
            expect![[r#"
                started
                x.json:1:55: pluginConfig.message: is missing; no line can be read without it
                x.json:1:55: pluginConfig.timestampFormat: is missing; no line can be read without it
                x.json:1:1: rules: there is none; nothing is looked for"#]],
        ),
        (
            r#"{"plugin": "filelog", "logPath": "x", "pluginConfig": {"timestamp": "x", "message": "("}}"#,
            expect![[r#"
                x.json:1:85: pluginConfig.message: error parsing regexp: missing closing ): `(`
                x.json:1:55: pluginConfig.timestampFormat: is missing; no line can be read without it"#]],
        ),
        (
            r#"{"plugin": "filelog", "logPath": "x", "pluginConfig": {"format": "auto", "source": "app", "message": "x"}}"#,
            expect![[r#"
                started
                x.json:1:102: pluginConfig.message: has no effect with the format auto
                x.json:1:1: rules: there is none; nothing is looked for"#]],
        ),
        (
            r#"{"plugin": "filelog", "logPath": "x", "pluginConfig": {"format": "syslog", "source": "app", "timestamp": "x", "message": "x", "timestampFormat": "x"}}"#,
            expect![[r#"
                started
                x.json:1:66: pluginConfig.format: must be auto; it has no effect
                x.json:1:86: pluginConfig.source: has no effect without the format auto
                x.json:1:1: rules: there is none; nothing is looked for"#]],
        ),
    ] {
        check(json, &expect);
    }
}

#[test]
fn a_file_is_read_as_go_reads_it() {
    let json = r#"{"PLUGIN": "kmsg", "lookback": null, "delay": "", "bufferSize": 0, "novelty": 1,
        "rules": [{"type": "temporary", "reason": "R", "condition": "Ignored", "pattern": ""}]}"#;
    let file = ConfigFile {
        name: Arc::from("x.json"),
        dir: None,
        bytes: json.as_bytes().to_vec(),
    };
    let (source, set) = parse(&file, &mut Vec::new()).unwrap();
    assert!(matches!(source, Some(Source::Kmsg)));
    assert_eq!(
        set.window,
        ReadWindow {
            lookback: 0,
            delay: 0
        }
    );
    let problem = &set.rules[0].problem;
    assert_eq!(
        (&*problem.reason, &problem.condition, problem.metrics),
        ("R", &None, true)
    );
}

#[test]
fn a_journal_needs_something_to_look_for() {
    for (json, expect) in [
        (
            r#"{"plugin": "journald"}"#,
            expect![[r#"
                started
                x.json:1:1: pluginConfig.source: is missing; no entry is read. It is the SYSLOG_IDENTIFIER of the entries to read; unit or transport would do as well
                x.json:1:1: rules: there is none; nothing is looked for"#]],
        ),
        (
            r#"{"plugin": "journald", "pluginConfig": {"source": ""}}"#,
            expect![[r#"
                started
                x.json:1:51: pluginConfig.source: is missing; no entry is read. It is the SYSLOG_IDENTIFIER of the entries to read; unit or transport would do as well
                x.json:1:1: rules: there is none; nothing is looked for"#]],
        ),
        (
            r#"{"plugin": "journald", "pluginConfig": {"unit": "a", "priority": "8"}}"#,
            expect![[r#"
                started
                x.json:1:66: pluginConfig.priority: must be a number from 0 to 7 or a name from emerg to debug; entries of every priority are read
                x.json:1:1: rules: there is none; nothing is looked for"#]],
        ),
    ] {
        check(json, &expect);
    }
}

#[track_caller]
fn check_wanted(plugin_config: &str, expect: &Expect) {
    let json = format!(r#"{{"plugin": "journald", "pluginConfig": {plugin_config}}}"#);
    let file = ConfigFile {
        name: Arc::from("x.json"),
        dir: None,
        bytes: json.into_bytes(),
    };
    let Some(Source::Journal(None, wanted)) = parse(&file, &mut Vec::new()).unwrap().0 else {
        panic!("it is the node's own journal");
    };
    expect.assert_eq(&wanted.to_string());
}

#[test]
fn entries_of_a_journal_are_wanted_by_their_fields() {
    check_wanted(
        r#"{"source": "kubelet"}"#,
        &expect!["SYSLOG_IDENTIFIER=kubelet"],
    );
    check_wanted(
        r#"{"unit": "kubelet.service", "priority": "err"}"#,
        &expect![
            "_SYSTEMD_UNIT=kubelet.service|UNIT=kubelet.service|OBJECT_SYSTEMD_UNIT=kubelet.service,PRIORITY=0|PRIORITY=1|PRIORITY=2|PRIORITY=3"
        ],
    );
    check_wanted(
        r#"{"source": "kernel", "transport": "kernel", "priority": "0"}"#,
        &expect!["SYSLOG_IDENTIFIER=kernel,_TRANSPORT=kernel,PRIORITY=0"],
    );
}

/// Every log monitor that NPD ships, and how many readers they take.
#[test]
fn npds_own_files_are_read() {
    let shipped = [
        include_str!("../../../../../deploy/config/abrt-adaptor.json"),
        include_str!("../../../../../deploy/config/disk-log-message-filelog.json"),
        include_str!("../../../../../deploy/config/docker-monitor-filelog.json"),
        include_str!("../../../../../deploy/config/docker-monitor.json"),
        include_str!("../../../../../deploy/config/kernel-monitor-filelog.json"),
        include_str!("../../../../../deploy/config/kernel-monitor.json"),
        include_str!("../../../../../deploy/config/readonly-monitor.json"),
        include_str!("../../../../../deploy/config/systemd-monitor.json"),
        include_str!("../../../../../deploy/config/windows-containerd-monitor-filelog.json"),
    ];
    let file = |json: &str| ConfigFile {
        name: Arc::from("x.json"),
        dir: None,
        bytes: json.as_bytes().to_vec(),
    };
    let mut problems = Vec::new();
    let monitors = load(&shipped.map(file), &mut problems).unwrap();
    assert_eq!(problems, []);
    let names: Vec<_> = monitors.iter().map(|monitor| monitor.name()).collect();
    expect![[r#"
        kmsg
        filelog:/var/log/docker.log
        filelog:/var/log/kern.log
        filelog:/var/log/messages
        filelog:C:\etc\kubernetes\logs\containerd.log
        journald:/var/log/journal:SYSLOG_IDENTIFIER=abrt-notification
        journald:/var/log/journal:SYSLOG_IDENTIFIER=dockerd
        journald:/var/log/journal:SYSLOG_IDENTIFIER=systemd"#]]
    .assert_eq(&names.join("\n"));
}
