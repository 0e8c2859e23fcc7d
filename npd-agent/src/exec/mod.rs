//! Runs other programs. None of them can block the agent.
//!
//! Starting a program may hang: the kernel returns from `vfork` only after it has read the program's
//! file, and the disk may be broken. So [`Spawner`] starts programs on threads of its own. Ending a
//! program may hang too: SIGKILL has no effect on a process in uninterruptible sleep. So [`run()`] waits
//! until a deadline, kills, waits a moment longer, and then returns what does not die as [`Abandoned`].
//!
//! Every child process of the agent is started here. [`orphans`] relies on this: it reaps all children of
//! the agent's first thread, and these are never programs that were started here.

mod abandoned;
mod cgroup;
pub mod enter_cgroup;
mod limits;
pub mod orphans;
mod program;
mod run;
mod spawn;
#[cfg(test)]
mod tests;

pub use abandoned::Abandoned;
pub use cgroup::{PluginCgroup, PluginCgroups, PluginRuleId};
pub use limits::{LimitReached, ProgramLimits};
pub use program::ExternalProgram;
pub use run::{Finished, RunError, run};
pub use spawn::Spawner;
