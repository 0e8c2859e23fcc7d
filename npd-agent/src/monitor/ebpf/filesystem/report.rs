//! Reports faults, and withdraws them when they are over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio::time::Instant;

use super::message;
use super::saved::SavedFilesystem;
use super::state::{FilesystemState, WatchedFilesystem};
use crate::monitor::ebpf::aggregate::{Aggregate, AggregateReport};
use crate::monitor::ebpf::probe::{Observation, ProbeContext, ProbeRule};
use crate::node::block::BlockDevice;
use crate::node::pod_names::PodNames;
use crate::problem::Pod;

/// A fault that was reported, and must be withdrawn when it is over.
struct FilesystemClaim {
    /// The name of the file system when the fault was reported.
    name: String,
    /// Which permanent rules it concerns, by their place in the list.
    rules: Vec<usize>,
}

/// What was reported about file systems, and what must still be reported.
pub(super) struct FilesystemReports {
    /// The lasting faults that were reported.
    claims: BTreeMap<BlockDevice, FilesystemClaim>,
    /// What was last saved for the next agent.
    saved: Vec<SavedFilesystem>,
    /// Repeats of errors and shutdowns, by device and text.
    repeats: Aggregate<(BlockDevice, String)>,
    /// The names of the pods whose volumes they are.
    names: PodNames,
}

impl FilesystemReports {
    /// Nothing was reported yet. An earlier agent has reported what is `saved`.
    pub(super) fn new(saved: Vec<SavedFilesystem>, names: PodNames) -> Self {
        Self {
            claims: BTreeMap::new(),
            saved,
            repeats: Aggregate::default(),
            names,
        }
    }

    /// Whether a fault was reported that is not over.
    pub(super) fn any_fault(&self) -> bool {
        !self.claims.is_empty()
    }

    /// The file systems that were at fault when they were last saved.
    pub(super) fn saved(&self) -> &[SavedFilesystem] {
        &self.saved
    }

