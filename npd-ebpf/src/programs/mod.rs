//! One file per probe: its records and its programs. Only raw tracepoints are used: they exist since
//! Linux 4.17, need neither a mounted tracefs nor a BTF id, and also work for tracepoints of modules.

#[cfg(target_arch = "bpf")]
#[macro_use]
mod kernel;

pub mod block_error;
pub mod cgroup;
pub mod filesystem;
pub mod hung_task;
pub mod oom;
pub mod pid;
pub mod task;
pub mod writeback_error;
