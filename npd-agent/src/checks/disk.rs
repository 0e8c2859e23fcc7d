//! Checks how full file systems are.

use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::sys::statvfs::statvfs;

use super::{CheckResult, percent};

/// The capacity of a file system, and how much of it is used.
struct DiskUsage {
    bytes: u64,
    inodes: u64,
}

pub(super) fn check(paths: &[PathBuf], above: u8) -> anyhow::Result<CheckResult> {
    let mut full = Vec::new();
    let mut reported = Vec::new();
    for path in paths {
        let DiskUsage { bytes, inodes } = usage(path)?;
        let path = path.display();
        for (percent, of) in [(bytes, "bytes"), (inodes, "inodes")] {
            if percent > above.into() {
                full.push(format!("{path}: {percent}% of its {of} used"));
            }
        }
        reported.push(format!(
            "{path}: {bytes}% of its bytes, {inodes}% of its inodes used"
        ));
    }
    Ok(CheckResult {
        problem: !full.is_empty(),
        message: if full.is_empty() { reported } else { full }.join("; "),
    })
}

/// In percent, as df(1) shows it: space that is reserved for root does not count as capacity.
fn usage(path: &Path) -> anyhow::Result<DiskUsage> {
    let all = statvfs(path)
        .with_context(|| format!("reading the size of the file system on {}", path.display()))?;
    let used = all.blocks().saturating_sub(all.blocks_free());
    let inodes_used = all.files().saturating_sub(all.files_free());
    Ok(DiskUsage {
        bytes: percent(used, used + all.blocks_available()),
        // btrfs has no fixed number of inodes, and reports 0.
        inodes: percent(inodes_used, all.files()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_full_above_the_limit() {
        let root = [PathBuf::from("/")];
        assert!(!check(&root, 100).unwrap().problem);
        let found = check(&root, 0).unwrap();
        assert!(
            found.problem && found.message.contains("% of its bytes used"),
            "{found:?}"
        );
    }

    #[test]
    fn a_path_that_is_not_there_cannot_be_judged() {
        assert!(check(&[PathBuf::from("/no/such/path")], 90).is_err());
    }
}
