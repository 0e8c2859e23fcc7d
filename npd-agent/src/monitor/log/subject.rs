//! What a line of the kernel's log is about, so that a probe that saw the same is not contradicted.

use crate::problem::Subject;

/// The subject of `text`, if it is one that a probe watches. The wording is that of
/// `mm/oom_kill.c`, `kernel/hung_task.c`, `fs/ext4/super.c` and `fs/xfs/xfs_message.c`, which has
/// stayed the same from 4.19 to 6.18.
pub(super) fn of(text: &str) -> Option<Subject> {
    text.lines().find_map(|line| {
        killed(line)
            .or_else(|| hung(line))
            .or_else(|| filesystem(line))
    })
}

/// `Memory cgroup out of memory: Killed process 123 (name) total-vm:…`
fn killed(line: &str) -> Option<Subject> {
    let (_, rest) = line.split_once("Killed process ")?;
    let (pid, _) = rest.split_once(" (")?;
    Some(Subject::OomKill(pid.parse().ok()?))
}

/// `INFO: task jbd2/vda1-8:123 blocked for more than 120 seconds.` The name may hold anything, so
/// the id is what follows its last colon.
fn hung(line: &str) -> Option<Subject> {
    let (_, rest) = line.split_once("task ")?;
    let (task, _) = rest.split_once(" blocked for more than ")?;
    let (_, pid) = task.rsplit_once(':')?;
    Some(Subject::Task(pid.parse().ok()?))
}

/// `EXT4-fs error (device vda1): …`, `EXT4-fs (vda1): Remounting filesystem read-only`,
/// `XFS (dm-0): …`
fn filesystem(line: &str) -> Option<Subject> {
    let rest = match line.split_once("EXT4-fs") {
        Some((_, rest)) => {
            let (head, rest) = rest.split_once('(')?;
            let known = [" ", " error ", " warning ", " critical "];
            if !known.contains(&head) {
                return None;
            }
            rest.strip_prefix("device ").unwrap_or(rest)
        }
        None => line.split_once("XFS (")?.1,
    };
    let device = &rest[..rest.find([')', ' '])?];
    (!device.is_empty()).then(|| Subject::Filesystem(device.to_owned()))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &Expect) {
        expect.assert_eq(&format!("{:?}", of(text)));
    }

    #[test]
    fn an_oom_kill_is_about_its_victim() {
        check(
            "Memory cgroup out of memory: Killed process 4242 (python3) total-vm:212404kB, anon-rss:18964kB, file-rss:5376kB, shmem-rss:0kB, UID:0 pgtables:84kB oom_score_adj:0",
            &expect!["Some(OomKill(4242))"],
        );
        check(
            "Out of memory: Killed process 7 (a) b)",
            &expect!["Some(OomKill(7))"],
        );
        check("Killed process x (a)", &expect!["None"]);
        check("Killed process 99999999999 (a)", &expect!["None"]);
    }

    #[test]
    fn a_hung_task_is_about_its_thread() {
        check(
            "INFO: task touch:311 blocked for more than 4 seconds.",
            &expect!["Some(Task(311))"],
        );
        check(
            "INFO: task jbd2/vda1-8:12 blocked for more than 122 seconds.",
            &expect!["Some(Task(12))"],
        );
        check(
            "INFO: task a task: b:5 blocked for more than 122 seconds.",
            &expect!["Some(Task(5))"],
        );
        check(
            "INFO: task x:yz blocked for more than 1 seconds.",
            &expect!["None"],
        );
    }

    #[test]
    fn a_filesystem_is_named_by_its_device() {
        for text in [
            "EXT4-fs error (device dm-0): ext4_lookup:1855: inode #2: comm ls: deleted inode",
            "EXT4-fs (dm-0): Remounting filesystem read-only",
            "EXT4-fs warning (device dm-0): ext4_dirblock_csum_verify:374",
            "EXT4-fs (dm-0 -): error",
            "XFS (dm-0): Shutting down filesystem.",
            "XFS (dm-0): User initiated shutdown received.\nXFS (dm-0): Shutting down filesystem.",
        ] {
            check(text, &expect![[r#"Some(Filesystem("dm-0"))"#]]);
        }
        check("EXT4-fs: Warning: mounting (x)", &expect!["None"]);
        check("EXT4-fs ()", &expect!["None"]);
        check("Remounting filesystem read-only", &expect!["None"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            head in "(Killed process |task |EXT4-fs |XFS \\()?",
            rest in ".{0,40}",
        ) {
            let _subject = of(&(head + &rest));
        }
    }
}
