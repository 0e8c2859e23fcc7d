mod against_naive;
mod formats;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::formats::PART_MARKS;
use super::line::ReadContext;
use super::reader::LineReader;
use super::rules::FileRules;
use crate::logs::entry_clock::EntryClock;
use crate::logs::matcher::LineFinder;
use crate::metrics::Metrics;
use crate::monitor::ConfigFile;
use crate::monitor::log::{config, load};
use crate::node::clock::ClockReading;
use crate::node::{Node, Roots};
use crate::reporter::{Report, Reporter};
use crate::status_page::StatusPage;

fn config_file(name: &str, json: &str) -> ConfigFile {
    ConfigFile {
        name: Arc::from(name),
        dir: None,
        bytes: json.as_bytes().to_vec(),
    }
}

/// A config for lines such as `2026-11-24T12:00:00Z message`.
fn config(path: &Path, more: &str) -> String {
    let path = path.display();
    format!(
        r#"{{"plugin": "filelog", "logPath": "{path}", "pluginConfig": {{"timestamp": "^\\S+",
            "message": " (.*)", "timestampFormat": "2006-01-02T15:04:05Z07:00"}}, {more}}}"#
    )
}

const BAD: &str =
    r#""lookback": "1h", "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad.*"}]"#;

fn reporter() -> (Reporter, mpsc::Receiver<Report>) {
    let (sender, reports) = mpsc::channel(10_000);
    let node = Arc::new(Node {
        name: "n".to_owned(),
        roots: Roots::from_env(|_| None),
        boot_id: String::new(),
    });
    let status_page = StatusPage::new("n".to_owned(), Timestamp::UNIX_EPOCH);
    (
        Reporter::new(node, Metrics::new().unwrap(), status_page, sender),
        reports,
    )
}

/// The next finding; reports of positions are skipped.
async fn next(reports: &mut mpsc::Receiver<Report>) -> String {
    loop {
        match reports.recv().await.unwrap() {
            Report::Finding(finding) => break format!("{}: {}", finding.monitor, finding.message),
            Report::Progress { .. } | Report::Checked { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn stamped(text: &str) -> String {
    format!("{} {text}\n", Timestamp::now())
}

#[tokio::test]
async fn what_is_written_is_found_by_every_config_on_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, stamped("bad before") + &stamped("good")).unwrap();
    let files = [
        config_file("one", &config(&path, BAD)),
        config_file(
            "two",
            &config(&path, &BAD.replace("bad.*", ".*good")).replace("1h", "0"),
        ),
    ];
    let mut monitors = load(&files, &mut Vec::new()).unwrap();
    assert_eq!(monitors.len(), 1, "one reader");
    let (reporter, mut reports) = reporter();
    let script = async {
        assert_eq!(next(&mut reports).await, "one: bad before");
        let mut log = fs::OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(stamped("bad now").as_bytes()).unwrap();
        assert_eq!(next(&mut reports).await, "one: bad now");
        fs::rename(&path, folder.path().join("log.1")).unwrap();
        fs::write(&path, stamped("so good")).unwrap();
        assert_eq!(next(&mut reports).await, "two: so good");
    };
    tokio::select! {
        Err(error) = monitors[0].run(&reporter) => panic!("{error:#}"),
        () = script => {}
    }
}

#[tokio::test]
async fn an_absent_file_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let mut monitors = load(&[config_file("one", &config(&path, BAD))], &mut Vec::new()).unwrap();
    let (reporter, mut reports) = reporter();
    let down = reporter.clone();
    let script = async {
        while !down
            .status_page
            .read()
            .sources
            .values()
            .any(|source| !source.up)
        {
            tokio::task::yield_now().await;
        }
        assert!(reports.is_empty(), "nothing was checked yet");
        fs::write(&path, stamped("bad at last")).unwrap();
        assert_eq!(next(&mut reports).await, "one: bad at last");
        let is_checked = |report: &Report| matches!(report, Report::Checked { .. });
        while !is_checked(&reports.recv().await.unwrap()) {}
    };
    tokio::select! {
        Err(error) = monitors[0].run(&reporter) => panic!("{error:#}"),
        () = script => {}
    }
}

#[tokio::test]
async fn a_restarted_agent_reads_on_and_remembers_what_came_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let spanning = BAD.replace("bad.*", r"bad.*\\n.*worse");
    let files = [
        config_file("one", &config(&path, &spanning)),
        config_file("two", &config(&path, BAD)),
    ];
    let (reporter, mut reports) = reporter();
    fs::write(&path, stamped("bad start")).unwrap();
    let mut position = None;
    let read = async {
        assert_eq!(next(&mut reports).await, "two: bad start");
        position = reports.recv().await;
    };
    let mut monitors = load(&files, &mut Vec::new()).unwrap();
    tokio::select! {
        Err(error) = monitors[0].run(&reporter) => panic!("{error:#}"),
        () = read => {}
    }
    let Some(Report::Progress { source, position }) = position else {
        panic!("{position:?}");
    };
    let reporter = reporter.with_saved([(source, position)].into());
    fs::rename(&path, folder.path().join("log.1")).unwrap();
    fs::write(&path, stamped("and worse")).unwrap();
    let mut monitors = load(&files, &mut Vec::new()).unwrap();
    tokio::select! {
        Err(error) = monitors[0].run(&reporter) => panic!("{error:#}"),
        found = next(&mut reports) => assert_eq!(found, "one: bad start\nand worse"),
    }
}

