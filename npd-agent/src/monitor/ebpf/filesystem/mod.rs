//! The `filesystem` probe: errors in ext4, shutdowns of ext4 and XFS, and file systems that become
//! read-only, by the kernel or by an operator.
//!
//! Three tracepoints report events: `ext4:ext4_error`, `ext4:ext4_shutdown`,
//! `xfs:xfs_force_shutdown`. The mount table shows the state. [`state`] decides from both which file
//! systems are at fault, and until when. Without the tracepoints, the mount table and ext4's own
//! count of errors are read more often; only the kernel's log then shows that an XFS was shut down.
//!
//! Nothing here touches a file system itself: a call on a broken one may never return.

pub mod fault;
pub mod kernel;
pub mod message;
pub mod mounts;
mod report;
pub mod saved;
pub mod state;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use npd_ebpf::Layout as _;
use npd_ebpf::filesystem::{
    EXT4_ERROR, EXT4_SHUTDOWN, FilesystemRecord, SuperBlockLayout, XFS_SHUTDOWN, XFS_SUPER,
};
use tokio::time::{Instant, sleep_until};

use self::mounts::MountReading;
use self::report::FilesystemReports;
use self::saved::SavedFilesystem;
use self::state::{FilesystemChanges, FilesystemState};
use super::probe::{self, Probe, ProbeContext, ProbeRecord, Selector};
use super::program::{KernelProgram, ModuleOffset, ProgramLayout, bytes};
use crate::kernel_text;
use crate::monitor::Task;
use crate::node::block::BlockDevice;
use crate::node::mountinfo::WatchedMountinfo;
use crate::node::pod_names::PodNames;
use crate::problem::Forever;
use crate::reporter::Report;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "filesystem",
    lasts: true,
    text: Some(kernel_text::filesystem::WORDING),
    selectors: &[Selector::MountPoints],
    programs: &[
        KernelProgram {
            name: EXT4_ERRORS,
            tracepoint: "ext4_error",
            record: EXT4_ERROR,
            needs: &[SUPER_BLOCK],
            uses: &[],
            instead_of: None,
            module: None,
        },
        KernelProgram {
            name: "ext4_shutdown",
            tracepoint: "ext4_shutdown",
            record: EXT4_SHUTDOWN,
            needs: &[SUPER_BLOCK],
            uses: &[],
            instead_of: None,
            module: None,
        },
        KernelProgram {
            name: "xfs_force_shutdown",
            tracepoint: "xfs_force_shutdown",
            record: XFS_SHUTDOWN,
            needs: &[SUPER_BLOCK],
            uses: &[],
            instead_of: None,
            module: Some(ModuleOffset {
                module: "xfs",
                map: XFS_SUPER,
                read: |btf| btf.offset("xfs_mount", "m_super"),
            }),
        },
    ],
    counts: None,
    iterator: None,
    run,
};

/// The program that reports errors in ext4.
const EXT4_ERRORS: &str = "ext4_error";

/// Where the kernel stores what every record says about the file system.
const SUPER_BLOCK: ProgramLayout = ProgramLayout {
    global: SuperBlockLayout::GLOBAL,
    read: |btf| {
        Ok(bytes(&SuperBlockLayout {
            device: btf.offset("super_block", "s_dev")?,
            name: btf.offset("super_block", "s_id")?,
        }))
    },
};

/// The mount table's name in metrics and in `/status`.
const SOURCE: &str = "mountinfo";

/// How often the mount table is read: the kernel makes file systems read-only without a notification.
const PACE: Duration = Duration::from_secs(5);
/// The same while no tracepoint reports errors.
const PACE_FALLBACK: Duration = Duration::from_secs(2);
/// The same while a file system is at fault, because the end of a fault makes no notification either.
/// Also how often ext4's counts of errors are compared, and the pause after a line of the log, so that both are new.
const PACE_FAULTY: Duration = Duration::from_secs(1);
/// The pause before it is read after a record. The kernel first sends the record, and then acts.
const PACE_RECORD: Duration = Duration::from_millis(50);

/// Reading the mount table takes at most one part in this many of a CPU's time, however long the table
/// is and however often it changes.
const REST: u32 = 50;

fn run(watch: ProbeContext) -> Task<'static> {
    Box::pin(watch_filesystems(watch))
}

