//! Checks how full the table of tracked connections is. When it is full, the kernel drops new
//! connections.

use anyhow::Context;

use super::{CheckResult, percent};
use crate::node::Roots;
use crate::node::proc::connections;

/// The messages are those of NPD's `network_problem.sh`.
pub(super) fn check(roots: &Roots, above: u8) -> anyhow::Result<CheckResult> {
    let (count, max) = connections(roots)
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
    use std::path::Path;

    use super::*;

    fn roots(proc: &Path) -> Roots {
        let proc = proc.display().to_string();
        Roots::from_env(|name| (name == "HOST_PROC").then(|| proc.clone()))
    }

    #[test]
    fn usage_is_printed_as_by_npd() {
        let proc = tempfile::tempdir().unwrap();
        let check = |count: &str, max: &str| {
            let folder = proc.path().join("sys/net/netfilter");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("nf_conntrack_count"), count).unwrap();
            std::fs::write(folder.join("nf_conntrack_max"), max).unwrap();
            let CheckResult { problem, message } = check(&roots(proc.path()), 90).unwrap();
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
        assert!(check(&roots(Path::new("/nonexistent")), 90).is_err());
    }
}
