//! `--config.custom-plugin-monitor`: runs the user's programs at intervals and reports their results.
//!
//! A plugin's exit code says whether there is a problem (0 no, 1 yes, else unknown), and its standard
//! output is the message. Every config file and script that was written for NPD works.
//!
//! A plugin cannot delay another rule or the agent: [`crate::exec`] says how a program is run and given
//! up, and [`schedule`] when each rule runs. It cannot see a problem that comes and goes between two
//! runs.

mod config;
mod histories;
mod limits;
mod result;
mod schedule;
mod threshold;

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use self::config::{CheckedPluginConfig, PluginRule};
use self::histories::{EndedRun, Histories};
use self::result::OUTPUT_KEPT;
use self::schedule::Schedule;
use super::{ConfigFile, Declaration, Monitor, MonitorKind, Monitors, Task};
use crate::exec::{self, Abandoned, PluginCgroup, PluginCgroups, PluginRuleId, RunError, Spawner};
use crate::go::json::ConfigProblem;
use crate::node::random;
use crate::problem::Forever;
use crate::reporter::Reporter;

/// The kind of monitor.
pub const KIND: MonitorKind = MonitorKind {
    flag: "--config.custom-plugin-monitor",
    deprecated: Some("--custom-plugin-monitors"),
    help: "Config files of custom plugin monitors, which run your own programs",
    load,
};

/// How many runs of a rule may survive SIGKILL before the rule is no longer started. One more run would
/// only hang too.
const MAX_ABANDONED: usize = 3;

/// Runs the rules of one config file.
struct PluginMonitor {
    config: CheckedPluginConfig,
    spawner: Spawner,
    cgroups: SharedCgroups,
}

/// The cgroups of all files, made when the first file is watched. `None` if the agent may not make
/// cgroups.
type SharedCgroups = Arc<OnceLock<Option<PluginCgroups>>>;

fn load(files: &[ConfigFile], problems: &mut Vec<ConfigProblem>) -> anyhow::Result<Monitors> {
    let spawner = Spawner::default();
    let cgroups = SharedCgroups::default();
    let mut monitor = |file| -> anyhow::Result<Box<dyn Monitor>> {
        Ok(Box::new(PluginMonitor {
            config: config::load(file, problems)?,
            spawner: spawner.clone(),
            cgroups: Arc::clone(&cgroups),
        }))
    };
    files.iter().map(&mut monitor).collect()
}

impl Monitor for PluginMonitor {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn declarations(&self) -> Vec<Declaration> {
        vec![self.config.declaration.clone()]
    }

    fn run<'a>(&'a mut self, reporter: &'a Reporter) -> Task<'a> {
        let cgroups = self.cgroups.get_or_init(claim_cgroups).as_ref();
        limit(&mut self.config, cgroups);
        Box::pin(watch(&self.config, &self.spawner, reporter))
    }
}

fn claim_cgroups() -> Option<PluginCgroups> {
    // /proc of the agent's own pid namespace, not the node's: this is about the agent itself.
    let cgroups = PluginCgroups::claim(Path::new("/proc"));
    if let Err(error) = &cgroups {
        info!(
            error = format!("{error:#}"),
            "Plugins run without their own limits"
        );
    }
    cgroups.ok()
}

/// Gives each rule's program a cgroup, if possible.
fn limit(config: &mut CheckedPluginConfig, cgroups: Option<&PluginCgroups>) {
    let asked = config.limits;
    let mut missing = Vec::new();
    for (index, rule) in config.rules.iter_mut().enumerate() {
        let name = PluginRuleId::new(&config.name, index, asked.memory);
        let made = cgroups.map(|cgroups| PluginCgroup::make(cgroups, &name, asked));
        rule.program.cgroup = match made {
            Some(Ok(cgroup)) => Some(cgroup),
            Some(Err(error)) => {
                debug!(path = rule.path, %error, "A plugin runs without limits");
                None
            }
            None => None,
        };
        let kept = rule.program.cgroup.as_ref().map(PluginCgroup::limits);
        missing = limits::missing(asked, kept.unwrap_or_default());
    }
    // Log it only if the config file sets the limit.
    if asked.memory.is_some() && !missing.is_empty() {
        warn!(monitor = %config.name, ?missing, "The kernel does not keep limits of plugins here");
    }
}

async fn watch(config: &CheckedPluginConfig, spawner: &Spawner, reporter: &Reporter) -> Forever {
    let now = || Instant::now().into_std();
    let clocks = config
        .rules
        .iter()
        .map(|rule| (rule.interval, up_to(rule.jitter)));
    let mut schedule = Schedule::new(clocks, config.concurrency, now());
    let mut histories = Histories::new(config, reporter);
    let mut runs = JoinSet::new();
    let mut survivors = JoinSet::new();
    loop {
        while let Some(rule) = schedule.start(now()) {
            if histories.abandoned(rule) < MAX_ABANDONED {
                runs.spawn(run(spawner.clone(), rule, &config.rules[rule]));
            } else {
                schedule.ended(rule, true);
                histories.not_run(rule).await?;
            }
        }
        let wake = schedule.wake().map(Instant::from_std);
        tokio::select! {
            Some(ran) = runs.join_next() => {
                let ran = ran.context("running a plugin")?;
                schedule.ended(ran.rule, ran.hung());
                let rule = ran.rule;
                if let Some(rest) = histories.ran(ran).await? {
                    survivors.spawn(gone(rest, rule));
                }
            }
            Some(rule) = survivors.join_next() => {
                histories.gone(rule.context("waiting for a plugin that survived SIGKILL")?);
            }
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            // A file without rules.
            () = std::future::pending() => {}
        }
    }
}

fn run(
    spawner: Spawner,
    rule: usize,
    of: &PluginRule,
) -> impl Future<Output = EndedRun> + Send + use<> {
    let (program, limit) = (of.program.clone(), of.timeout);
    async move {
        let started = Instant::now();
        let outcome = if limit.is_zero() {
            Err(RunError::NotStarted(io::ErrorKind::TimedOut.into()))
        } else {
            exec::run(&spawner, program, limit, OUTPUT_KEPT).await
        };
        EndedRun {
            rule,
            outcome,
            took: started.elapsed(),
        }
    }
}

async fn gone(rest: Abandoned, rule: usize) -> usize {
    rest.gone().await;
    rule
}

/// A random time from 0 up to `most`.
fn up_to(most: Duration) -> Duration {
    most.mul_f64(random::fraction())
}
