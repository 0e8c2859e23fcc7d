//! Journal files that systemd itself has written.
#![expect(
    clippy::disallowed_types,
    reason = "what makes journals and reads them is run to its end, and leaves no orphans"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Debian's `systemd-journal-remote` makes journal files from text.
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// Whether the test can run; prints the reason if not.
pub(crate) fn can_run() -> bool {
    let can = Path::new(REMOTE).exists() && Path::new("/usr/bin/journalctl").exists();
    if !can {
        eprintln!("NOT RUN: needs journalctl and {REMOTE}");
    }
    can
}

/// Entries in the journal export format: identifier, priority, message; a microsecond apart.
pub(crate) fn export<'e, E>(first: u64, entries: E) -> Vec<u8>
where
    E: IntoIterator<Item = (&'e str, u8, Vec<u8>)>,
{
    let now = jiff::Timestamp::now().as_microsecond().unsigned_abs();
    export_at(now, first, entries)
}

/// The same, at another time.
pub(crate) fn export_at<'e, E>(now: u64, first: u64, entries: E) -> Vec<u8>
where
    E: IntoIterator<Item = (&'e str, u8, Vec<u8>)>,
{
    let mut export = Vec::new();
    for (number, (identifier, priority, message)) in (first..).zip(entries) {
        let time = now + number;
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

/// Lets systemd make a journal file with entries, or add entries to one.
pub(crate) async fn remote(path: &Path, compact: bool, export: &[u8]) {
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

/// What `journalctl` finds: time and message of each entry.
pub(crate) async fn journalctl(path: &Path, matches: &[&str]) -> Vec<(u64, Vec<u8>)> {
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
