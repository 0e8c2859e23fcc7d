//! Held against `journalctl` on files that systemd itself has written.
#![expect(
    clippy::disallowed_types,
    reason = "what makes journals and reads them is run to its end, and leaves no orphans"
)]

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;

use super::file::JournalFile;
use super::*;
use crate::board::Board;
use crate::metrics::Metrics;
use crate::monitor::log::load;
use crate::monitor::{ConfigFile, Monitor};
use crate::node::{Node, Roots};
use crate::reporter::{Report, Reporter};

/// Debian's `systemd-journal-remote` makes journal files of text.
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// Whether the test can be run; says so if not.
fn can_run() -> bool {
    let can = Path::new(REMOTE).exists() && Path::new("/usr/bin/journalctl").exists();
    if !can {
        eprintln!("NOT RUN: it takes journalctl and {REMOTE}");
    }
    can
}

/// Entries in the journal export format: identifier, priority, message; a microsecond apart.
fn export<'e, E>(first: u64, entries: E) -> Vec<u8>
where
    E: IntoIterator<Item = (&'e str, u8, Vec<u8>)>,
{
    let mut export = Vec::new();
    let now = jiff::Timestamp::now().as_microsecond();
    for (number, (identifier, priority, message)) in (first..).zip(entries) {
        let time = now.unsigned_abs() + number;
        let transport = if identifier == "kernel" {
            "kernel"
        } else {
            "syslog"
        };
        let mut fields = String::new();
        write!(
            fields,
            "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={number}\n\
             _BOOT_ID=4322fce392534df591babac93ef6554f\nSYSLOG_IDENTIFIER={identifier}\n\
             PRIORITY={priority}\n_TRANSPORT={transport}\n_SYSTEMD_UNIT={identifier}.service\n"
        )
        .unwrap();
        export.extend(fields.bytes());
        export.extend(b"MESSAGE\n");
        export.extend((message.len() as u64).to_le_bytes());
        export.extend(message);
        export.extend(b"\n\n");
    }
    export
}

/// Has systemd make a journal file of entries.
async fn remote(path: &Path, compact: bool, export: &[u8]) {
    let mut remote = Command::new(REMOTE)
        .arg("-o")
        .arg(path)
        .arg("-")
        .env("SYSTEMD_JOURNAL_COMPACT", if compact { "1" } else { "0" })
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = remote.stdin.take().unwrap();
    input.write_all(export).await.unwrap();
    drop(input);
    assert!(remote.wait().await.unwrap().success());
}

/// What `journalctl` finds: number and message of each entry.
async fn journalctl(path: &Path, matches: &[&str]) -> Vec<(u64, Vec<u8>)> {
    let output = Command::new("journalctl")
        .args(["--no-pager", "--all", "-o", "json", "--file"])
        .arg(path)
        .args(matches)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let lines = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    let entry = |line| {
        let entry: Value = serde_json::from_slice(line).unwrap();
        let time = entry["__REALTIME_TIMESTAMP"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let message = match &entry["MESSAGE"] {
            Value::String(text) => text.clone().into_bytes(),
            Value::Array(bytes) => bytes
                .iter()
                .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
                .collect(),
            Value::Null => Vec::new(),
            other => panic!("{other}"),
        };
        (time, message)
    };
    lines.map(entry).collect()
}

fn wanted(groups: &[&[(&str, &str)]]) -> Wanted {
    let term = |(field, value): &(&str, &str)| Term::new(field, value);
    let groups = groups.iter().map(|group| group.iter().map(term).collect());
    Wanted {
        groups: groups.collect(),
    }
}

/// What we find.
fn ours(path: &Path, wanted: &Wanted) -> Vec<(u64, Vec<u8>)> {
    let mut file = JournalFile::open(File::open(path).unwrap(), wanted).unwrap();
    let mut found = Vec::new();
    while let Some(next) = file.peek().unwrap() {
        found.push((next.realtime, file.message(&next).unwrap()));
        file.pass(next.sequence).unwrap();
    }
    found
}

/// Messages of every kind: short, long, compressed, of several lines, not text, empty.
fn message(number: usize) -> Vec<u8> {
    match number % 7 {
        0 => format!("entry {number}").into_bytes(),
        1 => format!("{number} ").repeat(200).into_bytes(),
        2 => format!("line {number}\nand another").into_bytes(),
        3 => [&b"\xffa\0"[..], &number.to_le_bytes()].concat(),
        4 if number % 70 == 4 => format!("long {number} ").repeat(8000).into_bytes(),
        4 => "always the same".into(),
        5 => Vec::new(),
        _ => "é".repeat(number % 500).into_bytes(),
    }
}

#[tokio::test]
async fn every_entry_is_what_journalctl_says() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let identifiers = ["kubelet", "kernel", "sshd", "a", "aa", "kube"];
    let entries = (0..20_000).map(|number| {
        (
            identifiers[number * number % 13 % 6],
            u8::try_from(number % 8).unwrap(),
            message(number),
        )
    });
    let export = export(0, entries);
    for compact in [false, true] {
        let path = folder.path().join(format!("{compact}.journal"));
        remote(&path, compact, &export).await;
        let mut all = 0;
        for identifier in identifiers {
            let expect = journalctl(&path, &[&format!("SYSLOG_IDENTIFIER={identifier}")]).await;
            let found = ours(&path, &wanted(&[&[("SYSLOG_IDENTIFIER", identifier)]]));
            assert!(
                found == expect,
                "{identifier}, compact {compact}: {} and {}",
                found.len(),
                expect.len()
            );
            all += found.len();
        }
        assert_eq!(all, 20_000);
        let expect = journalctl(&path, &["SYSLOG_IDENTIFIER=a", "PRIORITY=2", "PRIORITY=3"]).await;
        let found = ours(
            &path,
            &wanted(&[
                &[("SYSLOG_IDENTIFIER", "a")],
                &[("PRIORITY", "3"), ("PRIORITY", "2")],
            ]),
        );
        assert!(!found.is_empty() && found == expect);
        let expect = journalctl(&path, &["SYSLOG_IDENTIFIER=a", "+", "_TRANSPORT=kernel"]).await;
        let either = wanted(&[&[("SYSLOG_IDENTIFIER", "a"), ("_TRANSPORT", "kernel")]]);
        assert!(ours(&path, &either) == expect);
        assert_eq!(
            ours(&path, &wanted(&[&[("SYSLOG_IDENTIFIER", "nobody")]])),
            []
        );
        assert_eq!(ours(&path, &wanted(&[&[("NO_SUCH_FIELD", "a")]])), []);
    }
}

fn reporter() -> (Reporter, mpsc::Receiver<Report>) {
    let (sender, reports) = mpsc::channel(100_000);
    let node = Arc::new(Node {
        name: "n".to_owned(),
        roots: Roots::from_env(|_| None),
        boot_id: String::new(),
    });
    let board = Board::new("n".to_owned(), jiff::Timestamp::UNIX_EPOCH);
    (
        Reporter::new(node, Metrics::new().unwrap(), board, sender),
        reports,
    )
}

/// A monitor of what kubelet writes into the journal in `folder`.
fn monitor(folder: &Path) -> Box<dyn Monitor> {
    let json = format!(
        r#"{{"plugin": "journald", "logPath": {folder:?}, "lookback": "1h", "pluginConfig": {{"source": "kubelet"}},
            "rules": [{{"type": "temporary", "reason": "Bad", "pattern": "bad.*"}},
                      {{"type": "temporary", "reason": "Two", "pattern": "bad 4.*\\nbad.*"}}]}}"#
    );
    let file = ConfigFile {
        name: Arc::from("j.json"),
        dir: None,
        bytes: json.into_bytes(),
    };
    load(&[file]).unwrap().pop().unwrap()
}

