//! Lines that are not as the config describes them, or for which the config describes nothing.

use super::*;

/// What NPD's config for the kernel's log file finds in a line that says that a task hangs.
#[track_caller]
fn check_npds(begin: &str, is_found: bool) {
    let npds = include_str!("../../../../../../../deploy/config/kernel-monitor-filelog.json");
    let task = "INFO: task a[1]:7 blocked for more than 120 seconds.";
    let found = found_by(npds, 0, &format!("{begin}{task}\n"));
    let expect = if is_found {
        format!("2026-11-24T12:00:00Z TaskHung: {task:?}\n")
    } else {
        String::new()
    };
    assert_eq!(found, expect, "{begin}");
}

#[test]
fn npds_config_reads_what_distributions_write_today() {
    // Debian 11 and Ubuntu 22.04, and with `imjournal` the family of Red Hat.
    check_npds("Nov 24 12:00:00 node kernel: [  12.500000] ", true);
    check_npds("Nov 24 12:00:00 node kernel: ", true);
    // Debian 12, and Ubuntu 24.04, which leaves out the time since boot.
    check_npds(
        "2026-11-24T12:00:00.000000+00:00 node kernel: [  12.500000] ",
        true,
    );
    check_npds("2026-11-24T13:00:00.000000+01:00 node kernel: ", true);
    check_npds(
        "<4>1 2026-11-24T12:00:00Z node kernel - - - [  12.500000] ",
        true,
    );
    // What a program says is not what the kernel says.
    for program in ["job[77]:", "job:", "kernel-helper[1]:"] {
        check_npds(&format!("2026-11-24T12:00:00Z node {program} "), false);
        check_npds(&format!("Nov 24 12:00:00 node {program} "), false);
    }
}

#[test]
fn what_the_kernel_says_is_not_cut_at_a_bracket() {
    let npds = include_str!("../../../../../../../deploy/config/kernel-monitor-filelog.json");
    let only = npds.replace(
        r"task \\S+:\\w+ blocked",
        r"sd 0: \\[sda\\] task \\S+:\\w+ blocked",
    );
    let line = "kernel: sd 0: [sda] task a:7 blocked for more than 120 seconds.\n";
    assert_eq!(
        found_by(&only, 0, &format!("2026-11-24T12:00:00Z node {line}")),
        "2026-11-24T12:00:00Z TaskHung: \"sd 0: [sda] task a:7 blocked for more than 120 seconds.\"\n"
    );
}

/// What is found without a description.
fn auto(more: &str, pattern: &str, lines: &str) -> String {
    let json = format!(
        r#"{{"plugin": "filelog", "logPath": "/log", "lookback": "5m",
            "pluginConfig": {{"format": "auto"{more}}},
            "rules": [{{"type": "temporary", "reason": "Bad", "pattern": {pattern:?}}}]}}"#
    );
    found_by(&json, 0, lines)
}

#[track_caller]
fn check_auto(more: &str, pattern: &str, lines: &str, expect: &Expect) {
    expect.assert_eq(&auto(more, pattern, lines));
}

#[test]
fn the_format_need_not_be_described() {
    check_auto(
        "",
        "bad.*",
        "Nov 24 12:00:00 node kernel: [ 1.5] bad a\n\
         2026-11-24T12:00:00Z node app[7]: bad b\n\
         <4>1 2026-11-24T12:00:00Z node app - - - bad c\n\
         2026-11-24T12:00:00Z stdout F bad d\n\
         {\"log\":\"bad e\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T12:00:00Z\"}\n\
         E1124 12:00:00.000000       1 x.go:1] bad f\n\
         bad g\n\
         2026-11-24T11:00:00Z node app[7]: bad h\n",
        &expect![[r#"
            2026-11-24T12:00:00Z Bad: "bad a"
            2026-11-24T12:00:00Z Bad: "bad b"
            2026-11-24T12:00:00Z Bad: "bad c"
            2026-11-24T12:00:00Z Bad: "bad d"
            2026-11-24T12:00:00Z Bad: "bad e"
            2026-11-24T12:00:00Z Bad: "bad f"
            1 not understood
            1 too old
        "#]],
    );
    check_auto(
        r#", "source": "app""#,
        "bad.*",
        "2026-11-24T12:00:00Z node app[7]: bad a\n2026-11-24T12:00:00Z node apple[7]: bad b\n",
        &expect![[r#"
            2026-11-24T12:00:00Z Bad: "bad a"
        "#]],
    );
}

#[test]
fn parts_of_a_containers_line_are_joined() {
    let lines = "2026-11-24T12:00:00Z stdout P it is b\n\
                 2026-11-24T12:00:00Z stderr F as good as\n\
                 2026-11-24T12:00:00Z stdout P ad, \n\
                 2026-11-24T12:00:01Z stdout F to its end\n\
                 2026-11-24T12:00:02Z stdout F and not more\n";
    check_auto(
        "",
        "it is bad.*",
        lines,
        &expect![[r#"
        2026-11-24T12:00:01Z Bad: "it is bad, to its end"
    "#]],
    );
    check_auto(
        "",
        "(?s)it is bad.*more",
        lines,
        &expect![[r#"
        2026-11-24T12:00:01Z Bad: "it is bad, to its end\nand not more"
    "#]],
    );
}

#[test]
fn what_json_escapes_is_found() {
    let line = r#"{"log":"it \"is\"\tbad \u003cno\u003e\n","time":"2026-11-24T12:00:00Z"}"#;
    let expect = "2026-11-24T12:00:00Z Bad: \"it \\\"is\\\"\\tbad <no>\"\n";
    for pattern in ["it \"is\"\tbad.*", ".*d <no>", "(?i)IT \"IS\".*"] {
        assert_eq!(auto("", pattern, &format!("{line}\n")), expect, "{pattern}");
    }
}

#[tokio::test]
async fn a_file_of_which_much_is_not_understood_is_degraded_until_it_is_understood() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "what?\n".repeat(5) + &stamped("fine").repeat(20)).unwrap();
    let mut monitors = load(&[config_file("one", &config(&path, BAD))], &mut Vec::new()).unwrap();
    let (reporter, _reports) = reporter();
    let shown = reporter.clone();
    let name = format!("filelog:{}", path.display());
    let state = || shown.status_page.read().sources.get(&name).cloned();
    let metric = || {
        shown
            .metrics
            .logs
            .degraded
            .with_label_values(&[&name])
            .get()
    };
    let script = async {
        let degraded = loop {
            if let Some(degraded) = state().and_then(|state| state.degraded) {
                break degraded;
            }
            tokio::task::yield_now().await;
        };
        assert!(degraded.ends_with(r#"for example "what?""#), "{degraded}");
        assert_eq!(metric(), 1);
        let malformed = &shown.metrics.records_malformed;
        assert_eq!(malformed.with_label_values(&[&name]).get(), 5);
        let mut log = fs::OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(stamped("fine").repeat(100).as_bytes())
            .unwrap();
        while state().is_some_and(|state| state.degraded.is_some()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(metric(), 0);
    };
    tokio::select! {
        Err(error) = monitors[0].run(&reporter) => panic!("{error:#}"),
        () = script => {}
    }
}
