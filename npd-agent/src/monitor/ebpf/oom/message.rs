//! The message about a kill. It uses the kernel's own words, so that people recognise them.

use npd_ebpf::oom::{OomRecord, group, scope};

use crate::kernel_text::oom::KillLine;
use crate::monitor::ebpf::probe::text;
use crate::monitor::ebpf::task::{cgroup_path, comm, place};

/// The line that the kernel prints, and then what the kernel omits.
pub(super) fn message(kill: &OomRecord, page_bytes: u64) -> String {
    let OomRecord { task, .. } = kill;
    // Counters of resident pages may be negative for a moment; the kernel prints that as 0.
    let resident = |pages: i64| u64::try_from(pages).unwrap_or(0).saturating_mul(page_bytes) >> 10;
    let cause = match kill.scope {
        scope::NODE => "Out of memory",
        scope::CGROUP => "Memory cgroup out of memory",
        _ => "Out of memory on the node or in a cgroup",
    };
    let all = match kill.group {
        group::ALONE => "",
        _ => ", with all of its cgroup (memory.oom.group)",
    };
    let line = KillLine {
        cause,
        pid: task.pid,
        comm: &comm(task),
        total_vm: kill.total_vm.saturating_mul(page_bytes) >> 10,
        anon_rss: resident(kill.anon_rss),
        file_rss: resident(kill.file_rss),
        shmem_rss: resident(kill.shmem_rss),
        uid: task.uid,
        page_tables: kill.page_tables >> 10,
        oom_score_adj: kill.oom_score_adj,
    };
    let path = cgroup_path(&task.cgroup);
    let limit = limit(kill, &path, page_bytes);
    format!("{line}{}{all}{limit}{}", place(&path), invoker(kill))
}

/// Which cgroup had reached its limit; empty if it is unknown. `path` is the victim's, in or below it.
fn limit(kill: &OomRecord, path: &str, page_bytes: u64) -> String {
    if kill.limit == 0 {
        return String::new();
    }
    let size = |pages: u64| pages.saturating_mul(page_bytes) >> 10;
    let (limit, usage) = (size(kill.limit), size(kill.usage));
    // A path that was cut off does not begin at the root.
    let whole = kill.task.cgroup.cut == 0 && !path.is_empty();
    let depth = usize::try_from(kill.limited_depth).unwrap_or_default();
    let mut ends = path.match_indices('/').map(|(at, _)| at).skip(depth);
    let end = ends.next().unwrap_or(path.len()).max(1);
    let of = match path.get(..end) {
        Some(path) if whole => format!(" of {path}"),
        _ => String::new(),
    };
    format!(", limit{of}: {limit}kB, used: {usage}kB")
}

