//! Checks how many process ids are in use. When all are, no process can be started.

use std::path::Path;

use anyhow::Context;

use super::{CheckResult, percent};
use crate::node::proc;

pub(super) fn check(folder: &Path, above: u8) -> anyhow::Result<CheckResult> {
    let max = proc::task_limit(folder).context("reading how many process ids there may be")?;
    let used = proc::load(folder)?.tasks;
    let percent = percent(used, max);
    Ok(CheckResult {
        problem: percent > above.into(),
        message: format!("{percent}% of the process ids are taken: {used} out of {max}"),
    })
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
