//! `disk`: what the disks did.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use procfs::DiskStat;

use super::config::SectionConfig;
use super::metric::{Collect, Label, Labels, Metric, Sample};
use super::mounts::mounts;
use crate::node::Roots;
use crate::node::files::{each_line, names, read_number};

const DEVICE: &[&str] = &["device_name"];
const DIRECTION: &[&str] = &["device_name", "direction"];

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "disk/io_time",
        "disk_io_time",
        DEVICE,
        "The IO time spent on the disk, in ms",
    ),
    Metric::counter(
        "disk/weighted_io",
        "disk_weighted_io",
        DEVICE,
        "The weighted IO on the disk, in ms",
    ),
    Metric::gauge(
        "disk/avg_queue_len",
        "disk_avg_queue_len",
        DEVICE,
        "The average queue length on the disk",
    ),
    Metric::counter(
        "disk/operation_count",
        "disk_operation_count",
        DIRECTION,
        "Disk operations count",
    ),
    Metric::counter(
        "disk/merged_operation_count",
        "disk_merged_operation_count",
        DIRECTION,
        "Disk merged operations count",
    ),
    Metric::counter(
        "disk/operation_bytes_count",
        "disk_operation_bytes_count",
        DIRECTION,
        "Bytes transferred in disk operations",
    ),
    Metric::counter(
        "disk/operation_time",
        "disk_operation_time",
        DIRECTION,
        "Time spent in disk operations, in ms",
    ),
];

/// `/proc/diskstats` counts in sectors of this size, whatever the disk's own.
const SECTOR: u64 = 512;

/// Reads `/proc/diskstats` line by line: `procfs::DiskStats` fails completely on one unexpected line.
pub struct DiskCollector {
    whole_disks: bool,
    attached_devices: bool,
    /// For the average queue length: when a device was last read, and its weighted time at that time.
    previous: BTreeMap<String, (Instant, u64)>,
}

/// Makes the collector.
pub fn new(config: &SectionConfig) -> Box<dyn Collect> {
    Box::new(DiskCollector {
        whole_disks: config.include_root_blk,
        attached_devices: config.include_all_attached_blk,
        previous: BTreeMap::new(),
    })
}

impl Collect for DiskCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let shown = self.shown(roots)?;
        let mut previous = BTreeMap::new();
        each_line(&roots.proc.join("diskstats"), |line| {
            let Ok(stat) = DiskStat::from_line(line) else {
                return;
            };
            let shown = shown.as_ref();
            let wanted = shown.is_none_or(|names| names.contains(&stat.name));
            if wanted && !idle_since_boot(&stat) {
                self.device(&stat, sample);
                let weighted = stat.weighted_time_in_progress;
                previous.insert(stat.name, (Instant::now(), weighted));
            }
        })?;
        self.previous = previous;
        Ok(())
    }
}

impl DiskCollector {
    /// The devices to show; `None` for all.
    fn shown(&self, roots: &Roots) -> anyhow::Result<Option<BTreeSet<String>>> {
        if !self.whole_disks && !self.attached_devices {
            return Ok(None);
        }
        let mut wanted = BTreeSet::new();
        if self.whole_disks {
            let block = roots.sys.join("block");
            let whole = names(&block).into_iter();
            wanted.extend(whole.filter(|name| is_listed(&block.join(name), name)));
        }
        if self.attached_devices {
            for (device, mount) in mounts(roots)? {
                let base = device.rsplit('/').next().unwrap_or_default();
                wanted.insert(base.to_owned());
                // A source may be a link: `/dev/disk/by-label/data`.
                wanted.extend(mount.device.name(&roots.sys));
            }
        }
        Ok(Some(wanted))
    }

    fn device(&self, stat: &DiskStat, sample: &mut Sample) {
        let device = Label::from(&*stat.name);
        let only = Labels::from([Label::clone(&device)]);
        let weighted = stat.weighted_time_in_progress;
        sample.count("disk/io_time", Labels::clone(&only), stat.time_in_progress);
        sample.count("disk/weighted_io", Labels::clone(&only), weighted);
        if let Some((then, before)) = self.previous.get(&stat.name) {
            let elapsed = then.elapsed().as_secs_f64() * 1000.0;
            let length = weighted.saturating_sub(*before) as f64 / elapsed.max(1.0);
            sample.set("disk/avg_queue_len", only, length);
        }
        let read = Labels::from([Label::clone(&device), Label::from("read")]);
        let write = Labels::from([device, Label::from("write")]);
        for (id, reads, writes) in [
            ("disk/operation_count", stat.reads, stat.writes),
            (
                "disk/merged_operation_count",
                stat.merged,
                stat.writes_merged,
            ),
            (
                "disk/operation_bytes_count",
                stat.sectors_read.saturating_mul(SECTOR),
                stat.sectors_written.saturating_mul(SECTOR),
            ),
            ("disk/operation_time", stat.time_reading, stat.time_writing),
        ] {
            sample.count(id, Labels::clone(&read), reads);
            sample.count(id, Labels::clone(&write), writes);
        }
    }
}

/// Whether `lsblk --nodeps` prints a block device. It does not print RAM disks, loop devices without a
/// file, or devices on top of others (multipath, LVM, RAID).
fn is_listed(folder: &Path, device: &str) -> bool {
    let is_empty_loop =
        || device.starts_with("loop") && read_number(&folder.join("size")) == Some(0);
    !device.starts_with("ram") && !is_empty_loop() && names(&folder.join("slaves")).is_empty()
}

fn idle_since_boot(stat: &DiskStat) -> bool {
    let counters = [
        stat.reads,
        stat.merged,
        stat.sectors_read,
        stat.time_reading,
        stat.writes,
        stat.writes_merged,
        stat.sectors_written,
        stat.time_writing,
        stat.in_progress,
        stat.time_in_progress,
        stat.weighted_time_in_progress,
    ];
    counters.iter().all(|counter| *counter == 0)
}