async fn watch_filesystems(mut watch: ProbeContext) -> Forever {
    for path in watch.rules.iter_mut().flat_map(|r| &mut r.mount_points) {
        // Without a slash at the end.
        *path = path.components().collect();
    }
    let mut filesystems = FilesystemProbe::new(&watch);
    filesystems.check(&watch).await?;
    filesystems.report_backend(&watch).await?;
    loop {
        let due = filesystems.next_due();
        tokio::select! {
            record = watch.records.recv() => {
                let record = record.context("waiting for records, which have ended")?;
                filesystems.take(&watch, &record).await?;
            }
            () = changed(filesystems.mountinfo.as_ref()) => filesystems.check_within(Duration::ZERO),
            () = watch.reporter.in_log(watch.probe.name) => filesystems.check_within(PACE_FAULTY),
            attached = watch.attached.changed() => {
                attached.context("waiting for programs to be attached, which has ended")?;
                filesystems.report_backend(&watch).await?;
            }
            () = sleep_until(due) => filesystems.tick(&watch).await?,
        }
    }
}

async fn changed(mountinfo: Option<&WatchedMountinfo>) {
    match mountinfo {
        Some(mountinfo) => mountinfo.changed().await,
        None => std::future::pending().await,
    }
}

/// What the probe knows between two events.
struct FilesystemProbe {
    state: FilesystemState,
    /// The paths that rules name.
    paths: Vec<PathBuf>,
    mountinfo: Option<WatchedMountinfo>,
    source_is_up: Option<bool>,
    /// Whether it was reported that the mount table has been read.
    checked: bool,
    /// When to read the mount table next, and the earliest time for this.
    due: Instant,
    not_before: Instant,
    /// Devices for which the mount table was read at once, without finding them.
    unknown: BTreeSet<BlockDevice>,
    /// When ext4's counts of errors were last compared.
    counted: Option<Instant>,
    /// Whether any program is attached, and whether the one for errors in ext4 is.
    sees: bool,
    sees_errors: bool,
    reports: FilesystemReports,
}

impl FilesystemProbe {
    fn new(watch: &ProbeContext) -> Self {
        let paths = watch
            .rules
            .iter()
            .flat_map(|rule| rule.mount_points.clone());
        let roots = &watch.reporter.node.roots;
        let saved: Vec<SavedFilesystem> = watch.remembered().unwrap_or_default();
        let names = PodNames::new(&roots.log, watch.reporter.threads.clone());
        let now = Instant::now();
        Self {
            state: FilesystemState::new(roots.clone()).with_saved(saved.clone()),
            reports: FilesystemReports::new(saved, names),
            paths: paths.collect(),
            mountinfo: None,
            source_is_up: None,
            checked: false,
            due: now,
            not_before: now,
            unknown: BTreeSet::new(),
            counted: None,
            sees: false,
            sees_errors: false,
        }
    }

    /// Says which of the programs are attached.
    async fn report_backend(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        let attached = watch.attached.borrow().clone();
        self.sees = attached.values().any(Result::is_ok);
        self.sees_errors = attached.get(EXT4_ERRORS).is_some_and(Result::is_ok);
        let backend = if self.sees { "raw_tracepoint" } else { "poll" };
        watch.set_backend(backend, watch.refusals());
        self.answer(watch).await
    }

    /// Tells the hub which conditions the probe decides. The kernel's log then only confirms them.
    async fn answer(&self, watch: &ProbeContext) -> anyhow::Result<()> {
        if self.sees {
            return watch.answers().await;
        }
        // Without the tracepoint, only the log reports shutdowns of XFS. Its claims stay until they are
        // withdrawn.
        let watching = Report::Watching {
            probe: watch.probe.name,
            conditions: BTreeSet::new(),
        };
        watch.reporter.send(watching).await
    }

    /// Reports and withdraws faults, until the claims agree with the state.
    async fn settle(&mut self, watch: &ProbeContext, well: BTreeSet<String>) -> anyhow::Result<()> {
        self.reports.settle(watch, &self.state, well).await?;
        if self.source_is_up == Some(true) {
            self.reports.save(watch, &self.state).await?;
        }
        Ok(())
    }

    /// Makes sure that the mount table is read within `pause`.
    fn check_within(&mut self, pause: Duration) {
        let soon = self.not_before.max(Instant::now() + pause);
        self.due = self.due.min(soon);
    }

    /// When there is something to do, even if no record comes.
    fn next_due(&self) -> Instant {
        let summary = self.reports.next_due();
        summary.map_or(self.due, |summary| summary.min(self.due))
    }

    /// Does what is due.
    async fn tick(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        self.reports.repeat(watch, &self.state).await?;
        if self.due <= Instant::now() {
            self.unknown.clear();
            self.check(watch).await?;
        }
        Ok(())
    }

