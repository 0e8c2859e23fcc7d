//! Fills in the [`Layout`] of the running kernel.

use npd_ebpf::layout::{
    CgroupLayout, FilesystemLayout, Layout, MemoryLayout, PidLayout, TaskLayout,
};
use tracing::info;

use super::btf::{Btf, BtfError};

/// Where the kernel described by `btf` keeps what the programs read. Fails if it lacks what no
/// record makes sense without; the cgroup and the memory figures may be missing.
pub(super) fn read(btf: &Btf<'_>) -> Result<Layout, BtfError> {
    Ok(Layout {
        task: task(btf)?,
        cgroup: or_without("cgroup", cgroup(btf)),
        memory: or_without("memory", memory(btf)),
        pid: pid(btf)?,
        filesystem: FilesystemLayout {
            device: btf.offset("super_block", "s_dev")?,
            name: btf.offset("super_block", "s_id")?,
        },
        has_snprintf: btf.enumerator("BPF_FUNC_snprintf").is_ok().into(),
    })
}

/// The offset of `xfs_mount.m_super`, in the BTF of the kernel or of the module.
pub(super) fn xfs_super(btf: &Btf<'_>) -> Result<u32, BtfError> {
    btf.offset("xfs_mount", "m_super")
}

fn or_without<T: Default>(what: &str, layout: Result<T, BtfError>) -> T {
    layout.unwrap_or_else(|error| {
        let error = error.to_string();
        info!(what, error, "Kernel records will lack something");
        T::default()
    })
}

fn task(btf: &Btf<'_>) -> Result<TaskLayout, BtfError> {
    let at = |member| btf.offset("task_struct", member);
    Ok(TaskLayout {
        pid: at("pid")?,
        tgid: at("tgid")?,
        comm: at("comm")?,
        start: at("start_boottime")?,
        cred: at("real_cred")?,
        cred_uid: btf.offset("cred", "uid")?,
        flags: at("flags")?,
        // Renamed in 5.14 when it became 32 bits.
        state: at("__state").or_else(|_| at("state"))?,
        voluntary_switches: at("nvcsw")?,
        involuntary_switches: at("nivcsw")?,
    })
}

fn cgroup(btf: &Btf<'_>) -> Result<CgroupLayout, BtfError> {
    let default = btf.offset("css_set", "dfl_cgrp")?;
    // Without a memory controller there is no such number.
    let memory = btf
        .enumerator("memory_cgrp_id")
        .and_then(|number| btf.offset("css_set", &format!("subsys.{number}")));
    Ok(CgroupLayout {
        known: 1,
        css_set: btf.offset("task_struct", "cgroups")?,
        default,
        has_memory: memory.is_ok().into(),
        memory: memory.unwrap_or(default),
        css_cgroup: btf.offset("cgroup_subsys_state", "cgroup")?,
        css_parent: btf.offset("cgroup_subsys_state", "parent")?,
        oom_group: oom_group(btf).unwrap_or_default(),
        root: btf.offset("cgroup", "root")?,
        node: btf.offset("cgroup", "kn")?,
        node_id: btf.offset("kernfs_node", "id")?,
        // Renamed in 6.15.
        node_parent: btf
            .offset("kernfs_node", "__parent")
            .or_else(|_| btf.offset("kernfs_node", "parent"))?,
        node_name: btf.offset("kernfs_node", "name")?,
    })
}

fn oom_group(btf: &Btf<'_>) -> Result<u32, BtfError> {
    let css = btf.offset("mem_cgroup", "css")?;
    Ok(btf.offset("mem_cgroup", "oom_group")?.wrapping_sub(css))
}

fn memory(btf: &Btf<'_>) -> Result<MemoryLayout, BtfError> {
    // An array of counters since 6.2, before that a struct around an array of numbers.
    let resident = |kind: &str| {
        let kind = btf.enumerator(kind)?;
        btf.offset("mm_struct", &format!("rss_stat.{kind}.count"))
            .or_else(|_| btf.offset("mm_struct", &format!("rss_stat.count.{kind}")))
    };
    Ok(MemoryLayout {
        known: 1,
        mm: btf.offset("task_struct", "mm")?,
        total_vm: btf.offset("mm_struct", "total_vm")?,
        page_tables: btf.offset("mm_struct", "pgtables_bytes")?,
        file: resident("MM_FILEPAGES")?,
        anon: resident("MM_ANONPAGES")?,
        shmem: resident("MM_SHMEMPAGES")?,
        signal: btf.offset("task_struct", "signal")?,
        oom_score_adj: btf.offset("signal_struct", "oom_score_adj")?,
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
