mod cases;
mod first_check;
mod names;
mod plugin_kills;
mod rules;
mod shipped;
mod storage;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::device::KmsgDevice;
use super::*;
use crate::metrics::Metrics;
use crate::monitor::ConfigFile;
use crate::monitor::log::config;
use crate::node::{Node, Roots};
use crate::problem::{ConditionStatus, Subject};
use crate::reporter::Report;
use crate::status_page::StatusPage;

/// Returns what it was given, one entry a read, as the kernel does; then fails like a device that
/// has gone.
struct Recorded(VecDeque<io::Result<Vec<u8>>>);

impl KmsgDevice for Recorded {
    fn read_now(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        (!self.0.is_empty()).then(|| self.next(buffer))
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer)
    }
}

impl Recorded {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let record = self.0.pop_front().unwrap_or(Err(Errno::ENODEV.into()))?;
        if record.len() > buffer.len() {
            return Err(Errno::EINVAL.into()); // And the kernel has moved past it.
        }
        buffer[..record.len()].copy_from_slice(&record);
        Ok(record.len())
    }
}

/// The records of `text`, one a line; a line that starts with a blank belongs to the record before.
fn recorded(text: &str) -> Recorded {
    let text = text.trim_end().replace("\n ", "\0 ");
    let records = text.lines().filter(|line| !line.starts_with('#'));
    let read = records.map(|record| match record {
        "EPIPE" => Err(Errno::EPIPE.into()),
        record => Ok((record.replace('\0', "\n") + "\n").into_bytes()),
    });
    Recorded(read.collect())
}

fn sets(configs: &[&str]) -> Vec<RuleSet> {
    let words = ["one", "two", "three"].into_iter().map(str::to_owned);
    let numbered = words.chain((4..).map(|number| number.to_string()));
    let named = configs.iter().zip(numbered.map(|name| name + ".json"));
    let set = |(config, name): (&&str, String)| {
        let file = ConfigFile {
            name: Arc::from(name),
            dir: None,
            bytes: config.as_bytes().to_vec(),
        };
        config::parse(&file, &mut Vec::new()).unwrap().1
    };
    named.map(set).collect()
}

fn place(next: u64) -> KmsgPosition {
    KmsgPosition {
        next,
        rules: Remembered::default(),
    }
}

/// A kernel log monitor, and its reports.
struct KmsgBench {
    log: KernelLog,
    reporter: Reporter,
    reports: mpsc::Receiver<Report>,
}

impl KmsgBench {
    fn new(configs: &[&str]) -> Self {
        let mut log = KernelLog::new(sets(configs)).unwrap();
        log.start(Duration::from_secs(1000), None);
        let (sender, reports) = mpsc::channel(100_000);
        let node = Arc::new(Node {
            name: "n".to_owned(),
            roots: Roots::from_env(|_| None),
            boot_id: String::new(),
        });
        let status_page = StatusPage::new("n".to_owned(), Timestamp::UNIX_EPOCH);
        let reporter = Reporter::new(node, Metrics::new().unwrap(), status_page, sender);
        Self {
            log,
            reporter,
            reports,
        }
    }

    /// Lets the monitor read until the device is gone or must be opened again.
    async fn read(&mut self, mut device: Recorded) -> anyhow::Result<Reopen> {
        self.log.follow(&mut device, &self.reporter).await
    }

    /// What was found since this was last asked.
    fn found(&mut self) -> String {
        let mut shown = String::new();
        while let Ok(report) = self.reports.try_recv() {
            let Report::Finding(finding) = report else {
                continue;
            };
            let condition = finding.problem.condition.as_deref().unwrap_or("-");
            let (monitor, reason, message) =
                (&finding.monitor, &finding.problem.reason, &finding.message);
            write!(shown, "{monitor} {reason} {condition}: {message:?}").unwrap();
            if let Some(subject) = finding.subject {
                write!(shown, " {subject}").unwrap();
            }
            shown.push('\n');
        }
        shown
    }

    fn lost(&self) -> u64 {
        self.reporter
            .metrics
            .records_lost
            .with_label_values(&[NAME])
            .get()
    }

    fn malformed(&self) -> u64 {
        self.reporter
            .metrics
            .records_malformed
            .with_label_values(&[NAME])
            .get()
    }
}

/// Sees every record with a word after "bad".
const BAD: &str = r#"{"plugin": "kmsg", "lookback": "1h", "source": "s",
    "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad \\w+"}]}"#;

