//! What the agent can be asked to run.

use super::bounds::PluginCgroup;

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalProgram {
    /// A path, or a bare name that is looked up in `$PATH`.
    pub path: String,
    /// Its arguments, as they are: no shell sees them.
    pub args: Vec<String>,
    /// What its environment has beyond the agent's own.
    pub env: Vec<(String, String)>,
    /// What bounds it.
    pub cgroup: Option<PluginCgroup>,
}
