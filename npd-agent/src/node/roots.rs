//! Where the host's trees are, as seen from here.

use std::fs::File;
use std::path::PathBuf;

/// The host's trees. In a container they may be mounted elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`, or `$HOST_PROC`.
    pub proc: PathBuf,
    /// `/sys`, or `$HOST_SYS`.
    pub sys: PathBuf,
    /// `/dev`, or `$HOST_DEV`.
    pub dev: PathBuf,
    /// `/run`, or `$HOST_RUN`.
    pub run: PathBuf,
    /// `/var/log`, or `$HOST_VAR_LOG`: pods' names are read from its `pods` folder.
    pub log: PathBuf,
}

impl Roots {
    /// Reads the roots from the environment; the names are those that NPD's collectors honour.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Self {
        let root = |name, default: &str| {
            PathBuf::from(
                var(name)
                    .filter(|v| !v.is_empty())
                    .unwrap_or_else(|| default.to_owned()),
            )
        };
        Self {
            proc: root("HOST_PROC", "/proc"),
            sys: root("HOST_SYS", "/sys"),
            dev: root("HOST_DEV", "/dev"),
            run: root("HOST_RUN", "/run"),
            log: root("HOST_VAR_LOG", "/var/log"),
        }
    }

    /// The path of a file of the node's first process, for example `mountinfo`: that process is in
    /// the node's own namespaces. The agent's own file, where that process is out of sight.
    pub fn of_first_process(&self, name: &str) -> PathBuf {
        let path = self.proc.join("1").join(name);
        if File::open(&path).is_ok() {
            path
        } else {
            self.proc.join("self").join(name)
        }
    }

    /// The path of a file of the node's, as its first process sees it: in a container, `/` is ours.
    pub fn of_node(&self, path: &str) -> PathBuf {
        self.proc.join("1/root").join(path)
    }
}
