//! The earlier generations of a log file, which rotation has made.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file that was rotated away, or the copy of one that was truncated.
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

/// A file's modification time, in seconds and nanoseconds. Rotation does not change it, so it gives
/// the order of the generations.
pub(super) fn written(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// The earlier generations of the log file at `path` that are in the same folder and not compressed,
/// oldest first.
pub(super) fn generations(path: &Path) -> Vec<Rotated> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut found = Vec::new();
    // Ignore a folder that cannot be listed, and an entry that is gone again.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_generation(name, &entry.file_name())
            && let Ok(metadata) = fs::metadata(entry.path())
            && metadata.is_file()
        {
            found.push(Rotated {
                path: entry.path(),
                metadata,
            });
        }
    }
    found.sort_by_key(|rotated| written(&rotated.metadata));
    found
}

/// Whether rotation gives this name to an earlier generation of `log`: `syslog.1`,
/// `messages-20261124`, `0.log.20261124-101500`, and with logrotate's `extension` `app-1.log`.
fn is_generation(log: &OsStr, name: &OsStr) -> bool {
    let (log, name) = (log.as_bytes(), name.as_bytes());
    if let Some(added) = name.strip_prefix(log) {
        return is_number(added) || matches!(added, b".old" | b".prev");
    }
    let Some(dot) = log.iter().rposition(|&byte| byte == b'.') else {
        return false;
    };
    let (stem, extension) = log.split_at(dot);
    let inserted = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(extension));
    inserted.is_some_and(is_number)
}

fn is_number(added: &[u8]) -> bool {
    added.iter().any(u8::is_ascii_digit)
        && added
            .iter()
            .all(|byte| byte.is_ascii_digit() || b".-_:T+".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, name: &str, expect: bool) {
        assert_eq!(
            is_generation(log.as_ref(), name.as_ref()),
            expect,
            "{name} of {log}"
        );
    }

    #[test]
    fn generations_are_known_by_their_names() {
        check("syslog", "syslog.1", true);
        check("messages", "messages-20261124", true);
        check("messages", "messages-2026-11-24T10:15", true);
        check("0.log", "0.log.20261124-101500", true);
        check("app.log", "app-1.log", true);
        check("app.log", "app.1.log", true);
        check("kern.log", "kern.log.old", true);
        check("syslog", "syslog", false);
        check("syslog", "syslog.2.gz", false);
        check("syslog", "syslog-ng.log", false);
        check("0.log", "1.log", false);
        check("app.log", "app-web.log", false);
        check("app.log", "application.log.1", false);
    }
}