/// The next findings, and the last place that was said by then.
async fn next(reports: &mut mpsc::Receiver<Report>, count: usize) -> (Vec<String>, Option<Report>) {
    let mut found = Vec::new();
    let mut place = None;
    while found.len() < count || place.is_none() {
        match reports.recv().await.unwrap() {
            Report::Finding(finding) => {
                found.push(format!("{}: {}", finding.problem.reason, finding.message));
                place = None;
            }
            report @ Report::Reached { .. } => place = Some(report),
            other => panic!("{other:?}"),
        }
    }
    (found, place)
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
        while reporter.board.read().sources.is_empty() {
            tokio::task::yield_now().await;
        }
        std::fs::create_dir(&machine).unwrap();
        remote(&system, true, &bad(0..3)).await;
        let (found, _) = next(&mut reports, 3).await;
        assert_eq!(found, ["Bad: bad 0", "Bad: bad 1", "Bad: bad 2"]);
        std::fs::rename(&system, machine.join("system@0.journal")).unwrap();
        remote(&system, true, &bad(3..5)).await;
        let (found, place) = next(&mut reports, 2).await;
        assert_eq!(found, ["Bad: bad 3", "Bad: bad 4"]);
        place
    };
    let place = tokio::select! {
        Err(error) = first.run(&reporter) => panic!("{error:#}"),
        place = script => place,
    };
    let Some(Report::Reached { source, place }) = place else {
        panic!("no place");
    };
    remote(&system, true, &bad(5..6)).await;
    let reporter = reporter.with_saved([(source, place)].into());
    let mut second = monitor(folder.path());
    tokio::select! {
        Err(error) = second.run(&reporter) => panic!("{error:#}"),
        (found, _) = next(&mut reports, 2) => {
            assert_eq!(found, ["Bad: bad 5", "Two: bad 4\nbad 5"]);
        }
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
    tokio::select! {
        Err(error) = monitor.run(&reporter) => panic!("{error:#}"),
        // Eleven of them begin with a four.
        (found, _) = next(&mut reports, 111) => assert_eq!(found[110], "Bad: bad 99"),
    }
    let malformed = &reporter.metrics.records_malformed;
    assert_eq!(malformed.with_label_values(&[monitor.name()]).get(), 2);
}

/// Whatever stands in a file, reading it ends, and ends well.
#[tokio::test]
async fn no_file_makes_it_panic() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.journal");
    let messages = (0..300).map(|number| ("kubelet", 3, message(number)));
    remote(&path, true, &export(0, messages)).await;
    let good = std::fs::read(&path).unwrap();
    let used = good.iter().rposition(|byte| *byte != 0).unwrap();
    let term = wanted(&[&[("SYSLOG_IDENTIFIER", "kubelet")], &[("PRIORITY", "3")]]);
    let mut random = 1_u64;
    let mut below = |most: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % most
    };
    for _ in 0..400 {
        let mut bad = good.clone();
        for _ in 0..=below(8) {
            let at = if below(4) == 0 {
                below(300)
            } else {
                below(used)
            };
            bad[at] = [0, 1, 0x7f, 0xff, u8::try_from(below(256)).unwrap()][below(5)];
        }
        let path = folder.path().join("bad.journal");
        std::fs::write(&path, &bad).unwrap();
        let Ok(mut file) = JournalFile::open(File::open(&path).unwrap(), &term) else {
            continue;
        };
        while let Ok(Some(next)) = file.peek() {
            let read = file.message(&next);
            if read.is_err() || file.pass(next.sequence).is_err() {
                break;
            }
        }
    }
}
