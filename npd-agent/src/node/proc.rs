//! Facts about the whole machine from `/proc`. The parameter `proc` is its path.
//!
//! `procfs::sys` can only read `/proc/sys` itself, and `KernelStats`, `Meminfo` and others fail completely
//! if a kernel omits one field. Functions here require only the fields that they return.

use std::path::Path;

use anyhow::Context as _;
use procfs::{FromRead as _, VmStat};

use super::files::{read, read_number};
use super::roots::Roots;

/// The kernel's random id of this boot.
pub fn boot_id(proc: &Path) -> Option<String> {
    let id = read(&proc.join("sys/kernel/random/boot_id")).ok()?;
    Some(id.trim().to_owned())
}

/// When the kernel was booted, in seconds since the epoch.
pub fn boot_time(proc: &Path) -> Option<u64> {
    let stat = read(&proc.join("stat")).ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// A setting or a counter in `/proc/sys`, for example `kernel/pid_max`.
pub fn sysctl(proc: &Path, name: &str) -> Option<u64> {
    read_number(&proc.join("sys").join(name))
}

/// How many processes the kernel has killed to free memory; `None` before Linux 4.13, which does not count
/// them.
///
/// # Errors
///
/// If the counters cannot be read.
pub fn oom_kills(proc: &Path) -> anyhow::Result<Option<u64>> {
    let counters = VmStat::from_file(proc.join("vmstat")).context("reading the counters")?;
    let kills = counters.0.get("oom_kill").copied();
    Ok(kills.and_then(|kills| kills.try_into().ok()))
}

/// How many times khungtaskd has found a hung task; counted since Linux 6.13.
pub fn hung_tasks(proc: &Path) -> Option<u64> {
    sysctl(proc, "kernel/hung_task_detect_count")
}

/// The values of `/proc/loadavg`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// The average number of tasks that run or wait uninterruptibly, in the last 1, 5 and 15
    /// minutes.
    pub averages: [f64; 3],
    /// The tasks that exist: processes and threads.
    pub tasks: u64,
}

/// Reads the load. `procfs::LoadAverage` has `f32`, where 2.18 becomes 2.1800000667572.
pub fn load(proc: &Path) -> anyhow::Result<Load> {
    let path = proc.join("loadavg");
    let text = read(&path)?;
    parse_load(&text).with_context(|| format!("reading {}: {text:.80?} is no load", path.display()))
}

/// Parses `0.10 0.20 0.30 2/1234 5678`.
fn parse_load(text: &str) -> Option<Load> {
    let mut words = text.split_whitespace();
    let mut average = || words.next()?.parse().ok();
    let averages = [average()?, average()?, average()?];
    let (_, tasks) = words.next()?.split_once('/')?;
    Some(Load {
        averages,
        tasks: tasks.parse().ok()?,
    })
}

/// The maximum number of tasks. Every thread has an id, and both limits apply.
pub fn task_limit(proc: &Path) -> Option<u64> {
    let limits = ["kernel/pid_max", "kernel/threads-max"].map(|name| sysctl(proc, name));
    limits.into_iter().flatten().min()
}

/// The number of connections that the kernel tracks, and the limit; `None` if the module is not loaded.
///
/// The count is that of the node's network namespace: the first column of the first row under the heading.
/// The sysctl has the count of the reader's own namespace, for example a pod's. The limit is the same for
/// all.
pub fn connections(roots: &Roots) -> Option<(u64, u64)> {
    let limit = sysctl(&roots.proc, "net/netfilter/nf_conntrack_max")?;
    let of_node = || {
        let text = read(&roots.of_first_process("net/stat/nf_conntrack")).ok()?;
        let entries = text.lines().nth(1)?.split_whitespace().next()?;
        u64::from_str_radix(entries, 16).ok()
    };
    let of_reader = || sysctl(&roots.proc, "net/netfilter/nf_conntrack_count");
    Some((of_node().or_else(of_reader)?, limit))
}

