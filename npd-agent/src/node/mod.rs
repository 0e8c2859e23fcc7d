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

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_flag_names_the_node_before_the_environment() {
        #[track_caller]
        fn check(flag: &str, variable: Option<&str>, expect: Option<&str>) {
            let var = |name: &str| {
                assert_eq!(name, "NODE_NAME");
                variable.map(str::to_owned)
            };
            let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
            assert_eq!(name(flag, var).unwrap(), expect.unwrap_or(&host));
        }
        check("flag", Some("variable"), Some("flag"));
        check("flag", None, Some("flag"));
        check("", Some("variable"), Some("variable"));
        check("", Some(""), None);
        check("", None, None);
    }

    #[test]
    fn a_node_without_a_boot_id_is_still_one() {
        let var = |name: &str| (name == "HOST_PROC").then(|| "/no/such/proc".to_owned());
        let node = Node::new("n1", var).unwrap();
        assert_eq!((&*node.name, &*node.boot_id), ("n1", ""));
    }

    /// Machines of several kernels, as `tests/fixtures/stats` has recorded them.
    #[test]
    fn recorded_machines_are_read_whole() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/stats");
        for machine in ["guest-6.1", "guest-6.12", "vm-6.18"] {
            let proc = Path::new(folder).join(machine).join("proc");
            assert!(proc::load(&proc).unwrap().tasks > 0, "{machine}");
            assert!(proc::boot_time(&proc) > Some(1_600_000_000), "{machine}");
            assert!(proc::oom_kills(&proc).unwrap().is_some(), "{machine}");
            assert!(proc::task_limit(&proc).is_some(), "{machine}");
            let (open, limit) = proc::open_files(&proc).unwrap();
            assert!(open < limit, "{machine}");
            let table = std::fs::File::open(proc.join("1/mountinfo")).unwrap();
            let mut mounts = 0;
            let more = mountinfo::read_mounts(BufReader::new(table), 1000, |mount| {
                assert!(mount.is_some(), "{machine}: line {mounts}");
                mounts += 1;
            });
            assert!(!more.unwrap() && mounts > 5, "{machine}: {mounts} mounts");
        }
    }
}
