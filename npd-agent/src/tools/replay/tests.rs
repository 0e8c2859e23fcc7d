use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::tz::TimeZone;

use super::export::ExportEntry;
use super::input;
use super::line::LineParser;
use super::player::{Player, ReplayStart, Summary};
use crate::journal::tests::lab::{can_run, export_at, remote};
use crate::monitor::ConfigFile;
use crate::monitor::log::replay::ReplayRules;

#[track_caller]
fn check_lines(lines: &str, expect: &Expect) {
    let now = "2026-11-30T12:00:00Z".parse().unwrap();
    let mut parser = LineParser::new(TimeZone::UTC, now);
    let shown = lines.lines().map(|line| match parser.entry(line) {
        Some(entry) => format!("{:?} {:?} {:?}\n", entry.time, entry.writer, entry.text),
        None => "-\n".to_owned(),
    });
    expect.assert_eq(&shown.collect::<String>());
}

#[test]
fn every_form_of_the_kernels_log_is_read() {
    check_lines(
        "6,1339,5140900,-;NET: Registered\n SUBSYSTEM=net\n12,8,1000000,-;from user space\n",
        &expect![[r#"
            Boot(5.1409s) Kernel "NET: Registered"
            -
            Boot(1s) KernelLogUser "from user space"
        "#]],
    );
    check_lines(
        "[    5.140900] NET: Registered\n\
         [    5.140900] [    T7] NET: Registered\n\
         [    5.140900][   C12] NET: Registered\n\
         [    5.140900 <    0.000001>] NET: Registered\n\
         <6>[    5.140900] NET: Registered\n\
         <12>[    5.140900] from user space\n\
         kern  :info  : [    5.140900] NET: Registered\n\
         user  :warn  : [    5.140900] from user space\n\
         [Mon Nov 30 11:10:55 2026] NET: Registered\n\
         2026-11-30T11:10:55,140900+00:00 usb 1-1: new device\n\
         NET: Registered\n\
         [drm] GPU init\n",
        &expect![[r#"
            Boot(5.1409s) Kernel "NET: Registered"
            Boot(5.1409s) Kernel "NET: Registered"
            Boot(5.1409s) Kernel "NET: Registered"
            Boot(5.1409s) Kernel "NET: Registered"
            Boot(5.1409s) Kernel "NET: Registered"
            Boot(5.1409s) KernelLogUser "from user space"
            Boot(5.1409s) Kernel "NET: Registered"
            Boot(5.1409s) KernelLogUser "from user space"
            Wall(2026-11-30T11:10:55Z) Kernel "NET: Registered"
            Wall(2026-11-30T11:10:55.1409Z) Kernel "usb 1-1: new device"
            Unknown Kernel "NET: Registered"
            Unknown Kernel "[drm] GPU init"
        "#]],
    );
    check_lines(
        "{\n   \"dmesg\": [\n      {\n         \"pri\": 6,\n         \"time\":     5.140900,\n\
         \"msg\": \"NET: \\\"Registered\\\"\"\n      },{\n         \"pri\": 12,\n\
         \"time\":     6.000000,\n         \"msg\": \"from user space\"\n      }\n   ]\n}\n",
        &expect![[r#"
            -
            -
            -
            -
            -
            Boot(5.1409s) Kernel "NET: \"Registered\""
            -
            -
            -
            Boot(6s) KernelLogUser "from user space"
            -
            -
            -
        "#]],
    );
}

#[test]
fn lines_of_syslog_name_their_program() {
    check_lines(
        "Nov 30 11:10:55 node kernel: [    5.140900] NET: Registered\n\
         Dec  1 11:10:55 node kernel: last year: yes\n\
         2026-11-30T11:10:55.140900+00:00 node kernel: NET: Registered\n\
         2026-11-30T12:10:55+01:00 node kubelet[77]: E1130 failed: it\n\
         Nov 30 11:10:55 node systemd[1]: Started\n",
        &expect![[r#"
            Wall(2026-11-30T11:10:55Z) Kernel "NET: Registered"
            Wall(2026-12-01T11:10:55Z) Kernel "last year: yes"
            Wall(2026-11-30T11:10:55.1409Z) Kernel "NET: Registered"
            Wall(2026-11-30T11:10:55Z) Program("kubelet") "E1130 failed: it"
            Wall(2026-11-30T11:10:55Z) Program("systemd") "Started"
        "#]],
    );
}

#[test]
fn an_export_is_read_with_its_bytes() {
    let mut export =
        b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=5000000\n_TRANSPORT=kernel\nMESSAGE\n".to_vec();
    export.extend(7_u64.to_le_bytes());
    export.extend(b"a\nb\n\nc=\n_BOOT_ID=b1\n\n\n\n__CURSOR=s=2\nMESSAGE=last");
    let mut input = &*export;
    let first = ExportEntry::read(&mut input).unwrap().unwrap();
    assert_eq!(first.field(b"MESSAGE"), b"a\nb\n\nc=");
    assert_eq!(first.field(b"_BOOT_ID"), b"b1");
    assert_eq!(first.field(b"_BOOT"), b"");
    assert_eq!(first.realtime(), Some(5_000_000));
    let second = ExportEntry::read(&mut input).unwrap().unwrap();
    assert_eq!(second.field(b"MESSAGE"), b"last");
    assert_eq!(second.realtime(), None);
    assert_eq!(ExportEntry::read(&mut input).unwrap(), None);
    let huge = b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffshort";
    let entry = ExportEntry::read(&mut &huge[..]).unwrap().unwrap();
    assert_eq!(entry.field(b"MESSAGE"), b"short");
    let json =
        r#"{"__REALTIME_TIMESTAMP":"5","MESSAGE":[97,255],"_PID":null,"_TRANSPORT":"kernel"}"#;
    let entry = ExportEntry::of_json(json).unwrap();
    assert_eq!(entry.field(b"MESSAGE"), b"a\xff");
    assert_eq!(entry.field(b"_PID"), b"");
}

const KERNEL: &str = r#"{"plugin": "kmsg", "source": "kernel",
    "conditions": [{"type": "Broken", "reason": "Works", "message": "it works"}],
    "rules": [
        {"type": "permanent", "condition": "Broken", "reason": "Tried", "dryRun": true, "pattern": "try .*"},
        {"type": "temporary", "reason": "Oops", "pattern": "oops .*", "threshold": 2, "window": "10s"},
        {"type": "permanent", "condition": "Broken", "reason": "Broke", "match": "record",
         "pattern": "disk (?P<disk>\\w+) broke", "clearAfter": "1m"}]}"#;

const APP: &str = r#"{"plugin": "filelog", "logPath": "/no/such/file", "source": "app",
    "pluginConfig": {"timestamp": "^.{20}", "message": "^.{20} (.*)",
                     "timestampFormat": "2006-01-02T15:04:05Z07:00"},
    "rules": [{"type": "temporary", "reason": "AppDied", "pattern": "app died.*"}]}"#;

const UNIT: &str = r#"{"plugin": "journald", "source": "kubelet", "pluginConfig": {"source": "kubelet"},
    "rules": [{"type": "temporary", "reason": "KubeletIll", "pattern": "ill .*"}]}"#;

fn configs() -> Vec<ConfigFile> {
    let file = |(name, json): (&str, &str)| ConfigFile {
        name: Arc::from(name),
        dir: None,
        bytes: json.as_bytes().to_vec(),
    };
    [("k", KERNEL), ("a", APP), ("u", UNIT)].map(file).to_vec()
}

fn replay(log: &str, since: Option<&str>) -> anyhow::Result<(String, Summary)> {
    let files = configs();
    let mut problems = Vec::new();
    let rules = ReplayRules::load(&files, TimeZone::UTC, &mut problems)?;
    assert!(problems.is_empty(), "{problems:?}");
    let since = since.map(|since| ReplayStart::parse(since, &TimeZone::UTC));
    let mut output = Vec::new();
    let mut player = Player::new(
        files,
        rules,
        TimeZone::UTC,
        false,
        since.transpose()?,
        &mut output,
    )?;
    input::text(log.as_bytes(), &mut player)?;
    let summary = player.finish()?;
    Ok((String::from_utf8(output)?, summary))
}

#[track_caller]
fn check(log: &str, expect: &Expect) {
    let (printed, summary) = replay(log, None).unwrap();
    expect.assert_eq(&format!("{printed}{}", summary.shown()));
}

#[test]
fn the_times_of_the_entries_decide() {
    // The second oops comes too late, the third does not; the disk has worked for a minute.
    check(
        "[   10.000000] oops 1\n[   30.000000] oops 2\n[   35.000000] oops 3\n\
         [  100.000000] disk sda broke\n[  110.000000] disk sda broke\n[  200.000000] all is quiet\n",
        &expect![[r#"
            [   35.000000] WARN Oops [kernel] oops 3
            [  100.000000] WARN Broke [kernel] Node condition Broken is now: True, reason: Broke, message: "disk sda broke"
            [  170.000000] INFO Works [kernel] Node condition Broken is now: False, reason: Works, message: "it works"
            6 records, 3 reports"#]],
    );
}

/// The rule is tried: it sets no condition.
#[test]
fn a_dry_run_is_marked() {
    check(
        "[  100.000000] try it\n",
        &expect![[r#"
        [  100.000000] WARN Tried [kernel dry-run] try it
        1 record, 1 report"#]],
    );
}

#[test]
fn what_is_true_at_the_end_is_named() {
    check(
        "[  100.000000] disk sda broke\n",
        &expect![[r#"
            [  100.000000] WARN Broke [kernel] Node condition Broken is now: True, reason: Broke, message: "disk sda broke"
            1 record, 1 report; True at the end: Broken"#]],
    );
    check(
        "[  100.000000] all is quiet\n",
        &expect!["1 record, 0 reports"],
    );
}

#[test]
fn after_a_boot_everything_begins_anew() {
    check(
        "6,1,100000000,-;disk sda broke\n6,0,0,-;Linux version\n6,1,90000000,-;disk sda broke\n",
        &expect![[r#"
            [  100.000000] WARN Broke [kernel] Node condition Broken is now: True, reason: Broke, message: "disk sda broke"
            [   90.000000] WARN Broke [kernel] Node condition Broken is now: True, reason: Broke, message: "disk sda broke"
            3 records, 2 reports; True at the end: Broken"#]],
    );
}

#[test]
fn each_rule_reads_its_own_log() {
    check(
        "2026-11-30T11:10:55Z app died at once\n\
         2026-11-30T11:10:56Z node kubelet[7]: ill or so\n\
         2026-11-30T11:10:57Z node other[7]: ill or so\n\
         2026-11-30T11:10:58Z node other[7]: disk sda broke\n\
         2026-11-30T11:10:59Z node kernel: disk sda broke\n",
        &expect![[r#"
            2026-11-30 11:10:55.000 WARN AppDied [app] app died at once
            2026-11-30 11:10:56.000 WARN KubeletIll [kubelet] ill or so
            2026-11-30 11:10:59.000 WARN Broke [kernel] Node condition Broken is now: True, reason: Broke, message: "disk sda broke"
            5 records, 3 reports; True at the end: Broken"#]],
    );
}

#[test]
fn an_export_of_a_journal_is_replayed_through_a_boot() {
    let entry = |boot: &str, second: u64, transport: &str, text: &str| {
        format!(
            "__CURSOR=x\n__REALTIME_TIMESTAMP={second}000000\n_BOOT_ID={boot}\n\
             _TRANSPORT={transport}\nSYSLOG_IDENTIFIER=kubelet\nMESSAGE={text}\n\n"
        )
    };
    let log = entry("a", 1_796_000_000, "kernel", "disk sda broke")
        + &entry(
            "a",
            1_796_000_001,
            "stdout",
            "disk sda broke, and ill is the kubelet",
        )
        + &entry("b", 1_796_000_002, "kernel", "disk sdb broke");
    check(
        &log,
        &expect![[r#"
            2026-11-30 00:53:20.000 WARN Broke [kernel] Node condition Broken is now: True, reason: Broke, message: "disk sda broke"
            2026-11-30 00:53:21.000 WARN KubeletIll [kubelet] disk sda broke, and ill is the kubelet
            2026-11-30 00:53:22.000 WARN Broke [kernel] Node condition Broken is now: True, reason: Broke, message: "disk sdb broke"
            3 records, 3 reports; True at the end: Broken"#]],
    );
}

/// A journal that systemd has written: a file, or its folder.
#[tokio::test]
async fn a_journal_is_replayed_in_the_order_of_its_entries() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.journal");
    let entries = [
        ("kernel", "disk sda broke"),
        ("kubelet", "ill at once"),
        ("other", "ill, but nobody reads this"),
        ("kernel", "disk sdb broke"),
    ];
    let entries = entries.map(|(program, text)| (program, 6, text.as_bytes().to_vec()));
    remote(&file, false, &export_at(1_796_000_000_000_000, 0, entries)).await;
    let files = configs();
    for path in [&*file, folder.path()] {
        let rules = ReplayRules::load(&files, TimeZone::UTC, &mut Vec::new()).unwrap();
        let mut output = Vec::new();
        let zone = TimeZone::UTC;
        let player = Player::new(files.clone(), rules, zone, false, None, &mut output);
        let mut player = player.unwrap();
        input::read(path.to_str().unwrap(), &mut player).unwrap();
        let summary = player.finish().unwrap().shown();
        let printed = String::from_utf8(output).unwrap();
        let reasons = printed.lines().filter_map(|line| line.split(' ').nth(3));
        assert_eq!(
            reasons.collect::<Vec<_>>(),
            ["Broke", "KubeletIll", "Broke"]
        );
        assert_eq!(summary, "3 records, 3 reports; True at the end: Broken");
    }
}

#[test]
fn earlier_entries_are_skipped_by_the_time_that_the_log_has() {
    let boot = "[  100.000000] disk sda broke\n[  4000.000000] disk sdb broke\n";
    let reports = |log, since| replay(log, Some(since)).map(|(_, summary)| summary.reports);
    assert_eq!(reports(boot, "1h").unwrap(), 1);
    assert_eq!(reports(boot, "2h").unwrap(), 0);
    let error = reports(boot, "2026-11-30").unwrap_err().to_string();
    assert!(error.contains("since boot"), "{error}");
    let dated = "2026-11-30T11:10:55Z app died\n2026-11-30T11:20:55Z app died\n";
    assert_eq!(reports(dated, "2026-11-30T11:15:00Z").unwrap(), 1);
    assert_eq!(reports(dated, "2026-11-30 11:15").unwrap(), 1);
    assert!(reports(dated, "yesterday").is_err());
}