/// What a config finds in lines, ten minutes after the agent's start an hour after boot.
fn found(more: &str, lines: &str) -> String {
    found_after_step(more, 0, lines)
}

/// The same, if the clock was set forward by so many minutes after the start.
fn found_after_step(more: &str, step: i64, lines: &str) -> String {
    found_by(&config(Path::new("/log"), more), step, lines)
}

/// The same, of a whole config.
fn found_by(json: &str, step: i64, lines: &str) -> String {
    let file = config_file("one", json);
    let (Some(config::Source::File(_, translator)), set) =
        config::parse(&file, &mut Vec::new()).unwrap()
    else {
        panic!("it is a file");
    };
    let mut reader = LineReader::new(&set, translator);
    let mut rules = FileRules::new(set, 0);
    let start = "2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap();
    let at = |minutes: i64, step| ReadContext {
        now: ClockReading {
            wall: start + SignedDuration::from_mins(minutes + step),
            monotonic: Duration::from_mins(60 + minutes.unsigned_abs()),
        },
        uptime: Duration::from_mins(60 + minutes.unsigned_abs()),
        clock: EntryClock::default(),
        zone: TimeZone::UTC,
    };
    rules.start(&at(0, 0));
    let mut findings = Vec::new();
    let mut finder = LineFinder::of([&rules.set.matcher], &PART_MARKS).unwrap();
    let at = at(10, step);
    let lines = lines.as_bytes();
    reader.check(lines, rules.start(&at), &at);
    rules.take(
        lines,
        &finder.find(lines)[0],
        &mut reader,
        &at,
        &mut findings,
    );
    let mut shown = String::new();
    for finding in findings {
        let (time, reason, message) =
            (finding.timestamp, &finding.problem.reason, &finding.message);
        writeln!(shown, "{time} {reason}: {message:?}").unwrap();
    }
    for (count, what) in [
        (reader.count.not_understood, "not understood"),
        (reader.count.too_old, "too old"),
    ] {
        if count > 0 {
            writeln!(shown, "{count} {what}").unwrap();
        }
    }
    shown
}

#[track_caller]
fn check(more: &str, lines: &str, expect: &Expect) {
    expect.assert_eq(&found(more, lines));
}

#[test]
fn a_clock_that_is_set_back_hides_nothing() {
    let config = BAD.replace("1h", "5m");
    let lines =
        "2026-11-24T10:09:00Z bad, an hour and more back\n2026-11-24T09:00:00Z bad long ago\n";
    assert_eq!(
        found_after_step(&config, -120, lines),
        "2026-11-24T10:09:00Z Bad: \"bad, an hour and more back\"\n1 too old\n",
    );
}