/// The number of open files, and the limit. The file has `open unused limit`.
pub fn open_files(proc: &Path) -> Option<(u64, u64)> {
    let text = read(&proc.join("sys/fs/file-nr")).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_proc() {
        let proc = tempfile::tempdir().unwrap();
        assert!(oom_kills(proc.path()).is_err());
        std::fs::write(
            proc.path().join("vmstat"),
            "nr_free 1\noom_kill 7\nother 2\n",
        )
        .unwrap();
        assert_eq!(oom_kills(proc.path()).unwrap(), Some(7));
        std::fs::create_dir_all(proc.path().join("sys/kernel")).unwrap();
        assert_eq!(hung_tasks(proc.path()), None);
        let counter = proc.path().join("sys/kernel/hung_task_detect_count");
        std::fs::write(counter, "3\n").unwrap();
        assert_eq!(hung_tasks(proc.path()), Some(3));
    }

    #[test]
    fn the_load_is_whole_or_none() {
        let load = parse_load("2.18 0.71 0.42 3/1801 5678\n").unwrap();
        assert_eq!(
            load.averages.map(|one| one.to_string()),
            ["2.18", "0.71", "0.42"]
        );
        assert_eq!(load.tasks, 1801);
        for text in [
            "",
            "0.1 0.2 0.3",
            "0.1 0.2 x 1/2 3",
            "0.1 0.2 0.3 12 3",
            "0.1 0.2 0.3 1/-2",
        ] {
            assert_eq!(parse_load(text), None, "{text:?}");
        }
    }

    /// A `/proc` with these files.
    fn proc(files: &[(&str, &str)]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = proc.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        proc
    }

    #[test]
    fn the_boot_has_an_id_and_a_time() {
        let id = "7c1b2c5e-3a0f-4d57-9d3a-0f7f6a3c8f11";
        let proc = proc(&[
            ("sys/kernel/random/boot_id", &format!("{id}\n")),
            (
                "stat",
                "cpu  1 2 3 4\ncpu0 1 2 3 4\nintr 5\nbtime 1764522351\nprocesses 9\n",
            ),
        ]);
        assert_eq!(boot_id(proc.path()).as_deref(), Some(id));
        assert_eq!(boot_time(proc.path()), Some(1_764_522_351));
        let nothing = Path::new("/no/such/proc");
        assert_eq!((boot_id(nothing), boot_time(nothing)), (None, None));
    }

    #[test]
    fn open_files_are_the_first_number_and_the_third() {
        for (text, expect) in [
            (
                "1504\t0\t9223372036854775807\n",
                Some((1504, i64::MAX as u64)),
            ),
            ("1504 0", None),
            ("", None),
            ("x 0 1", None),
        ] {
            let proc = proc(&[("sys/fs/file-nr", text)]);
            assert_eq!(open_files(proc.path()), expect, "{text:?}");
        }
        assert_eq!(open_files(Path::new("/no/such/proc")), None);
    }

    #[test]
    fn the_lower_of_both_limits_counts_for_tasks() {
        let of = |files: &[(&str, &str)]| task_limit(proc(files).path());
        let (pids, threads) = ("sys/kernel/pid_max", "sys/kernel/threads-max");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(pids, "4194304\n")]), Some(4_194_304));
        assert_eq!(
            of(&[(pids, "4194304\n"), (threads, "63446\n")]),
            Some(63_446)
        );
        assert_eq!(of(&[(pids, "32768\n"), (threads, "63446\n")]), Some(32_768));
    }

    /// The table of the node counts, also where the agent is in a network namespace of its own.
    #[test]
    fn connections_are_those_of_the_node() {
        const MAX: (&str, &str) = ("sys/net/netfilter/nf_conntrack_max", "262144\n");
        const OWN: (&str, &str) = ("sys/net/netfilter/nf_conntrack_count", "3\n");
        const TABLE: &str = "entries  clashres found new\n0000012c  0 0 0\n0000012c  0 0 0\n";
        #[track_caller]
        fn check(files: &[(&str, &str)], expect: Option<(u64, u64)>) {
            let proc = proc(files);
            let roots = Roots {
                proc: proc.path().to_owned(),
                ..Roots::from_env(|_| None)
            };
            assert_eq!(connections(&roots), expect, "{files:?}");
        }
        check(&[], None);
        check(&[MAX], None);
        check(&[MAX, OWN], Some((3, 262_144)));
        check(
            &[MAX, OWN, ("1/net/stat/nf_conntrack", TABLE)],
            Some((300, 262_144)),
        );
        check(
            &[MAX, ("self/net/stat/nf_conntrack", TABLE)],
            Some((300, 262_144)),
        );
        check(
            &[MAX, OWN, ("1/net/stat/nf_conntrack", "garbage")],
            Some((3, 262_144)),
        );
        check(&[("1/net/stat/nf_conntrack", TABLE)], None);
    }

    #[test]
    fn a_load_that_cannot_be_read_is_named() {
        let proc = proc(&[("loadavg", "half a load\n")]);
        let error = format!("{:#}", load(proc.path()).unwrap_err());
        let path = proc.path().join("loadavg");
        let expect = format!("reading {}: \"half a load\\n\" is no load", path.display());
        assert_eq!(error, expect);
    }
}
