//! `mm/oom_kill.c`: `Memory cgroup out of memory: Killed process 123 (name) total-vm:…`, the same
//! from 4.19 to 6.18.

use std::fmt;

use super::Wording;

/// A kill is known by the number of the thread that was chosen, in the initial pid namespace.
pub const WORDING: Wording = Wording {
    probe: "oom",
    key,
    once: true,
    cgroup: Some(victim),
    fs_types: None,
};

fn key(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("Killed process ")?;
    let (pid, _) = rest.split_once(" (")?;
    let pid: u32 = pid.parse().ok()?;
    Some(pid.to_string())
}

/// The line before that of the kill names the memory cgroup of the thread that was chosen
/// (`mem_cgroup_print_oom_context` in `mm/memcontrol.c`, since 5.0).
fn victim(line: &str) -> Option<(String, &str)> {
    let (_, rest) = line.split_once("oom-kill:constraint=")?;
    // The thread's name is its own choice, and comes before its number.
    let (rest, _uid) = rest.rsplit_once(",uid=")?;
    let (rest, pid) = rest.rsplit_once(",pid=")?;
    let (_, rest) = rest.split_once(",task_memcg=")?;
    let (path, _name) = rest.split_once(",task=")?;
    let pid: u32 = pid.parse().ok()?;
    Some((pid.to_string(), path))
}

/// The kernel's line about a process that it has killed, and its figures. Sizes are in KiB.
#[derive(Clone, Copy, Debug)]
pub struct KillLine<'a> {
    /// Whose memory was exhausted, for example `Memory cgroup out of memory`.
    pub cause: &'a str,
    /// The number of the thread that was chosen.
    pub pid: u32,
    /// Its name.
    pub comm: &'a str,
    /// The size of its address space.
    pub total_vm: u64,
    /// Its resident anonymous memory.
    pub anon_rss: u64,
    /// Its resident file memory.
    pub file_rss: u64,
    /// Its resident shared memory.
    pub shmem_rss: u64,
    /// The user id in the initial user namespace.
    pub uid: u32,
    /// Its page tables.
    pub page_tables: u64,
    /// Its `oom_score_adj`.
    pub oom_score_adj: i32,
}

impl fmt::Display for KillLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: Killed process {} ({}) total-vm:{}kB, anon-rss:{}kB, file-rss:{}kB, \
             shmem-rss:{}kB, UID:{} pgtables:{}kB oom_score_adj:{}",
            self.cause,
            self.pid,
            self.comm,
            self.total_vm,
            self.anon_rss,
            self.file_rss,
            self.shmem_rss,
            self.uid,
            self.page_tables,
            self.oom_score_adj,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_text::{check, subject};

    #[test]
    fn an_oom_kill_is_about_its_victim() {
        check(&[
            (
                "Memory cgroup out of memory: Killed process 4242 (python3) total-vm:212404kB, anon-rss:18964kB, file-rss:5376kB, shmem-rss:0kB, UID:0 pgtables:84kB oom_score_adj:0",
                Some("oom 4242"),
            ),
            ("Out of memory: Killed process 7 (a) b)", Some("oom 7")),
            ("Killed process x (a)", None),
            ("Killed process 99999999999 (a)", None),
        ]);
    }

    #[test]
    fn the_line_before_names_the_victims_cgroup() {
        let line = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b c,task=x,pid=1,pid=4242,uid=0";
        assert_eq!(victim(line), Some(("4242".to_owned(), "/a/b c")));
        assert_eq!(victim("oom-kill:constraint=CONSTRAINT_NONE"), None);
        assert_eq!(victim("Out of memory: Killed process 7 (a)"), None);
    }

    #[test]
    fn our_line_is_understood_as_the_kernels() {
        let line = KillLine {
            cause: "Out of memory",
            pid: 77,
            comm: "a) b",
            total_vm: 4,
            anon_rss: 3,
            file_rss: 2,
            shmem_rss: 1,
            uid: 0,
            page_tables: 1,
            oom_score_adj: -998,
        };
        let subject = subject(&line.to_string()).unwrap();
        assert_eq!(subject.to_string(), "oom 77");
    }
}
