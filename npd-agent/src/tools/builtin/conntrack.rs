//! How full the table of tracked connections is. When it is full, new connections are dropped.

use std::path::Path;

use anyhow::Context;

use super::{CheckResult, percent};

/// Where the kernel counts, newest first; kernels before 2.6.22 have the second.
const FOLDERS: &[(&str, &str)] = &[
    ("sys/net/netfilter", "nf_conntrack_"),
    ("sys/net/ipv4/netfilter", "ip_conntrack_"),
];

/// Words its result as NPD's `network_problem.sh` does.
pub(super) fn check(proc: &Path, above: u8) -> anyhow::Result<CheckResult> {
    let read = |folder: &str, file: String| {
        let text = std::fs::read_to_string(proc.join(folder).join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let read = |(folder, prefix): &(&str, &str)| {
        let count = read(folder, format!("{prefix}count"))?;
        Some((count, read(folder, format!("{prefix}max"))?))
    };
    let (count, max) = FOLDERS
        .iter()
        .find_map(read)
        .context("the kernel does not track connections in this network namespace")?;
    let problem = percent(count, max) > above.into();
    let over = if problem {
        format!(" over {above}%")
    } else {
        String::new()
    };
    Ok(CheckResult {
        problem,
        message: format!("Conntrack table usage{over}: {count} out of {max}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_told_as_npd_does() {
        let proc = tempfile::tempdir().unwrap();
        let check = |count: &str, max: &str| {
            let folder = proc.path().join("sys/net/netfilter");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("nf_conntrack_count"), count).unwrap();
            std::fs::write(folder.join("nf_conntrack_max"), max).unwrap();
            let CheckResult { problem, message } = check(proc.path(), 90).unwrap();
            (problem, message)
        };
        let bad = (
            true,
            "Conntrack table usage over 90%: 91 out of 100".to_owned(),
        );
        assert_eq!(check("91\n", "100\n"), bad);
        let good = (false, "Conntrack table usage: 90 out of 100".to_owned());
        assert_eq!(check("90\n", "100\n"), good);
        assert!(check("0\n", "0\n").1.ends_with("0 out of 0"));
    }

    #[test]
    fn without_the_module_nobody_can_tell() {
        assert!(check(Path::new("/nonexistent"), 90).is_err());
    }
}
