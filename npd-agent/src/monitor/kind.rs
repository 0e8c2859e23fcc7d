//! What a monitor is, and what it may report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config_file::ConfigFile;
use crate::go::json::ConfigProblem;
use crate::problem::{Detector, Healthy, Problem, Task, Watched};
use crate::reporter::Reporter;

/// The monitors of the config files of one kind.
pub type Monitors = Vec<Box<dyn Monitor>>;

/// A kind of monitor.
pub struct MonitorKind {
    /// The command-line flag that names its config files.
    pub flag: &'static str,
    /// NPD's older name of the flag.
    pub deprecated: Option<&'static str>,
    /// One line for `--help`.
    pub help: &'static str,
    /// Checks config files and makes monitors of them. Adds mistakes with which NPD starts to the
    /// problems. Pure: it opens nothing and logs nothing, so a config can be checked without side
    /// effects. Files that share a source share a monitor.
    pub load: fn(&[ConfigFile], &mut Vec<ConfigProblem>) -> anyhow::Result<Monitors>,
}

/// Something that watches the node.
pub trait Monitor: Send {
    /// Names it in logs, in `/status` and in metrics.
    fn name(&self) -> &str;

    /// What it may report, for each of its config files.
    fn declarations(&self) -> Vec<Declaration>;

    /// The kinds of incidents that its probes may watch. Each probe soon reports whether it does.
    fn watches(&self) -> Vec<Watched> {
        Vec::new()
    }

    /// Watches, and reports, until it fails. When it fails, it is run again after a pause, on the same
    /// value, so its fields survive.
    fn run<'a>(&'a mut self, reporter: &'a Reporter) -> Task<'a>;
}

/// What one config file may report.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The name of the file.
    pub monitor: Arc<str>,
    /// The `source` of the file.
    pub source: Arc<str>,
    /// Its conditions in their healthy state.
    pub conditions: Vec<Healthy>,
    /// Its rules' problems, so that their metrics exist from the start.
    pub problems: Vec<Arc<Problem>>,
    /// Who has to check before the conditions are known.
    pub detectors: Vec<Detector>,
    /// Whether each finding brings `problem_gauge` up to date for all conditions of the file and not
    /// only for its own, as NPD's custom plugins do.
    pub gauges_all: bool,
}

impl Declaration {
    /// The detectors of a file whose rules check one by one, given by name and condition. A condition
    /// without a rule is known when all rules have checked.
    pub fn detectors(
        conditions: &[Healthy],
        rules: impl IntoIterator<Item = (Arc<str>, Option<Arc<str>>)>,
    ) -> Vec<Detector> {
        let mut detectors = BTreeMap::<Arc<str>, BTreeSet<Arc<str>>>::new();
        for (name, condition) in rules {
            detectors.entry(name).or_default().extend(condition);
        }
        let with_rule: BTreeSet<_> = detectors.values().flatten().cloned().collect();
        let types = conditions.iter().map(|healthy| &healthy.r#type);
        let without_rule: BTreeSet<_> =
            types.filter(|t| !with_rule.contains(*t)).cloned().collect();
        let detector = |(name, mut conditions): (_, BTreeSet<_>)| {
            conditions.extend(without_rule.iter().cloned());
            Detector { name, conditions }
        };
        detectors.into_iter().map(detector).collect()
    }

    /// Says that all detectors of the file have checked.
    pub async fn all_checked(&self, reporter: &Reporter) -> anyhow::Result<()> {
        for detector in &self.detectors {
            reporter.checked(&self.monitor, &detector.name).await?;
        }
        Ok(())
    }
}

/// The types of every condition that `monitors` may report, now or later.
pub fn condition_types(monitors: &Monitors) -> BTreeSet<Arc<str>> {
    monitors
        .iter()
        .flat_map(|monitor| monitor.declarations())
        .flat_map(|declaration| declaration.conditions)
        .map(|healthy| healthy.r#type)
        .collect()
}