#[test]
fn lines_count_from_the_lookback_on() {
    let lines = "2026-11-24T10:59:59Z bad before boot\n2026-11-24T11:00:00Z bad at boot\n\
                 2026-11-24T11:58:59Z bad late\n2026-11-24T12:00:00Z bad now\n2026-11-24T12:09:00Z bad then\n";
    check(
        BAD,
        lines,
        &expect![[r#"
            2026-11-24T11:00:00Z Bad: "bad at boot"
            2026-11-24T11:58:59Z Bad: "bad late"
            2026-11-24T12:00:00Z Bad: "bad now"
            2026-11-24T12:09:00Z Bad: "bad then"
            1 too old
        "#]],
    );
    check(
        &BAD.replace("1h", "0"),
        lines,
        &expect![[r#"
            2026-11-24T12:00:00Z Bad: "bad now"
            2026-11-24T12:09:00Z Bad: "bad then"
            3 too old
        "#]],
    );
    check(
        &BAD.replace("1h", "90s"),
        lines,
        &expect![[r#"
            2026-11-24T11:58:59Z Bad: "bad late"
            2026-11-24T12:00:00Z Bad: "bad now"
            2026-11-24T12:09:00Z Bad: "bad then"
            2 too old
        "#]],
    );
}

#[test]
fn line_ends_zeros_and_bytes_that_are_no_text_are_no_part_of_a_message() {
    check(
        BAD,
        "\x00\x00\x002026-11-24T12:00:00Z bad end\r\n2026-11-24T12:00:00Z bad cr\r\r\n",
        &expect![[r#"
        2026-11-24T12:00:00Z Bad: "bad end"
        2026-11-24T12:00:00Z Bad: "bad cr\r"
    "#]],
    );
}

#[test]
fn skipped_lines_are_not_seen_at_all() {
    let skip = format!(r#""skipList": [" audit:", "[7]"], {BAD}"#);
    let lines = "2026-11-24T12:00:00Z audit: bad one\n2026-11-24T12:00:00Z bad [7]\nno time [7]\n2026-11-24T12:00:00Z bad\n";
    check(
        &skip,
        lines,
        &expect![[r#"
        2026-11-24T12:00:00Z Bad: "bad"
    "#]],
    );
}

#[test]
fn lines_that_are_not_as_described_are_counted() {
    check(
        BAD,
        "no time\nbad as well\n",
        &expect![[r#"
            2 not understood
        "#]],
    );
    check(
        &BAD.replace("bad.*", "(?s)bad.*"),
        "no time\nbad as well\n2026-11-24T12:00:00Z bad\n",
        &expect![[r#"
            2026-11-24T12:00:00Z Bad: "bad"
            2 not understood
        "#]],
    );
}

#[test]
fn a_pattern_spans_lines() {
    let spanning = BAD.replace("bad.*", r"bad.*\\n.*worse");
    check(
        &spanning,
        "2026-11-24T12:00:00Z bad one\n2026-11-24T12:00:01Z and worse\n",
        &expect![[r#"
        2026-11-24T12:00:00Z Bad: "bad one\nand worse"
    "#]],
    );
}

proptest! {
    /// With a spanning pattern that never matches, every line is parsed.
    #[test]
    fn looking_at_few_lines_finds_what_looking_at_all_finds(
        lines in prop::collection::vec(
            ("(2026-11-24T1[012]:00:0[0-9]Z |x )?", "(a|abc|bcd|the |EFG| ){0,4}", "\r?"), 1..30,
        ),
    ) {
        let lines: String = lines.into_iter().map(|(time, text, end)| time + &text + &end + "\n").collect();
        let rules = |pattern: &str| format!(
            r#""lookback": "1h", "skipList": ["aa"], "rules": [
                {{"type": "temporary", "reason": "A", "pattern": "abc ?"}},
                {{"type": "temporary", "reason": "B", "pattern": "(?i)the .*efg"}},
                {{"type": "temporary", "reason": "C", "pattern": "{pattern}"}}]"#
        );
        let findings = |shown: String| {
            let lines = shown.lines().filter(|line| !line.ends_with("understood") && !line.ends_with("old"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        prop_assert_eq!(
            findings(found(&rules("zzz never"), &lines)),
            findings(found(&rules(r"zzz\\nnever"), &lines))
        );
    }
}