#[track_caller]
fn check(found: &str, expect: &Expect) {
    expect.assert_eq(found);
}

#[tokio::test]
async fn an_overrun_is_survived_and_counted_exactly() {
    let mut bench = KmsgBench::new(&[BAD]);
    let result = bench.read(recorded("6,7,1,-;bad one\nEPIPE\n6,1007,2,-;bad two\n6,1008,3,-;bad three\nEPIPE\nEPIPE\n6,1011,4,-;x"));
    assert!(result.await.is_err());
    check(
        &bench.found(),
        &expect![[r#"
        one.json Bad -: "bad one"
        one.json Bad -: "bad two"
        one.json Bad -: "bad three"
    "#]],
    );
    assert_eq!(bench.lost(), 999 + 2);
}

#[tokio::test]
async fn a_log_that_is_opened_again_is_read_from_the_same_position() {
    let mut bench = KmsgBench::new(&[BAD]);
    let _gone = bench
        .read(recorded("6,1,1,-;bad one\n6,2,2,-;bad two"))
        .await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Bad -: "bad one"
        one.json Bad -: "bad two"
    "#]],
    );
    let _gone = bench
        .read(recorded(
            "6,1,1,-;bad one\n6,2,2,-;bad two\n6,3,3,-;bad three",
        ))
        .await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Bad -: "bad three"
    "#]],
    );
    assert_eq!(bench.lost(), 0);
    let _gone = bench.read(recorded("6,9,9,-;bad nine")).await;
    assert_eq!(bench.lost(), 5);
}

