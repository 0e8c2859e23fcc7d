//! Compares the reader with `journalctl`, on files that systemd itself has written.

pub(crate) mod lab;
mod trouble;

use std::fs::File;
use std::path::Path;

use tempfile::TempDir;

use self::lab::{can_run, export, journalctl, remote};
use super::file::{JournalFile, Peeked};
use super::*;

fn wanted(groups: &[&[(&str, &str)]]) -> EntryFilter {
    let term = |(field, value): &(&str, &str)| Term::new(field, value);
    let groups = groups.iter().map(|group| group.iter().map(term).collect());
    EntryFilter {
        groups: groups.collect(),
    }
}

/// What our reader finds.
fn ours(path: &Path, wanted: &EntryFilter) -> Vec<(u64, Vec<u8>)> {
    let mut file = JournalFile::open(File::open(path).unwrap(), wanted).unwrap();
    let mut found = Vec::new();
    while let Peeked::JournalEntry(next) = file.peek().unwrap() {
        found.push((next.entry.realtime, file.message(&next).unwrap()));
        file.pass(next.entry.sequence);
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
