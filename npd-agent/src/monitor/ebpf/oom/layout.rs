//! Where the running kernel keeps what the program of this probe reads.

use npd_ebpf::Layout as _;
use npd_ebpf::oom::OomLayout;
use npd_ebpf::pid::PidLayout;
use tracing::info;

use crate::monitor::ebpf::btf::{Btf, BtfError};
use crate::monitor::ebpf::program::{ProgramLayout, bytes};

/// The way from a victim's number to its task, for kernels whose tracepoint gets only the number.
pub(super) const PID: ProgramLayout = ProgramLayout {
    global: PidLayout::GLOBAL,
    read: |btf| Ok(bytes(&pid(btf)?)),
};

/// The fields that say why a victim was killed, and how much memory it had.
pub(super) const OOM: ProgramLayout = ProgramLayout {
    global: OomLayout::GLOBAL,
    read: |btf| Ok(bytes(&oom(btf))),
};

fn oom(btf: &Btf<'_>) -> OomLayout {
    let figures = memory(btf).unwrap_or_else(|error| {
        let error = error.to_string();
        info!(
            error,
            "OOM kills are reported without the memory of the victim"
        );
        OomLayout::default()
    });
    let layout = OomLayout {
        has_snprintf: btf.enumerator("BPF_FUNC_snprintf").is_ok().into(),
        ..figures
    };
    // Without a memory controller, no cgroup has a limit.
    with_limit(btf, layout).unwrap_or(layout)
}

/// Adds the way to the limit of a memory cgroup.
fn with_limit(btf: &Btf<'_>, layout: OomLayout) -> Result<OomLayout, BtfError> {
    let css = btf.offset("mem_cgroup", "css")?;
    let from_css = |member| Ok(btf.offset("mem_cgroup", member)?.wrapping_sub(css));
    Ok(OomLayout {
        limit_known: 1,
        usage: from_css("memory.usage")?,
        limit: from_css("memory.max")?,
        ..layout
    })
}

/// The way to the figures of a victim's memory.
fn memory(btf: &Btf<'_>) -> Result<OomLayout, BtfError> {
    // An array of counters since 6.2, before that a struct around an array of numbers.
    let resident = |kind: &str| {
        let kind = btf.enumerator(kind)?;
        btf.offset("mm_struct", &format!("rss_stat.{kind}.count"))
            .or_else(|_| btf.offset("mm_struct", &format!("rss_stat.count.{kind}")))
    };
    Ok(OomLayout {
        memory_known: 1,
        mm: btf.offset("task_struct", "mm")?,
        total_vm: btf.offset("mm_struct", "total_vm")?,
        page_tables: btf.offset("mm_struct", "pgtables_bytes")?,
        file: resident("MM_FILEPAGES")?,
        anon: resident("MM_ANONPAGES")?,
        shmem: resident("MM_SHMEMPAGES")?,
        signal: btf.offset("task_struct", "signal")?,
        oom_score_adj: btf.offset("signal_struct", "oom_score_adj")?,
        ..OomLayout::default()
    })
}

fn pid(btf: &Btf<'_>) -> Result<PidLayout, BtfError> {
    if btf.tracepoint_takes("mark_victim", 0, "task_struct")? {
        return Ok(PidLayout::default());
    }
    Ok(PidLayout {
        needed: 1,
        thread_pid: btf.offset("task_struct", "thread_pid")?,
        namespace: btf.offset("pid", "numbers.0.ns")?,
        head: btf.offset("pid_namespace", "idr.idr_rt.xa_head")?,
        node_shift: btf.offset("xa_node", "shift")?,
        node_slots: btf.offset("xa_node", "slots")?,
        node_mask: btf.array_length("xa_node", "slots")?.saturating_sub(1),
        first_task: btf.offset("pid", "tasks.0.first")?,
        link: btf.offset("task_struct", "pid_links.0")?,
    })
}
