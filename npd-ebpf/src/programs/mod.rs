//! One probe a file: its records, and its programs. Raw tracepoints only: they exist since 4.17,
//! need neither a mounted tracefs nor a BTF id, and see modules as they see the kernel proper.

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