    /// When there is something to [repeat](Self::repeat).
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.repeats.next_due().map(Instant::from_std)
    }

    /// Reports how often things have happened again, if their window is over.
    pub(super) async fn repeat(
        &mut self,
        watch: &ProbeContext,
        state: &FilesystemState,
    ) -> anyhow::Result<()> {
        for report in self.repeats.due(Instant::now().into_std()) {
            self.report(watch, state, &report, Timestamp::now()).await?;
        }
        Ok(())
    }

    /// Reports that something happened this many times. If the same was reported a moment ago, only
    /// counts it.
    pub(super) async fn happened(
        &mut self,
        watch: &ProbeContext,
        state: &FilesystemState,
        device: BlockDevice,
        what: String,
        times: u64,
        timestamp: Timestamp,
    ) -> anyhow::Result<()> {
        let now = Instant::now().into_std();
        for report in self.repeats.note((device, what), times, now) {
            self.report(watch, state, &report, timestamp).await?;
        }
        Ok(())
    }

    /// Reports what happened, or how often it happened again.
    async fn report(
        &mut self,
        watch: &ProbeContext,
        state: &FilesystemState,
        report: &AggregateReport<(BlockDevice, String)>,
        timestamp: Timestamp,
    ) -> anyhow::Result<()> {
        let (AggregateReport::First((device, _)) | AggregateReport::Again((device, _), _)) = report;
        let (name, described, pod) = if let Some(known) = state.get(*device) {
            let name = known.identity.name.clone();
            let pod = pod(&mut self.names, known).await;
            (name, message::name(known), pod)
        } else {
            let name = device.name(&state.roots.sys);
            let name = name.unwrap_or_else(|| device.to_string());
            let described = message::name_out_of_sight(&name);
            (name, described, None)
        };
        let observation = Observation {
            repeated: false,
            key: name,
            timestamp,
            message: message::happening(&described, report),
            pod,
        };
        let concerned = |rule: &ProbeRule| concerns(state, rule, *device);
        watch.happened(&observation, concerned).await
    }

    /// Ends the reports about a file system that is gone, and reports the last repeats.
    pub(super) async fn ended(
        &mut self,
        watch: &ProbeContext,
        state: &FilesystemState,
        device: BlockDevice,
    ) -> anyhow::Result<()> {
        for report in self.repeats.end(|(of, _)| *of == device) {
            self.report(watch, state, &report, Timestamp::now()).await?;
        }
        self.claims.remove(&device);
        Ok(())
    }

    /// Reports new lasting faults, and withdraws those that are over. Also withdraws what anyone claims
    /// about the file systems called `well`: the kernel's log or an earlier probe may have reported a
    /// fault that this probe did not see.
    pub(super) async fn settle(
        &mut self,
        watch: &ProbeContext,
        state: &FilesystemState,
        mut well: BTreeSet<String>,
    ) -> anyhow::Result<()> {
        self.claims.retain(|device, claim| {
            let known = state.get(*device);
            let same = known.filter(|known| known.identity.name == claim.name);
            let lasts = same.is_some_and(|known| known.fault().is_some());
            if !lasts {
                well.insert(claim.name.clone());
            }
            lasts
        });
        for name in well {
            watch.recovered(name).await?;
        }
        let faults = state.iter().filter_map(|(device, known)| {
            let fault = known.fault()?;
            Some((device, fault, known))
        });
        for (device, fault, known) in faults {
            let name = &known.identity.name;
            let concerned = |rule: &ProbeRule| {
                rule.problem.condition.is_some() && state.backs(device, &rule.mount_points)
            };
            let rules = watch.rules.iter().enumerate();
            let rules = rules.filter_map(|(place, rule)| concerned(rule).then_some(place));
            let rules = rules.collect::<Vec<_>>();
            let before = self.claims.get(&device);
            if before.is_some_and(|claim| claim.rules == rules) {
                continue;
            }
            if before.is_some_and(|claim| !claim.rules.is_empty()) {
                // It now contains other paths than before.
                watch.recovered(name).await?;
            }
            let observation = Observation {
                repeated: false,
                key: name.clone(),
                timestamp: Timestamp::now(),
                message: message::fault(known, fault),
                pod: pod(&mut self.names, known).await,
            };
            let reported = known.error.is_some() || known.shutdown.is_some();
            if known.resumed && before.is_none() {
                let concerned = |rule: &ProbeRule| concerns(state, rule, device);
                watch.resumes(&observation, concerned).await?;
            } else {
                watch.lasts(&observation, concerned).await?;
            }
            // If another file system has set the condition already, this one does not change it.
            let mut claims = self.claims.values();
            let is_hidden = claims.any(|claim| claim.rules.iter().any(|rule| rules.contains(rule)));
            let is_told = reported || known.resumed || before.is_some();
            if !is_told && (rules.is_empty() || is_hidden) {
                let concerned = |rule: &ProbeRule| concerns(state, rule, device);
                watch.happened(&observation, concerned).await?;
            }
            let name = name.clone();
            self.claims.insert(device, FilesystemClaim { name, rules });
        }
        Ok(())
    }

    /// Saves the file systems at fault for the next agent, if they have changed.
    pub(super) async fn save(
        &mut self,
        watch: &ProbeContext,
        state: &FilesystemState,
    ) -> anyhow::Result<()> {
        let saved = state.saved();
        if saved != self.saved {
            watch.remember(&saved).await?;
            self.saved = saved;
        }
        Ok(())
    }
}

/// Whether a rule is about the file system on `device`.
fn concerns(state: &FilesystemState, rule: &ProbeRule, device: BlockDevice) -> bool {
    state.backs(device, &rule.mount_points)
}

/// The pod whose volume it is, from its mount point below the kubelet's folder.
async fn pod(names: &mut PodNames, known: &WatchedFilesystem) -> Option<Pod> {
    let uid = known.superblock.mount_points.iter().find_map(|point| {
        let (_, rest) = point.split_once("/pods/")?;
        let (uid, rest) = rest.split_once('/')?;
        let volume = rest.starts_with("volumes/") || rest.starts_with("volume-subpaths/");
        volume.then_some(uid)
    });
    match uid {
        Some(uid) => Some(names.with_uid(uid).await),
        None => None,
    }
}
