//! Ways to see which tasks sleep uninterruptibly.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use npd_ebpf::hung_task::SleeperRecord;
use zerocopy::FromBytes as _;

use super::table::SleepingTask;
use crate::monitor::ebpf::load::TaskWalk;
use crate::monitor::ebpf::probe::text;
use crate::node::files::read;
use crate::threads::ThreadPool;

/// How many sleepers a scan returns at most: more than the table holds, so that the table can count
/// what it refuses.
const MAX_FOUND: usize = 16 * 1024;

/// Nanoseconds in the unit of `/proc/PID/stat`, `USER_HZ`, which is 100 for every program.
pub(super) const TICK: u64 = 10_000_000;

/// `PF_FROZEN`: before 6.1 a frozen task sleeps uninterruptibly, on purpose.
const FROZEN: u64 = 0x0001_0000;

/// The namespace that every process is born into, by the number that the kernel gives it
/// (`PROC_PID_INIT_INO`).
const INITIAL_NAMESPACE: &str = "pid:[4026531836]";

/// How the host's tasks are scanned.
pub(super) enum TaskScan {
    /// By an iterator in the kernel: one walk, tens of nanoseconds a task.
    Iterator(TaskWalk),
    /// By every thread in `/proc`: some ten microseconds a thread.
    Proc,
    /// Not at all.
    None,
}

impl TaskScan {
    /// The best possible way, and why there is no better one.
    pub(super) fn best(walk: &Result<TaskWalk, String>, proc: &Path) -> (Self, Option<String>) {
        match in_sight(walk, proc) {
            Ok(walk) => (Self::Iterator(walk), None),
            Err(reason) => Self::without_iterator(proc, &reason),
        }
    }

    /// The best way without the iterator, which cannot be used for this reason.
    pub(super) fn without_iterator(proc: &Path, reason: &str) -> (Self, Option<String>) {
        // The threads of the kernel can be seen only in the initial namespace.
        let second = read(&proc.join("2/comm"));
        if second.is_ok_and(|comm| comm.trim_end() == "kthreadd") {
            return (Self::Proc, Some(format!("no task iterator: {reason}")));
        }
        let reason = "the agent cannot see the host's tasks; set hostPID, or mount the host's \
                      /proc and name it in $HOST_PROC";
        (Self::None, Some(reason.to_owned()))
    }

    /// All tasks that sleep; `None` if they cannot be seen.
    pub(super) async fn all(
        &self,
        proc: &Path,
        threads: &ThreadPool,
    ) -> anyhow::Result<Option<Vec<SleepingTask>>> {
        match self {
            Self::Iterator(walk) => by_iterator(walk).map(Some),
            Self::Proc => {
                let proc = proc.to_path_buf();
                let threads = threads
                    .ready()
                    .context("making a thread to walk through /proc")?;
                let found = threads.run(move || by_proc(&proc)).await;
                Ok(Some(found.context("walking through /proc")??))
            }
            Self::None => Ok(None),
        }
    }

    /// Those of the threads `pids` that sleep; `None` if they cannot be seen.
    pub(super) fn these(
        &self,
        proc: &Path,
        pids: impl Iterator<Item = u32>,
    ) -> Option<Vec<SleepingTask>> {
        if matches!(self, Self::None) {
            return None;
        }
        // Each thread has a folder here, although it is not listed.
        let found = pids.filter_map(|pid| sleeper(&proc.join(pid.to_string())));
        Some(found.collect())
    }
}

/// The walk, if it shows the host's tasks.
fn in_sight(walk: &Result<TaskWalk, String>, proc: &Path) -> Result<TaskWalk, String> {
    let walk = walk.clone()?;
    // It shows the tasks of the reader's pid namespace.
    let namespace = fs::read_link(proc.join("self/ns/pid"));
    if namespace.is_ok_and(|namespace| namespace == Path::new(INITIAL_NAMESPACE)) {
        Ok(walk)
    } else {
        Err("the agent is in a pid namespace of its own".to_owned())
    }
}

fn by_iterator(walk: &TaskWalk) -> anyhow::Result<Vec<SleepingTask>> {
    let mut bytes = Vec::new();
    let limit = (MAX_FOUND * size_of::<SleeperRecord>()) as u64;
    walk.start()?.take(limit).read_to_end(&mut bytes)?;
    let records = bytes.chunks_exact(size_of::<SleeperRecord>());
    let records = records.filter_map(|bytes| SleeperRecord::read_from_bytes(bytes).ok());
    let sleeper = |record: SleeperRecord| SleepingTask {
        pid: record.pid,
        start: record.start / TICK,
        switches: record.switches,
        comm: text(&record.comm),
    };
    Ok(records.map(sleeper).collect())
}

