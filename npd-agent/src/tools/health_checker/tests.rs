use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::journal::tests::lab::{can_run, export_at, remote};

/// The result for a unit's journal: how many lines match, and how many are too many.
#[tokio::test]
async fn a_unit_that_complains_too_much_is_not_well() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("log/journal");
    std::fs::create_dir_all(&run).unwrap();
    let roots = Roots {
        run: folder.path().to_owned(),
        log: folder.path().join("none"),
        ..Roots::from_env(|_| None)
    };
    let complain = |patterns: &[(&str, i64)], span: u64| {
        let own = |(pattern, count): &(&str, i64)| ((*pattern).to_owned(), *count);
        let patterns = patterns.iter().map(own).collect();
        logs::complain(
            &patterns,
            "kubelet.service",
            Duration::from_secs(span),
            &roots,
        )
    };
    assert!(complain(&[("refused", 1)], 60).is_err());
    let now = jiff::Timestamp::now().as_microsecond().unsigned_abs();
    let entries = [
        (
            "kubelet",
            3,
            b"connection refused\nConnection Refused again".to_vec(),
        ),
        ("sshd", 3, b"connection refused".to_vec()),
        ("kubelet", 3, b"connection refused once more".to_vec()),
    ];
    let export = export_at(now - 30_000_000, 0, entries);
    remote(&run.join("system.journal"), true, &export).await;
    for (patterns, span, expect) in [
        (&[("refused", 3)][..], 60, true),
        (&[("refused", 4)], 60, false),
        (&[("nothing", 1), ("REFUSED", 2)], 60, true),
        (&[("once\\|again", 2)], 60, true),
        (&[("refused", 1)], 10, false),
        (&[("nothing", -1)], 10, true),
    ] {
        assert_eq!(complain(patterns, span).unwrap(), expect, "{patterns:?}");
    }
    assert!(complain(&[("\\(", 1)], 60).is_err());
}

#[test]
fn log_patterns_are_as_npd_has_them() {
    let line = [
        "health-checker",
        "--log-pattern=2:a:b,3:c",
        "--log-pattern=-1:c",
        "--loopback-time=1m",
    ];
    let options = HealthCheckerOptions::read(line.map(OsString::from).to_vec()).unwrap();
    let patterns = [("a:b".to_owned(), 2), ("c".to_owned(), -1)];
    assert_eq!(*options.log_patterns(), patterns.into());
    assert_eq!(options.loopback_time(), Some(Duration::from_mins(1)));
    for wrong in ["a", "0:a", "x:a", "1:", ":a"] {
        let line = ["health-checker", "--log-pattern", wrong];
        let line = line.map(OsString::from).to_vec();
        assert!(HealthCheckerOptions::read(line).is_err(), "{wrong}");
    }
}