/// Who needed the memory; the kernel's words are `NAME invoked oom-killer`.
fn invoker(kill: &OomRecord) -> String {
    let OomRecord {
        invoker,
        invoker_process,
        invoker_comm,
        ..
    } = kill;
    if *invoker == 0 || *invoker_process == kill.task.tgid {
        return String::new();
    }
    format!(", oom-killer invoked by {} ({invoker})", text(invoker_comm))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use zerocopy::FromZeros as _;

    use super::*;
    use crate::monitor::ebpf::task::tests::cgroup;

    fn kill() -> OomRecord {
        let mut kill = OomRecord::new_zeroed();
        kill.task.pid = 1234;
        kill.task.comm[..7].copy_from_slice(b"python3");
        kill.total_vm = 54590;
        kill.anon_rss = 4853;
        kill.file_rss = 1280;
        kill.shmem_rss = -3;
        kill.page_tables = 122_880;
        kill.scope = scope::CGROUP;
        kill
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "reads better in tables")]
    fn check(kill: &OomRecord, expected: Expect) {
        expected.assert_eq(&message(kill, 4096));
    }

    #[test]
    fn reads_like_the_kernels_line() {
        check(
            &kill(),
            expect![
                "Memory cgroup out of memory: Killed process 1234 (python3) total-vm:218360kB, anon-rss:19412kB, file-rss:5120kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0"
            ],
        );
        let mut on_node = kill();
        on_node.scope = scope::NODE;
        on_node.oom_score_adj = -998;
        on_node.task.uid = 1000;
        check(
            &on_node,
            expect![
                "Out of memory: Killed process 1234 (python3) total-vm:218360kB, anon-rss:19412kB, file-rss:5120kB, shmem-rss:0kB, UID:1000 pgtables:120kB oom_score_adj:-998"
            ],
        );
        let mut unknown = kill();
        unknown.scope = 77;
        check(
            &unknown,
            expect![
                "Out of memory on the node or in a cgroup: Killed process 1234 (python3) total-vm:218360kB, anon-rss:19412kB, file-rss:5120kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0"
            ],
        );
    }

    #[test]
    fn says_whose_limit_was_reached_and_who_needed_memory() {
        let mut in_pod = kill();
        in_pod.total_vm = 0;
        in_pod.anon_rss = 0;
        in_pod.file_rss = 0;
        in_pod.task.tgid = 1234;
        in_pod.task.cgroup = cgroup("/kubepods/pod1/web", false);
        (in_pod.limit, in_pod.usage, in_pod.limited_depth) = (25600, 25599, 2);
        in_pod.invoker_comm[..4].copy_from_slice(b"java");
        (in_pod.invoker, in_pod.invoker_process) = (77, 70);
        check(
            &in_pod,
            expect![
                "Memory cgroup out of memory: Killed process 1234 (python3) total-vm:0kB, anon-rss:0kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0, cgroup /kubepods/pod1/web, limit of /kubepods/pod1: 102400kB, used: 102396kB, oom-killer invoked by java (77)"
            ],
        );
        in_pod.limited_depth = 3;
        in_pod.invoker_process = 1234;
        check(
            &in_pod,
            expect![
                "Memory cgroup out of memory: Killed process 1234 (python3) total-vm:0kB, anon-rss:0kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0, cgroup /kubepods/pod1/web, limit of /kubepods/pod1/web: 102400kB, used: 102396kB"
            ],
        );
        in_pod.limited_depth = 0;
        check(
            &in_pod,
            expect![
                "Memory cgroup out of memory: Killed process 1234 (python3) total-vm:0kB, anon-rss:0kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0, cgroup /kubepods/pod1/web, limit of /: 102400kB, used: 102396kB"
            ],
        );
        in_pod.limited_depth = 9;
        check(
            &in_pod,
            expect![
                "Memory cgroup out of memory: Killed process 1234 (python3) total-vm:0kB, anon-rss:0kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0, cgroup /kubepods/pod1/web, limit of /kubepods/pod1/web: 102400kB, used: 102396kB"
            ],
        );
        in_pod.task.cgroup = cgroup("/kubepods/pod1/web", true);
        check(
            &in_pod,
            expect![
                "Memory cgroup out of memory: Killed process 1234 (python3) total-vm:0kB, anon-rss:0kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0, cgroup /…/kubepods/pod1/web, limit: 102400kB, used: 102396kB"
            ],
        );
    }

    #[test]
    fn says_where_the_victim_belongs() {
        let mut in_pod = kill();
        let id = "3f8cbf1f3b7a7a4d2f0a0f2c8a1b8f4e6d7c5b4a39281706f5e4d3c2b1a09f8e";
        let pod = "/kubepods/burstable/pod8dbc75a9-3d26-4e0f-9e6b-2b8f1b6f7c11";
        in_pod.task.cgroup = cgroup(&format!("{pod}/{id}"), false);
        in_pod.group = group::FIRST;
        check(
            &in_pod,
            expect![
                "Memory cgroup out of memory: Killed process 1234 (python3) total-vm:218360kB, anon-rss:19412kB, file-rss:5120kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0, cgroup /kubepods/burstable/pod8dbc75a9-3d26-4e0f-9e6b-2b8f1b6f7c11/3f8cbf1f3b7a7a4d2f0a0f2c8a1b8f4e6d7c5b4a39281706f5e4d3c2b1a09f8e, container 3f8cbf1f3b7a, with all of its cgroup (memory.oom.group)"
            ],
        );
    }
}