fn by_proc(proc: &Path) -> io::Result<Vec<SleepingTask>> {
    let mut found = Vec::new();
    for process in numbers(proc)? {
        // A process that has gone has no threads.
        for thread in numbers(&process.join("task")).unwrap_or_default() {
            found.extend(sleeper(&thread));
            if found.len() == MAX_FOUND {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// The folders in `folder` that are numbers.
fn numbers(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let is_number = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
    };
    let entries = fs::read_dir(folder)?.filter_map(Result::ok);
    Ok(entries.filter(is_number).map(|e| e.path()).collect())
}

/// The thread with the folder `thread`, if it sleeps uninterruptibly. `procfs` panics on a line that
/// is cut short, and parses fifty fields of each thread that is awake.
fn sleeper(thread: &Path) -> Option<SleepingTask> {
    let stat = read(&thread.join("stat")).ok()?;
    // `PID (NAME) STATE …`, where the name may contain anything.
    let (begin, rest) = stat.rsplit_once(')')?;
    let (pid, comm) = begin.split_once(" (")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc(5) counts from the number, which is 1; here the state, which is 3, comes first.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    if fields.first() != Some(&"D") || number(9)? & FROZEN != 0 {
        return None;
    }
    Some(SleepingTask {
        pid: pid.parse().ok()?,
        start: number(22)?,
        switches: switches(thread)?,
        comm: comm.to_owned(),
    })
}

/// How often it was taken off its processor. `procfs` wants some thirty other fields beside these two.
fn switches(thread: &Path) -> Option<u64> {
    let status = read(&thread.join("status")).ok()?;
    let counter = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    let voluntary = counter("voluntary_ctxt_switches:")?;
    Some(voluntary.wrapping_add(counter("nonvoluntary_ctxt_switches:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread as `/proc` shows it.
    fn thread(folder: &Path, pid: u32, comm: &str, state: &str, flags: u64) {
        fs::create_dir_all(folder).unwrap();
        let stat = format!(
            "{pid} ({comm}) {state} 1 {pid} {pid} 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n"
        );
        let status = format!(
            "Name:\t{comm}\nState:\t{state}\n\
             voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"
        );
        fs::write(folder.join("stat"), stat).unwrap();
        fs::write(folder.join("status"), status).unwrap();
    }

    fn asleep(pid: u32, comm: &str) -> SleepingTask {
        SleepingTask {
            pid,
            start: 4711,
            switches: 15,
            comm: comm.to_owned(),
        }
    }

    #[test]
    fn every_thread_is_scanned() {
        let proc = tempfile::tempdir().unwrap();
        let at = |path: &str| proc.path().join(path);
        thread(&at("10/task/10"), 10, "main", "S", 0);
        thread(&at("10/task/11"), 11, "wor) D (ker", "D", 0x40);
        thread(&at("20/task/20"), 20, "frozen", "D", 0x0001_0040);
        thread(&at("30/task/30"), 30, "kworker/u8:1", "I", 0);
        thread(&at("sys/task/40"), 40, "no process", "D", 0);
        fs::create_dir_all(at("50")).unwrap();
        fs::create_dir_all(at("60/task/60")).unwrap();
        fs::write(at("60/task/60/stat"), "60 (cut").unwrap();
        assert_eq!(by_proc(proc.path()).unwrap(), [asleep(11, "wor) D (ker")]);
    }

    #[test]
    fn threads_are_found_by_number() {
        let proc = tempfile::tempdir().unwrap();
        thread(&proc.path().join("11"), 11, "worker", "D", 0);
        thread(&proc.path().join("12"), 12, "worker", "R", 0);
        let found = TaskScan::Proc
            .these(proc.path(), [11, 12, 13].into_iter())
            .unwrap();
        assert_eq!(found, [asleep(11, "worker")]);
    }

    #[test]
    fn without_the_hosts_tasks_it_says_that() {
        let proc = tempfile::tempdir().unwrap();
        let scan = || TaskScan::best(&Err("no BPF".to_owned()), proc.path());
        assert!(matches!(scan(), (TaskScan::None, Some(_))));
        fs::create_dir(proc.path().join("2")).unwrap();
        fs::write(proc.path().join("2/comm"), "nginx\n").unwrap();
        assert!(matches!(scan(), (TaskScan::None, Some(_))));
        fs::write(proc.path().join("2/comm"), "kthreadd\n").unwrap();
        assert!(matches!(scan(), (TaskScan::Proc, Some(_))));
    }

    #[test]
    fn without_proc_it_says_so() {
        assert!(by_proc("/nowhere".as_ref()).is_err());
    }
}
