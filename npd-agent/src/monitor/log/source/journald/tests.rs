//! A monitor on journals that systemd itself has written.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::journal::tests::lab::{can_run, export, remote};
use crate::metrics::Metrics;
use crate::monitor::log::load;
use crate::monitor::{ConfigFile, Monitor};
use crate::node::{Node, Roots};
use crate::reporter::{Report, Reporter};
use crate::status_page::StatusPage;

fn reporter() -> (Reporter, mpsc::Receiver<Report>) {
    let (sender, reports) = mpsc::channel(100_000);
    let node = Arc::new(Node {
        name: "n".to_owned(),
        roots: Roots::from_env(|_| None),
        boot_id: String::new(),
    });
    let status_page = StatusPage::new("n".to_owned(), jiff::Timestamp::UNIX_EPOCH);
    (
        Reporter::new(node, Metrics::new().unwrap(), status_page, sender),
        reports,
    )
}

/// A monitor of what kubelet writes into the journal in `folder`.
fn monitor(folder: &Path) -> Box<dyn Monitor> {
    monitor_with(folder, "")
}

/// The same with further keys in its config.
fn monitor_with(folder: &Path, keys: &str) -> Box<dyn Monitor> {
    let json = format!(
        r#"{{"plugin": "journald", "logPath": {folder:?}, "lookback": "1h", "pluginConfig": {{"source": "kubelet"}}, {keys}
            "rules": [{{"type": "temporary", "reason": "Bad", "pattern": "bad.*"}},
                      {{"type": "temporary", "reason": "Two", "pattern": "bad 4.*\\nbad.*"}}]}}"#
    );
    let file = ConfigFile {
        name: Arc::from("j.json"),
        dir: None,
        bytes: json.into_bytes(),
    };
    load(&[file], &mut Vec::new()).unwrap().pop().unwrap()
}

/// The next findings, and the last position that was reported by then.
async fn next(reports: &mut mpsc::Receiver<Report>, count: usize) -> (Vec<String>, Option<Report>) {
    let mut found = Vec::new();
    let mut position = None;
    while found.len() < count || position.is_none() {
        match reports.recv().await.unwrap() {
            Report::Finding(finding) => {
                found.push(format!("{}: {}", finding.problem.reason, finding.message));
                position = None;
            }
            report @ Report::Progress { .. } => position = Some(report),
            Report::Checked { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    (found, position)
}

fn bad(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let entries = numbers.clone().flat_map(|number| {
        [
            ("kubelet", 3, format!("bad {number}").into_bytes()),
            ("sshd", 3, b"bad too".to_vec()),
        ]
    });
    export(numbers.start * 2, entries)
}

#[tokio::test]
async fn entries_are_followed_through_rotation_and_a_restart() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let machine = folder.path().join("0123456789abcdef0123456789abcdef");
    let system = machine.join("system.journal");
    let (reporter, mut reports) = reporter();
    let mut first = monitor(folder.path());
    let script = async {
        // At first there is nothing at all.
        while reporter.status_page.read().sources.is_empty() {
            tokio::task::yield_now().await;
        }
        std::fs::create_dir(&machine).unwrap();
        remote(&system, true, &bad(0..3)).await;
        let (found, _) = next(&mut reports, 3).await;
        assert_eq!(found, ["Bad: bad 0", "Bad: bad 1", "Bad: bad 2"]);
        std::fs::rename(&system, machine.join("system@0.journal")).unwrap();
        remote(&system, true, &bad(3..5)).await;
        let (found, position) = next(&mut reports, 2).await;
        assert_eq!(found, ["Bad: bad 3", "Bad: bad 4"]);
        position
    };
    let position = tokio::select! {
        Err(error) = first.run(&reporter) => panic!("{error:#}"),
        position = script => position,
    };
    let Some(Report::Progress { source, position }) = position else {
        panic!("no position");
    };
    remote(&system, true, &bad(5..6)).await;
    let reporter = reporter.with_saved([(source, position)].into());
    let mut second = monitor(folder.path());
    tokio::select! {
        Err(error) = second.run(&reporter) => panic!("{error:#}"),
        (found, _) = next(&mut reports, 2) => {
            assert_eq!(found, ["Bad: bad 5", "Two: bad 4\nbad 5"]);
        }
    }
}

#[tokio::test]
async fn skipped_entries_are_not_seen_at_all() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    remote(&folder.path().join("a.journal"), true, &bad(0..3)).await;
    let (reporter, mut reports) = reporter();
    let mut monitor = monitor_with(folder.path(), r#""skipList": ["bad 0", "1"],"#);
    tokio::select! {
        Err(error) = monitor.run(&reporter) => panic!("{error:#}"),
        (found, _) = next(&mut reports, 1) => assert_eq!(found, ["Bad: bad 2"]),
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_hides_no_other() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let good = folder.path().join("a.journal");
    remote(&good, true, &bad(0..100)).await;
    let mut broken = std::fs::read(&good).unwrap();
    for (index, byte) in broken.iter_mut().enumerate().skip(24) {
        *byte ^= u8::try_from(index % 251).unwrap();
    }
    std::fs::write(folder.path().join("b.journal"), broken).unwrap();
    std::fs::write(folder.path().join("c.journal"), "no journal").unwrap();
    let (reporter, mut reports) = reporter();
    let mut monitor = monitor(folder.path());
    let malformed = &reporter.metrics.records_malformed;
    let malformed = malformed.with_label_values(&[monitor.name()]);
    let script = async {
        // Eleven of them begin with a four.
        let (found, _) = next(&mut reports, 111).await;
        assert_eq!(found[110], "Bad: bad 99");
        // They may be just being written, so the reader first waits a while.
        while malformed.get() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        Err(error) = monitor.run(&reporter) => panic!("{error:#}"),
        () = script => {}
    }
}
