//! Where the running kernel keeps what the programs of more than one probe read.

use npd_ebpf::Layout as _;
use npd_ebpf::cgroup::CgroupLayout;
use npd_ebpf::task::TaskLayout;

use super::btf::{Btf, BtfError};
use super::program::{ProgramLayout, bytes};

/// Who a task is.
pub(super) const TASK: ProgramLayout = ProgramLayout {
    global: TaskLayout::GLOBAL,
    read: |btf| Ok(bytes(&task(btf)?)),
};

/// Which cgroup a task is in.
pub(super) const CGROUP: ProgramLayout = ProgramLayout {
    global: CgroupLayout::GLOBAL,
    read: |btf| Ok(bytes(&cgroup(btf)?)),
};

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
        depth: btf.offset("cgroup", "level")?,
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
