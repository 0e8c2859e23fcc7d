//! The paths of the host's `/proc`, `/sys` and other folders.

use std::fs::File;
use std::path::PathBuf;

/// The paths of the host's folders. In a container they may be mounted elsewhere.
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
    /// Reads the roots from the environment; NPD's collectors use the same variables.
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

    /// The path of a file of process 1, for example `mountinfo`. Process 1 is in the node's own namespaces.
    /// If it cannot be read, the path of the agent's own file.
    pub fn of_first_process(&self, name: &str) -> PathBuf {
        let path = self.proc.join("1").join(name);
        if File::open(&path).is_ok() {
            path
        } else {
            self.proc.join("self").join(name)
        }
    }

    /// The path of a file of the node, as process 1 sees it. In a container, `/` is the container's root.
    pub fn of_node(&self, path: &str) -> PathBuf {
        self.proc.join("1/root").join(path)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn variables_move_the_roots_and_empty_ones_do_not() {
        let none = Roots::from_env(|_| None);
        let paths = |roots: &Roots| {
            [&roots.proc, &roots.sys, &roots.dev, &roots.run, &roots.log].map(PathBuf::clone)
        };
        let usual = ["/proc", "/sys", "/dev", "/run", "/var/log"].map(PathBuf::from);
        assert_eq!(paths(&none), usual);
        assert_eq!(Roots::from_env(|_| Some(String::new())), none);
        let moved = Roots::from_env(|name| Some(format!("/host/{name}")));
        let expect = [
            "HOST_PROC",
            "HOST_SYS",
            "HOST_DEV",
            "HOST_RUN",
            "HOST_VAR_LOG",
        ];
        assert_eq!(
            paths(&moved),
            expect.map(|name| Path::new("/host").join(name))
        );
    }

    #[test]
    fn the_agent_s_own_file_stands_in_for_that_of_process_1() {
        let proc = tempfile::tempdir().unwrap();
        let roots = Roots {
            proc: proc.path().to_owned(),
            ..Roots::from_env(|_| None)
        };
        let own = proc.path().join("self/mountinfo");
        assert_eq!(roots.of_first_process("mountinfo"), own);
        let first = proc.path().join("1/mountinfo");
        std::fs::create_dir(proc.path().join("1")).unwrap();
        std::fs::write(&first, "").unwrap();
        assert_eq!(roots.of_first_process("mountinfo"), first);
        assert_eq!(
            roots.of_node("etc/os-release"),
            proc.path().join("1/root/etc/os-release")
        );
    }
}
