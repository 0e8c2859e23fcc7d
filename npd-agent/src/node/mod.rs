//! The machine that the agent watches. All kernel files about it are read here.
//!
//! The crate `procfs` parses what it can. Where it cannot, the reason is next to our parser.

pub mod roots;

pub mod files;

pub mod block;
pub mod cgroup;
pub mod mountinfo;
pub mod pod_names;
pub mod proc;

pub mod clock;
pub mod random;

use anyhow::Context;

pub use self::roots::Roots;

/// The machine that the agent watches.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name of its Node object.
    pub name: String,
    /// Where its kernel file systems are mounted.
    pub roots: Roots,
    /// The kernel's random id of this boot; empty if it cannot be read.
    pub boot_id: String,
}

impl Node {
    /// Describes the machine. `hostname_override` is the flag; see [`name`].
    pub fn new(
        hostname_override: &str,
        var: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let roots = Roots::from_env(&var);
        let boot_id = proc::boot_id(&roots.proc).unwrap_or_default();
        Ok(Self {
            name: name(hostname_override, var)?,
            roots,
            boot_id,
        })
    }
}

/// The name of the machine's Node object: that of the flag, else `$NODE_NAME`, else the host name,
/// as in NPD.
pub fn name(
    hostname_override: &str,
    var: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<String> {
    let chosen = Some(hostname_override.to_owned()).filter(|name| !name.is_empty());
    if let Some(name) = chosen.or_else(|| var("NODE_NAME").filter(|name| !name.is_empty())) {
        return Ok(name);
    }
    let name = nix::unistd::gethostname().context("reading the host name")?;
    name.into_string()
        .map_err(|name| anyhow::anyhow!("the host name {} is not UTF-8", name.display()))
}
