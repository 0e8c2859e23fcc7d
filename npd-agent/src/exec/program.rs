//! A program to run.

use super::PluginCgroup;

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalProgram {
    /// A path, or a bare name that is looked up in `$PATH`.
    pub path: String,
    /// Its arguments. No shell interprets them.
    pub args: Vec<String>,
    /// Environment variables, in addition to the agent's own.
    pub env: Vec<(String, String)>,
    /// Its limits.
    pub cgroup: Option<PluginCgroup>,
}
