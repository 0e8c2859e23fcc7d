//! What the probe tells, and takes back.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio::time::Instant;

use super::aggregate::Telling;
use super::state::WatchedFilesystem;
use super::{FilesystemProbe, wording};
use crate::monitor::ebpf::probe::{ProbeContext, ProbeRule, Sighting};
use crate::node::block::BlockDevice;
use crate::node::pod_names::PodNames;
use crate::problem::Pod;
use crate::reporter::Report;

/// A fault that was reported, and must be taken back when it is over.
#[derive(Debug)]
pub(super) struct FilesystemClaim {
    /// The file system's name then.
    name: String,
    /// Which permanent rules it concerns, by their place in the list.
    rules: Vec<usize>,
}

impl FilesystemProbe {
    /// Tells that something happened so many times, unless the same has just been told.
    pub(super) async fn happened(
        &mut self,
        watch: &ProbeContext,
        device: BlockDevice,
        what: String,
        times: u64,
        timestamp: Timestamp,
    ) -> anyhow::Result<()> {
        let now = Instant::now().into_std();
        for telling in self.happenings.note((device, what), times, now) {
            self.tell(watch, &telling, timestamp).await?;
        }
        Ok(())
    }

    /// Tells what happened, or how often it did.
    pub(super) async fn tell(
        &mut self,
        watch: &ProbeContext,
        telling: &Telling<(BlockDevice, String)>,
        timestamp: Timestamp,
    ) -> anyhow::Result<()> {
        let (Telling::First((device, _)) | Telling::Again((device, _), _)) = telling;
        let (name, described, pod) = if let Some(known) = self.state.get(*device) {
            let name = known.identity.name.clone();
            let pod = pod(&mut self.names, known).await;
            (name, wording::name(known), pod)
        } else {
            let name = device.name(&self.state.roots.sys);
            let name = name.unwrap_or_else(|| device.to_string());
            let described = wording::name_out_of_sight(&name);
            (name, described, None)
        };
        let sighting = Sighting {
            key: name,
            timestamp,
            message: wording::happening(&described, telling),
            pod,
        };
        let concerned = |rule: &ProbeRule| self.concerns(rule, *device);
        watch.happened(&sighting, concerned).await
    }

    /// Ends what is being said of a file system that is gone.
    pub(super) async fn ended(
        &mut self,
        watch: &ProbeContext,
        device: BlockDevice,
    ) -> anyhow::Result<()> {
        for repeated in self.happenings.end(|(of, _)| *of == device) {
            self.tell(watch, &repeated, Timestamp::now()).await?;
        }
        self.claims.remove(&device);
        Ok(())
    }

    /// Tells the hub what the kernel's log need not be believed about.
    pub(super) async fn answer(&self, watch: &ProbeContext) -> anyhow::Result<()> {
        if self.sees {
            return watch.answers().await;
        }
        // Only the log tells of shutdowns of XFS then: its conditions hold until they are taken back.
        let watching = Report::Watching {
            probe: watch.probe.name,
            conditions: BTreeSet::new(),
        };
        watch.reporter.send(watching).await
    }

    /// Brings what was reported as lasting in line with what is. What anyone claims of the file
    /// systems called `well` is over too: the kernel's log may have told of a fault that this probe
    /// did not see, or a probe before it.
    pub(super) async fn settle(
        &mut self,
        watch: &ProbeContext,
        mut well: BTreeSet<String>,
    ) -> anyhow::Result<()> {
        self.claims.retain(|device, claim| {
            let known = self.state.get(*device);
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
        let faults = self.state.iter().filter_map(|(device, known)| {
            let fault = known.fault()?;
            Some((device, fault, known))
        });
        for (device, fault, known) in faults {
            let name = &known.identity.name;
            let concerned = |rule: &ProbeRule| {
                rule.problem.condition.is_some() && self.state.backs(device, &rule.mount_points)
            };
            let rules = watch.rules.iter().enumerate();
            let rules = rules.filter_map(|(place, rule)| concerned(rule).then_some(place));
            let rules = rules.collect::<Vec<_>>();
            let before = self.claims.get(&device);
            if before.is_some_and(|claim| claim.rules == rules) {
                continue;
            }
            if before.is_some_and(|claim| !claim.rules.is_empty()) {
                // It backs other paths than before.
                watch.recovered(name).await?;
            }
            let sighting = Sighting {
                key: name.clone(),
                timestamp: Timestamp::now(),
                message: wording::fault(known, fault),
                pod: pod(&mut self.names, known).await,
            };
            let reported = known.error.is_some() || known.shutdown.is_some();
            if known.resumed && before.is_none() {
                let concerned = |rule: &ProbeRule| self.concerns(rule, device);
                watch.resumes(&sighting, concerned).await?;
            } else {
                watch.lasts(&sighting, concerned).await?;
            }
            if before.is_none() && rules.is_empty() && !reported && !known.resumed {
                let concerned = |rule: &ProbeRule| self.concerns(rule, device);
                watch.happened(&sighting, concerned).await?;
            }
            let name = name.clone();
            self.claims.insert(device, FilesystemClaim { name, rules });
        }
        let saved = self.state.saved();
        if self.source_is_up == Some(true) && saved != self.saved {
            watch.remember(&saved).await?;
            self.saved = saved;
        }
        Ok(())
    }

    fn concerns(&self, rule: &ProbeRule, device: BlockDevice) -> bool {
        self.state.backs(device, &rule.mount_points)
    }
}

/// The pod whose volume it is, as its mount point below the kubelet's folder tells.
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
