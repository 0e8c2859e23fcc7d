//! How many of the kernel's process ids are taken. When all are, nothing can be started any more.

use std::path::Path;

use anyhow::Context;

use super::{CheckResult, percent};

pub(super) fn check(proc: &Path, above: u8) -> anyhow::Result<CheckResult> {
    let read = |file: &str| {
        std::fs::read_to_string(proc.join(file)).with_context(|| format!("reading {file}"))
    };
    let number = |file: &str| -> anyhow::Result<u64> {
        read(file)?
            .trim()
            .parse()
            .with_context(|| format!("reading {file}"))
    };
    // Every thread has an id, and both limits hold.
    let max = number("sys/kernel/pid_max")?.min(number("sys/kernel/threads-max")?);
    let used = threads(&read("loadavg")?).context("reading loadavg")?;
    let percent = percent(used, max);
    Ok(CheckResult {
        problem: percent > above.into(),
        message: format!("{percent}% of the process ids are taken: {used} out of {max}"),
    })
}

/// The number after the slash in `0.10 0.20 0.30 2/1234 5678`: all threads of the machine.
fn threads(loadavg: &str) -> Option<u64> {
    let (_, all) = loadavg.split(' ').nth(3)?.split_once('/')?;
    all.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_against_the_lower_limit() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(proc.path().join("sys/kernel")).unwrap();
        for (file, text) in [
            ("sys/kernel/pid_max", "4194304\n"),
            ("sys/kernel/threads-max", "2000\n"),
            ("loadavg", "0.50 0.71 0.42 3/1801 5678\n"),
        ] {
            std::fs::write(proc.path().join(file), text).unwrap();
        }
        let found = check(proc.path(), 90).unwrap();
        assert!(found.problem, "{found:?}");
        assert_eq!(
            found.message,
            "91% of the process ids are taken: 1801 out of 2000"
        );
        assert!(!check(proc.path(), 91).unwrap().problem);
    }
}
