use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::journal::tests::lab::{can_run, export, export_at, remote};

/// The result for the journal in `folder`.
fn say(folder: &Path, flags: &str) -> String {
    let line = format!("log-counter --log-path={}", folder.display());
    let words = line.split(' ').chain(flags.split_terminator(' '));
    let options = LogCounterOptions::read(words.map(OsString::from).collect()).unwrap();
    let roots = Roots::from_env(|_| None);
    match options
        .window()
        .and_then(|window| count(&options, window, &roots))
    {
        Ok(found) if found >= options.count => format!("{found} are enough"),
        Ok(found) => format!("{found} are not enough"),
        Err(error) => format!("{error:#}").replace(&*folder.to_string_lossy(), "FOLDER"),
    }
}

/// Ten entries of the kubelet, five minutes old: three fail, one recovers. And three that fail, an hour
/// old.
async fn journal() -> TempDir {
    let folder = TempDir::new().unwrap();
    let now = micros(Timestamp::now());
    let entries = |messages: &'static [&str]| {
        let entry = |message: &&str| ("kubelet", 3, message.as_bytes().to_vec());
        messages.iter().map(entry)
    };
    let path = folder.path().join("old.journal");
    let old = entries(&["it failed", "it failed", "it failed"]);
    remote(&path, true, &export_at(now - 3_600_000_000, 0, old)).await;
    let path = folder.path().join("system.journal");
    let new = entries(&[
        "it failed",
        "well",
        "it failed",
        "well",
        "it recovered",
        "it failed",
        "  ",
        "first",
        "second",
        "it failed or not",
    ]);
    remote(&path, true, &export_at(now - 300_000_000, 100, new)).await;
    folder
}

#[tokio::test]
async fn entries_are_counted_as_npd_counts_them() {
    if !can_run() || clock::uptime().as_secs() < 4000 {
        eprintln!("NOT RUN: it takes an uptime of more than an hour");
        return;
    }
    let folder = journal().await;
    let check = |flags: &str, expect: &str| {
        assert_eq!(say(folder.path(), flags), expect, "{flags}");
    };
    let kubelet = "--journald-source=kubelet --lookback=10m";
    check(&format!("{kubelet} --pattern=failed"), "3 are enough");
    check(
        &format!("{kubelet} --pattern=failed --count=3"),
        "3 are enough",
    );
    check(
        &format!("{kubelet} --pattern=failed --count=4"),
        "3 are not enough",
    );
    check(
        &format!("{kubelet} --pattern=failed --count=-1"),
        "3 are enough",
    );
    // A match must end at the end of an entry, and a pattern may span entries.
    check(&format!("{kubelet} --pattern=failed.*"), "4 are enough");
    check(
        &format!("{kubelet} --pattern=first\\nsecond"),
        "1 are enough",
    );
    check(&format!("{kubelet} --pattern=nobody"), "0 are not enough");
    // Without a pattern, every entry matches.
    check(kubelet, "10 are enough");
    check(
        &format!("{kubelet} --pattern=failed --revert-pattern=recovered --count=3"),
        "2 are not enough",
    );
    check(
        &format!("{kubelet} --pattern=well --revert-pattern=well"),
        "0 are not enough",
    );
    // Lookback and delay.
    check(
        "--journald-source=kubelet --pattern=failed",
        "0 are not enough",
    );
    check(
        "--journald-source=kubelet --pattern=failed --lookback=2h",
        "6 are enough",
    );
    check(
        &format!("{kubelet} --pattern=failed --delay=100000h"),
        "0 are not enough",
    );
    check("--journald-source=other --lookback=10m", "0 are not enough");
    // NPD's other flags.
    check(
        &format!("{kubelet} -v 3 --logtostderr --vmodule=a=1"),
        "10 are enough",
    );
}

#[test]
fn what_makes_no_sense_is_unknown() {
    let folder = TempDir::new().unwrap();
    let check = |flags: &str, expect: &str| {
        assert_eq!(say(folder.path(), flags), expect, "{flags}");
    };
    check("", "--journald-source is missing");
    check(
        "--journald-source=a --lookback=1d",
        "--lookback=1d: time: unknown unit \"d\" in duration \"1d\"",
    );
    check(
        "--journald-source=a --delay=x",
        "--delay=x: time: invalid duration \"x\"",
    );
    check(
        "--journald-source=a --pattern=a(",
        "the pattern \"a(\": error parsing regexp: missing closing ): `a(\\z`",
    );
    // A folder without a journal has no entries. A folder that does not exist is an error.
    check("--journald-source=a", "0 are not enough");
    let gone = folder.path().join("gone");
    assert_eq!(
        say(&gone, "--journald-source=a"),
        "reading the journal in FOLDER: No such file or directory (os error 2)"
    );
}

/// Entries that come while it counts are left for the next run.
#[tokio::test]
async fn entries_of_the_future_do_not_count() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let entries = || (0..5).map(|_| ("kubelet", 3, b"it failed".to_vec()));
    remote(
        &folder.path().join("a.journal"),
        true,
        &export(60_000_000, entries()),
    )
    .await;
    let said = say(folder.path(), "--journald-source=kubelet --lookback=1h");
    assert_eq!(said, "0 are not enough");
}