#[tokio::test]
async fn a_restarted_agent_reads_on_and_remembers_what_came_before() {
    let pair = BAD.replace(r"bad \\w+", r"first\\nsecond");
    let mut bench = KmsgBench::new(&[]);
    bench.log = KernelLog::new(sets(&[BAD, &pair])).unwrap();
    bench.log.start(Duration::from_secs(1000), Some(place(3)));
    let log = "6,1,1,-;bad one\n6,2,2,-;first\n6,3,3,-;second\n6,4,4,-;bad four";
    let _gone = bench.read(recorded(log)).await;
    check(
        &bench.found(),
        &expect![[r#"
            two.json Bad -: "first\nsecond"
            one.json Bad -: "bad four"
        "#]],
    );
    let mut bench = KmsgBench::new(&[]);
    bench.log = KernelLog::new(sets(&[BAD])).unwrap();
    bench.log.start(Duration::from_secs(1000), Some(place(3)));
    let _gone = bench.read(recorded("6,7,1,-;bad seven")).await;
    assert_eq!(bench.lost(), 4, "overwritten while no agent ran");
}

#[tokio::test]
async fn a_record_larger_than_the_buffer_is_read_by_a_larger_one() {
    let mut bench = KmsgBench::new(&[BAD]);
    let blanks = " ".repeat(20_000);
    let log = format!("6,1,1,-;bad one\n6,2,1,-;{blanks}bad two\n6,3,1,-;bad three");
    for _ in 0..2 {
        assert!(
            bench.read(recorded(&log)).await.is_ok(),
            "it has to be opened anew"
        );
    }
    assert!(bench.read(recorded(&log)).await.is_err());
    check(
        &bench.found(),
        &expect![[r#"
        one.json Bad -: "bad one"
        one.json Bad -: "bad two"
        one.json Bad -: "bad three"
    "#]],
    );
    assert_eq!(bench.lost(), 0);
}

#[tokio::test]
async fn a_record_too_large_for_any_buffer_is_skipped_and_counted() {
    let mut bench = KmsgBench::new(&[BAD]);
    bench.log.buffer = vec![0; LARGEST_BUFFER];
    let blanks = " ".repeat(LARGEST_BUFFER);
    let log = format!("6,1,1,-;bad one\n6,2,1,-;{blanks}bad two\n6,3,1,-;bad three");
    assert!(bench.read(recorded(&log)).await.is_err());
    check(
        &bench.found(),
        &expect![[r#"
        one.json Bad -: "bad one"
        one.json Bad -: "bad three"
    "#]],
    );
    assert_eq!(bench.lost(), 1);
}

#[tokio::test]
async fn what_is_no_record_is_skipped_and_counted() {
    let mut bench = KmsgBench::new(&[BAD]);
    let _gone = bench
        .read(recorded(
            "6,1,1,-;bad one\nrubbish\n6,three,1,-;bad\n6,4,1,-;bad four",
        ))
        .await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Bad -: "bad one"
        one.json Bad -: "bad four"
    "#]],
    );
    assert_eq!((bench.malformed(), bench.lost()), (2, 0));
}

#[tokio::test]
async fn each_config_has_its_own_start_in_the_logs_own_clock() {
    // The monitor starts 1000 s after boot.
    let with = |window: &str| BAD.replace(r#""lookback": "1h""#, window);
    let mut bench = KmsgBench::new(&[&with(r#""lookback": "5m""#), &with(r#""delay": "10m""#)]);
    let log = "6,1,699999999,-;bad early\n6,2,700000000,-;bad late\n6,3,999999999,-;bad last\n6,4,1000000000,-;bad now";
    let _gone = bench.read(recorded(log)).await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Bad -: "bad late"
        one.json Bad -: "bad last"
        one.json Bad -: "bad now"
        two.json Bad -: "bad now"
    "#]],
    );
}

#[tokio::test]
async fn only_the_kernels_own_words_are_about_a_subject() {
    let mut bench = KmsgBench::new(&[r#"{"plugin": "kmsg", "lookback": "1h",
        "rules": [{"type": "temporary", "reason": "Killed", "pattern": "Killed process .*"}]}"#]);
    let _gone = bench
        .read(recorded(
            "6,1,1,-;Killed process 5 (x)\n14,2,1,-;Killed process 5 (x)",
        ))
        .await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Killed -: "Killed process 5 (x)" oom 5
        one.json Killed -: "Killed process 5 (x)"
    "#]],
    );
}

#[tokio::test]
async fn a_match_carries_its_suffix_and_every_rule_reports() {
    let mut bench = KmsgBench::new(&[
        r#"{"plugin": "kmsg", "lookback": "1h", "skipList": ["debug"],
        "conditions": [{"type": "Sick", "reason": "Well", "message": "all is well"}],
        "rules": [{"type": "permanent", "condition": "Sick", "reason": "Two", "pattern": "first\nsecond",
                   "patternGeneratedMessageSuffix": "reboot it"},
                  {"type": "temporary", "reason": "One", "pattern": "second"}]}"#,
    ]);
    let log = "6,1,1,-;first\n SUBSYSTEM=x\n6,2,1,-;debug\n6,3,1,-;second";
    let _gone = bench.read(recorded(log)).await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Two Sick: "first\nsecond; reboot it"
        one.json One -: "second"
    "#]],
    );
}

#[tokio::test]
async fn skipped_records_are_not_seen_at_all() {
    let skipping = BAD.replace(r#""source""#, r#""skipList": ["audit:", "[7]"], "source""#);
    let mut bench = KmsgBench::new(&[BAD, &skipping]);
    let log = "6,1,1,-;audit: bad one\n6,2,2,-;[7] bad two\n6,3,3,-;bad three";
    let _gone = bench.read(recorded(log)).await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Bad -: "audit: bad one"
        one.json Bad -: "[7] bad two"
        one.json Bad -: "bad three"
        two.json Bad -: "bad three"
    "#]],
    );
}

#[tokio::test]
async fn a_log_that_is_not_there_is_down_and_said_to_be() {
    let mut bench = KmsgBench::new(&[BAD]);
    let mut node = (*bench.reporter.node).clone();
    node.roots.dev = "/nowhere".into();
    bench.reporter.node = Arc::new(node);
    bench.reporter.set_kernel_log_is_read(true);
    let Err(error) = bench.log.run(&bench.reporter).await;
    assert!(!bench.reporter.kernel_log_is_read());
    check(
        &format!("{error:#}"),
        &expect!["opening the kernel log /nowhere/kmsg: No such file or directory (os error 2)"],
    );
    let complaints = bench.reporter.status_page.read().complaints();
    assert!(
        complaints[0].ends_with(
            "opening the kernel log /nowhere/kmsg: No such file or directory (os error 2)"
        )
    );
}

#[tokio::test]
async fn a_flood_does_not_keep_the_others_from_running() {
    let mut bench = KmsgBench::new(&[BAD]);
    let flood = (0..100_000)
        .map(|n| Ok(format!("6,{n},1,-;nothing\n").into_bytes()))
        .collect();
    let flooded = async {
        let _gone = bench.read(Recorded(flood)).await;
        bench.log.next
    };
    let mut flooded = std::pin::pin!(flooded);
    tokio::select! {
        biased;
        _ = &mut flooded => panic!("nobody else had a turn"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(flooded.await, Some(100_000));
}
