//! Running other programs in a way that cannot hold the agent up.
//!
//! Starting a program may hang: the kernel returns from `vfork` only when the new program's file
//! has been read, and the disk may be the very thing that is sick. So [`Spawner`] starts programs
//! on threads of its own. Ending one may hang as well: SIGKILL does nothing to a process in
//! uninterruptible sleep. So [`run()`] waits until a deadline, kills, waits a moment more, and then
//! hands back what does not die as [`Abandoned`].
//!
//! Every child process of the agent is started here. [`orphans`] relies on that: it reaps whatever
//! the agent's first thread is the parent of, and only strangers are.

mod abandoned;
mod bounds;
pub mod enter;
pub mod orphans;
mod program;
mod run;
mod spawn;
#[cfg(test)]
mod tests;

pub use abandoned::Abandoned;
pub use bounds::{Bounds, PluginCgroup};
pub use program::ExternalProgram;
pub use run::{Finished, RunError, run};
pub use spawn::Spawner;
