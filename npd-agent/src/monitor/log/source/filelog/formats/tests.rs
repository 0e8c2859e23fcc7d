//! Lines as machines wrote them; only names and addresses are changed.

use expect_test::{Expect, expect};
use jiff::tz::TimeZone;

use super::*;

#[track_caller]
fn check(lines: &[&str], expect: &Expect) {
    let now = "2026-11-24T20:00:00Z".parse().unwrap();
    let mut shown = String::new();
    for line in lines {
        let read = recognise(line);
        shown += &read.map_or_else(
            || "unknown".to_owned(),
            |RecognisedLine {
                 time,
                 program,
                 message,
                 part,
             }| {
                let time = time.to_timestamp(&TimeZone::UTC, now).unwrap();
                let program = program.unwrap_or("-");
                let part = part.map_or_else(String::new, |part| format!(" {part:?}"));
                format!("{time} {program}: {message:?}{part}")
            },
        );
        shown.push('\n');
    }
    expect.assert_eq(&shown);
}

#[test]
fn rfc_3164() {
    check(
        &[
            "Nov 24 12:00:00 node-1 kernel: [ 1234.567890] EXT4-fs error (device sda1): ext4_lookup:1855: [x]",
            "Nov  4 12:00:00 node-1 kernel: EXT4-fs (sda1): mounted filesystem",
            "Nov 24 12:00:00 node-1 kernel: [    0.000000][    T0] Linux version 6.1.0",
            "Nov 24 12:00:00 node-1 kernel: [12345.678901][T20480] INFO: task x:1 blocked",
            "Nov 24 12:00:00 node-1 kernel: [drm] GPU HANG: ecode 9:1:0x00000000",
            "Nov 24 12:00:00 node-1 systemd-logind[612]: New session 3 of user root.",
            "Nov 24 12:00:00 node-1 sshd[1234]: Connection closed by 192.0.2.17 port 22 [preauth]",
            "<4>Nov 24 12:00:00 node-1 kernel: [    1.5] text",
            "Nov 24 12:00:00 alpine kern.warn kernel: [   12.345678] text",
            "Nov 24 12:00:00 kernel: [   12.345678] without a host",
            "Nov 24 12:00:00 node-1 -- MARK --",
            "Nov 24 12:00:00 node-1 CRON[99]: (root) CMD (run: parts)",
            "Nov 24 12:00:00",
            "Nov 31 12:00:00 node-1 kernel: there is no such day",
        ],
        &expect![[r#"
            2026-11-24T12:00:00Z kernel: "EXT4-fs error (device sda1): ext4_lookup:1855: [x]"
            2026-11-04T12:00:00Z kernel: "EXT4-fs (sda1): mounted filesystem"
            2026-11-24T12:00:00Z kernel: "Linux version 6.1.0"
            2026-11-24T12:00:00Z kernel: "INFO: task x:1 blocked"
            2026-11-24T12:00:00Z kernel: "[drm] GPU HANG: ecode 9:1:0x00000000"
            2026-11-24T12:00:00Z systemd-logind: "New session 3 of user root."
            2026-11-24T12:00:00Z sshd: "Connection closed by 192.0.2.17 port 22 [preauth]"
            2026-11-24T12:00:00Z kernel: "text"
            2026-11-24T12:00:00Z kernel: "text"
            2026-11-24T12:00:00Z kernel: "without a host"
            2026-11-24T12:00:00Z -: "-- MARK --"
            2026-11-24T12:00:00Z CRON: "(root) CMD (run: parts)"
            unknown
            unknown
        "#]],
    );
}

#[test]
fn rfc_3339_of_rsyslog() {
    check(
        &[
            "2026-11-24T12:00:00.123456+00:00 node-1 kernel: [ 1234.567890] INFO: task kworker/u4:1:33 blocked for more than 120 seconds.",
            "2026-11-24T12:00:00.123456+01:00 node-1 kernel: nvme nvme0: controller is down; will reset: CSTS=0xffffffff",
            "2026-11-24T12:00:00Z node-1 containerd[640]: time=\"2026-11-24T12:00:00Z\" level=info",
            "<6>2026-11-24T12:00:00-08:00 node-1 kernel: [    1.500000] text",
            "2026-11-24 12:00:00 ERROR main something of an application",
        ],
        &expect![[r#"
            2026-11-24T12:00:00.123456Z kernel: "INFO: task kworker/u4:1:33 blocked for more than 120 seconds."
            2026-11-24T11:00:00.123456Z kernel: "nvme nvme0: controller is down; will reset: CSTS=0xffffffff"
            2026-11-24T12:00:00Z containerd: "time=\"2026-11-24T12:00:00Z\" level=info"
            2026-11-24T20:00:00Z kernel: "text"
            unknown
        "#]],
    );
}

#[test]
fn rfc_5424() {
    check(
        &[
            "<3>1 2026-11-24T12:00:00.123456+00:00 node-1 kernel - - -  [ 1234.567890] Buffer I/O error on dev sda1",
            "<165>1 2026-11-24T12:00:00Z node-1 app 1234 ID47 [x@1 a=\"\\\"]b\\\\\"][y] \u{feff}An event",
            "<165>1 2026-11-24T12:00:00Z node-1 app - - -",
            "<165>1 - node-1 app - - - without a time",
            "<165>1 2026-11-24T12:00:00Z node-1 app - - [open text",
        ],
        &expect![[r#"
            2026-11-24T12:00:00.123456Z kernel: "Buffer I/O error on dev sda1"
            2026-11-24T12:00:00Z app: "An event"
            2026-11-24T12:00:00Z app: ""
            unknown
            unknown
        "#]],
    );
}

#[test]
fn cri() {
    check(
        &[
            "2026-11-24T12:00:00.123456789Z stdout F panic: runtime error",
            "2026-11-24T12:00:00.123456789+02:00 stderr P the first part",
            "2026-11-24T12:00:00.123456789Z stderr F:tag the last part",
            "2026-11-24T12:00:00.123456789Z stdout F ",
            "2026-11-24T12:00:00.123456789Z stdout F",
            "2026-11-24T12:00:00.123456789Z stdin F text",
        ],
        &expect![[r#"
            2026-11-24T12:00:00.123456789Z -: "panic: runtime error" LinePart { stream: Stdout, is_last: true }
            2026-11-24T10:00:00.123456789Z -: "the first part" LinePart { stream: Stderr, is_last: false }
            2026-11-24T12:00:00.123456789Z -: "the last part" LinePart { stream: Stderr, is_last: true }
            2026-11-24T12:00:00.123456789Z -: "" LinePart { stream: Stdout, is_last: true }
            2026-11-24T12:00:00.123456789Z -: "" LinePart { stream: Stdout, is_last: true }
            2026-11-24T12:00:00.123456789Z -: "F text"
        "#]],
    );
}

#[test]
fn json_of_docker() {
    check(
        &[
            r#"{"log":"panic: runtime error\n","stream":"stderr","time":"2026-11-24T12:00:00.123456789Z"}"#,
            r#"{"log":"say \"\u003cno\u003e\"\r\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-11-24T12:00:00Z"}"#,
            r#"{"message":"another JSON","time":"2026-11-24T12:00:00Z"}"#,
            r#"{"log":"cut "#,
        ],
        &expect![[r#"
            2026-11-24T12:00:00.123456789Z -: "panic: runtime error"
            2026-11-24T12:00:00Z -: "say \"<no>\""
            unknown
            unknown
        "#]],
    );
}

#[test]
fn klog() {
    check(
        &[
            "E1124 12:00:00.123456    1234 kubelet.go:2460] \"Skipping pod synchronization\" err=\"PLEG is not healthy\"",
            "I0104 12:00:00.123456       1 leaderelection.go:250] attempting to acquire leader lease [x] now",
            "W1124 12:00:00.123456 1234567 reflector.go:539]",
            "E1324 12:00:00.123456    1234 kubelet.go:2460] there is no such month",
            "Error 12:00:00.123456    1234 kubelet.go:2460] not klog",
        ],
        &expect![[r#"
            2026-11-24T12:00:00.123456Z -: "\"Skipping pod synchronization\" err=\"PLEG is not healthy\""
            2026-01-04T12:00:00.123456Z -: "attempting to acquire leader lease [x] now"
            2026-11-24T12:00:00.123456Z -: ""
            unknown
            unknown
        "#]],
    );
}

#[test]
fn other_lines_are_not_recognised() {
    for line in [
        "", " ", "<", "<4>", "{", "{}", "2", "N", "I", "é", "Nov é", "E11é",
    ] {
        assert_eq!(recognise(line), None, "{line}");
    }
}