    /// Reads the mount table, compares counts, and reports what has changed.
    async fn check(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        let now = Instant::now();
        let mut well = BTreeSet::new();
        let is_first = self.source_is_up != Some(true);
        match self.read(watch).await {
            Ok(changes) => {
                well.extend(changes.recovered);
                for (device, name) in changes.ended {
                    self.reports.ended(watch, &self.state, device).await?;
                    well.insert(name);
                }
                if is_first {
                    well.extend(self.healed());
                }
                if changes.begun {
                    // The kernel has loaded the module with the tracepoint for the first mount.
                    watch.attach_now.notify_one();
                }
            }
            Err(error) => {
                if self.source_is_up.replace(false) != Some(false) {
                    let reason = format!("{error:#}");
                    watch.reporter.source_down(SOURCE, false, reason);
                }
            }
        }
        well.extend(self.gone(watch));
        self.compare_counts(watch, now).await?;
        self.settle(watch, well).await?;
        if self.source_is_up == Some(true) && !std::mem::replace(&mut self.checked, true) {
            watch.checked().await?;
        }
        let cost = now.elapsed();
        let pace = match (self.reports.any_fault(), self.sees_errors) {
            (true, _) => PACE_FAULTY,
            (false, true) => PACE,
            (false, false) => PACE_FALLBACK,
        };
        self.not_before = now + cost * REST;
        self.due = self.not_before.max(now + pace);
        Ok(())
    }

    /// File systems that were at fault when an earlier agent saved them, and are not at fault now.
    fn healed(&self) -> Vec<String> {
        let at_fault = |name: &String| {
            let mut known = self.state.iter().map(|(_, known)| known);
            known.any(|known| known.identity.name == *name && known.fault().is_some())
        };
        let before = self
            .reports
            .saved()
            .iter()
            .map(|saved| &saved.identity.name);
        before.filter(|name| !at_fault(name)).cloned().collect()
    }

    /// File systems about which there are claims, and that are not mounted any more.
    fn gone(&self, watch: &ProbeContext) -> BTreeSet<String> {
        if !self.sees || self.source_is_up != Some(true) {
            return BTreeSet::new();
        }
        let mut claimed = watch.claimed();
        claimed.retain(|name| !self.state.knows(name));
        claimed
    }

    async fn read(&mut self, watch: &ProbeContext) -> anyhow::Result<FilesystemChanges> {
        let (threads, roots) = (&watch.reporter.threads, &self.state.roots);
        let mountinfo = match &self.mountinfo {
            Some(mountinfo) => mountinfo,
            None => self.mountinfo.insert(WatchedMountinfo::open(roots)?),
        };
        let reading = MountReading::new(&self.paths);
        let reading = mountinfo.read(threads, reading, MountReading::take);
        let table = reading.await?.finish();
        if self.source_is_up.replace(true) != Some(true) {
            watch.reporter.source_up(SOURCE, false);
        }
        let malformed = &watch.reporter.metrics.records_malformed;
        malformed
            .with_label_values(&[SOURCE])
            .inc_by(table.malformed);
        Ok(self.state.observe(table))
    }

    /// Finds errors that no record has reported.
    async fn compare_counts(&mut self, watch: &ProbeContext, now: Instant) -> anyhow::Result<()> {
        if self.counted.is_some_and(|last| now < last + PACE_FAULTY) {
            return Ok(());
        }
        self.counted = Some(now);
        for (device, missed) in self.state.count_errors(self.sees_errors) {
            if self.sees_errors {
                let family = &watch.reporter.metrics.probe_missed;
                family.with_label_values(&[watch.probe.name]).inc_by(missed);
            }
            let place = self.state.get(device).and_then(|known| known.error.clone());
            let what = message::error(&place.unwrap_or_default());
            self.reports
                .happened(watch, &self.state, device, what, missed, Timestamp::now())
                .await?;
        }
        Ok(())
    }

    /// Handles a record of the kernel.
    async fn take(&mut self, watch: &ProbeContext, record: &ProbeRecord) -> anyhow::Result<()> {
        let Some(record) = record.decode::<FilesystemRecord>() else {
            watch.malformed();
            return Ok(());
        };
        let device = BlockDevice::from_kernel(record.device);
        if self.state.get(device).is_none() && self.unknown.insert(device) {
            // Perhaps it was mounted a moment ago.
            self.check(watch).await?;
        }
        let what = if record.header.id == EXT4_ERROR {
            let place = message::place(&record);
            let what = message::error(&place);
            self.state.reported_error(device, place);
            what
        } else {
            let cause = message::cause(&record);
            let what = message::shutdown(&cause);
            self.state.reported_shutdown(device, cause);
            what
        };
        let timestamp = probe::timestamp(&record.header);
        self.reports
            .happened(watch, &self.state, device, what, 1, timestamp)
            .await?;
        self.settle(watch, BTreeSet::new()).await?;
        self.check_within(PACE_RECORD);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
