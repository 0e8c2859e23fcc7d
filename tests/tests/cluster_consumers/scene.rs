//! A Node whose conditions an agent writes and whose consumers act.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::cluster::{ApiServer, Lab, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Fault;
use crate::consumers::{CONSUMERS, Consumer, Deed};
use crate::watch::{Crowd, Entry};

/// How long nobody may do anything before that counts as nothing: longer than any consumer tolerates.
const QUIET: Duration = Duration::from_secs(3);

/// What the agent publishes: three conditions, and two aliases of them.
const CONDITIONS: [&str; 5] = [
    "KernelDeadlock",
    "ReadonlyFilesystem",
    "NTPProblem",
    "KernelReady",
    "StorageReady",
];

/// The names that Karpenter reads.
pub(crate) const ALIASES: &str = "--config.condition-aliases=builtin:aliases/eks.json";

/// The agent's folder of state, below the one that it is started in.
const STATE: &str = "state";

pub(crate) struct Scene {
    pub(crate) agent: Agent,
    pub(crate) server: ApiServer,
    pub(crate) lab: Lab,
    crowd: Crowd,
    flags: Vec<String>,
    _dir: TempDir,
}

impl Scene {
    /// Starts an API server, the consumers, and the agent with its probes, for which the file system on
    /// `mount_point` matters, and with a plugin.
    pub(crate) fn new(mount_point: &Path, plugin: &Value) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let server = ApiServer::start(dir.path())?;
        let lab = Lab::new(&server.client)?;
        let probes = lab.write("ebpf.json", &probes(mount_point)?.to_string())?;
        let plugin = lab.write("plugin.json", &plugin.to_string())?;
        let flags = vec![
            format!("--config.ebpf-monitor={}", probes.display()),
            format!("--config.custom-plugin-monitor={}", plugin.display()),
            ALIASES.to_owned(),
        ];
        let crowd = Crowd::start(&server.client, &lab.node)?;
        let scene = Self {
            agent: start(&lab, &flags, STATE)?,
            server,
            lab,
            crowd,
            flags,
            _dir: dir,
        };
        scene.settle()?;
        Ok(scene)
    }

    /// What was done since `seen` deeds.
    pub(crate) fn deeds(&self, seen: usize) -> Vec<Entry> {
        self.crowd.deeds().split_off(seen)
    }

    pub(crate) fn seen(&self) -> usize {
        self.crowd.deeds().len()
    }

    /// Waits until each consumer of what `faults` set has done `deed`, once, and nobody anything else.
    pub(crate) fn expect(&self, seen: usize, deed: Deed, faults: &[Fault]) -> anyhow::Result<()> {
        let expected = readers(deed, faults);
        eventually(PATIENCE, || {
            let deeds = sorted(self.deeds(seen));
            ensure!(deeds.len() >= expected.len(), "{deeds:?} of {expected:?}");
            Ok(())
        })?;
        sleep(QUIET);
        let deeds = sorted(self.deeds(seen));
        ensure!(deeds == expected, "{deeds:?} instead of {expected:?}");
        Ok(())
    }

    /// Makes sure that nobody has done anything, and that nobody is about to.
    pub(crate) fn expect_nothing(&self, seen: usize) -> anyhow::Result<()> {
        sleep(QUIET);
        let deeds = self.deeds(seen);
        ensure!(deeds.is_empty(), "{deeds:?}");
        Ok(())
    }

    /// Waits until the agent's conditions are on the Node, and nobody does anything.
    fn settle(&self) -> anyhow::Result<()> {
        for r#type in CONDITIONS {
            eventually(PATIENCE, || self.lab.condition(r#type))?;
        }
        eventually(PATIENCE, || {
            let seen = self.seen();
            sleep(QUIET);
            ensure!(self.seen() == seen, "{:?}", self.deeds(seen));
            Ok(())
        })
    }

    /// Kills the agent with SIGKILL.
    pub(crate) fn kill_agent(&mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.agent.id().cast_signed());
        kill(pid, Signal::SIGKILL).context("killing the agent")
    }

    /// Starts another agent in place of the one that has ended, with further flags.
    pub(crate) fn start_again(&mut self, flags: &[&str]) -> anyhow::Result<()> {
        let further = flags.iter().map(|&flag| flag.to_owned());
        let flags: Vec<_> = self.flags.iter().cloned().chain(further).collect();
        self.agent = start(&self.lab, &flags, STATE)?;
        wait_for(&self.agent)
    }

    /// Starts one more agent for the same Node, with a state of its own.
    pub(crate) fn start_second(&self) -> anyhow::Result<Agent> {
        start(&self.lab, &self.flags, "second")
    }

    /// The agent's folder of state.
    pub(crate) fn state(&self) -> PathBuf {
        self.lab.folder().join(STATE)
    }
}

/// The shipped config of the probes, for which the file system on `mount_point` matters.
pub(crate) fn probes(mount_point: &Path) -> anyhow::Result<Value> {
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/config/ebpf-monitor.json"
    );
    let shipped = fs::read_to_string(shipped).context("reading the shipped config")?;
    let mut config: Value = serde_json::from_str(&shipped)?;
    let rules = config["rules"].as_array_mut().context("no rules")?;
    for rule in rules {
        if let Some(mount_points) = rule.get_mut("mountPoints") {
            *mount_points = json!([mount_point]);
        }
    }
    Ok(config)
}

fn start(lab: &Lab, flags: &[String], state: &str) -> anyhow::Result<Agent> {
    let state = format!("--state-dir={state}");
    let flags = flags.iter().map(String::as_str).chain([&*state]);
    lab.start_with(&flags.collect::<Vec<_>>())
}

/// The deeds of all who read what `faults` set.
fn readers(deed: Deed, faults: &[Fault]) -> Vec<Entry> {
    let sets = |condition: &&&str| {
        faults
            .iter()
            .any(|fault| fault.conditions.contains(*condition))
    };
    let of = |consumer: &Consumer| {
        let name = consumer.name;
        let read = consumer.reads.iter().filter(|read| sets(read));
        read.map(move |&condition| (name, condition, deed))
            .collect::<Vec<_>>()
    };
    sorted(CONSUMERS.iter().flat_map(of).collect())
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_unstable();
    entries
}

/// Waits until an agent knows every condition.
pub(crate) fn wait_for(agent: &Agent) -> anyhow::Result<()> {
    agent.wait_until("all conditions", PATIENCE, || {
        let page = agent.page("/conditions")?;
        let known = page.as_array().map_or(0, Vec::len);
        Ok((known == CONDITIONS.len()).then_some(()))
    })
}
