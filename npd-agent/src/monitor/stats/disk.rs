//! `disk`: what the disks did, and how full the mounted ones are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use nix::sys::statvfs::{Statvfs, statvfs};
use procfs::DiskStat;
use procfs::process::MountInfo;

use super::config::SectionConfig;
use super::files::{names, read, read_number};
use super::metric::{Collect, Metric, Pass};
use super::store::Label;
use crate::node::Roots;

const DEVICE: &[&str] = &["device_name"];
const DIRECTION: &[&str] = &["device_name", "direction"];

/// What this collector can measure.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "disk/io_time",
        DEVICE,
        "The IO time spent on the disk, in ms",
    ),
    Metric::counter(
        "disk/weighted_io",
        DEVICE,
        "The weighted IO on the disk, in ms",
    ),
    Metric::gauge(
        "disk/avg_queue_len",
        DEVICE,
        "The average queue length on the disk",
    ),
    Metric::counter("disk/operation_count", DIRECTION, "Disk operations count"),
    Metric::counter(
        "disk/merged_operation_count",
        DIRECTION,
        "Disk merged operations count",
    ),
    Metric::counter(
        "disk/operation_bytes_count",
        DIRECTION,
        "Bytes transferred in disk operations",
    ),
    Metric::counter(
        "disk/operation_time",
        DIRECTION,
        "Time spent in disk operations, in ms",
    ),
    Metric::gauge(
        "disk/bytes_used",
        &["device_name", "fs_type", "mount_option", "state"],
        "Disk bytes used, in Bytes",
    ),
    Metric::gauge(
        "disk/percent_used",
        DEVICE,
        "Disk usage in percentage of total space",
    ),
    Metric::gauge(
        "filesystem/inodes",
        &["device_name", "state"],
        "Inodes of the file system, by state",
    ),
    Metric::gauge(
        "filesystem/percent_inodes_used",
        DEVICE,
        "Inode usage in percentage of all inodes",
    ),
    Metric::gauge(
        "filesystem/read_only",
        &["device_name", "mount_point"],
        "1 if the file system cannot be written to, because of its mount options or of an error",
    ),
];

/// `/proc/diskstats` counts in sectors of this size, whatever the disk's own.
const SECTOR: u64 = 512;

/// Reads `/proc/diskstats` and the mount table, and asks file systems how full they are.
/// The last can block on a dying disk: this collector runs on a thread of its own.
pub struct Disk {
    whole_disks: bool,
    attached_devices: bool,
    /// For the average queue length: when a device was last read, and its weighted time then.
    previous: BTreeMap<String, (Instant, u64)>,
}

/// A mounted block device.
struct Partition {
    mount: MountInfo,
    /// The options of the mount as the kernel orders them; procfs does not keep the order.
    options: Label,
}

/// Makes the collector.
pub fn new(config: &SectionConfig) -> Box<dyn Collect> {
    Box::new(Disk {
        whole_disks: config.include_root_blk,
        attached_devices: config.include_all_attached_blk,
        previous: BTreeMap::new(),
    })
}

impl Collect for Disk {
    fn collect(&mut self, roots: &Roots, pass: &mut Pass) -> anyhow::Result<()> {
        let partitions = partitions(roots)?;
        self.operations(roots, &partitions, pass)?;
        for (device, partition) in &partitions {
            space(roots, device, partition, pass);
        }
        Ok(())
    }
}

impl Disk {
    fn operations(
        &mut self,
        roots: &Roots,
        partitions: &BTreeMap<String, Partition>,
        pass: &mut Pass,
    ) -> anyhow::Result<()> {
        let text = read(&roots.proc.join("diskstats"))?;
        let now = Instant::now();
        let shown = self.shown(roots, partitions);
        let mut previous = BTreeMap::new();
        for line in text.lines() {
            let Ok(stat) = DiskStat::from_line(line) else {
                continue;
            };
            let wanted = shown
                .as_ref()
                .is_none_or(|names| names.contains(&stat.name));
            if !wanted || idle_since_boot(&stat) {
                continue;
            }
            device(&stat, pass);
            let weighted = stat.weighted_time_in_progress;
            if let Some((then, before)) = self.previous.get(&stat.name) {
                let elapsed = now.duration_since(*then).as_secs_f64() * 1000.0;
                let length = weighted.saturating_sub(*before) as f64 / elapsed.max(1.0);
                pass.set("disk/avg_queue_len", &[Label::from(&*stat.name)], length);
            }
            previous.insert(stat.name, (now, weighted));
        }
        self.previous = previous;
        Ok(())
    }

    /// The devices to show; `None` for all.
    fn shown(
        &self,
        roots: &Roots,
        partitions: &BTreeMap<String, Partition>,
    ) -> Option<BTreeSet<String>> {
        if !self.whole_disks && !self.attached_devices {
            return None;
        }
        let mut wanted = BTreeSet::new();
        if self.whole_disks {
            // What `lsblk --nodeps` prints: whole block devices, but neither empty loop devices
            // nor RAM disks.
            let whole = names(&roots.sys.join("block")).into_iter();
            wanted.extend(whole.filter(|name| is_listed(roots, name)));
        }
        if self.attached_devices {
            wanted.extend(partitions.keys().map(|device| basename(device).to_owned()));
        }
        Some(wanted)
    }
}

fn is_listed(roots: &Roots, device: &str) -> bool {
    let size = roots.sys.join("block").join(device).join("size");
    !device.starts_with("ram") && read_number(&size) != Some(0)
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

fn device(stat: &DiskStat, pass: &mut Pass) {
    let device = Label::from(&*stat.name);
    let only = [Label::clone(&device)];
    pass.count("disk/io_time", &only, stat.time_in_progress);
    pass.count("disk/weighted_io", &only, stat.weighted_time_in_progress);
    let read = [Label::clone(&device), Label::from("read")];
    let write = [device, Label::from("write")];
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
        pass.count(id, &read, reads);
        pass.count(id, &write, writes);
    }
}

/// The mounted block devices, each with its first mount: bind mounts are dropped, mapper names and
/// `/dev/root` resolved, as NPD does.
fn partitions(roots: &Roots) -> anyhow::Result<BTreeMap<String, Partition>> {
    let text = read(&roots.proc.join("1/mountinfo"))
        .or_else(|_| read(&roots.proc.join("self/mountinfo")))?;
    let mut seen = BTreeSet::new();
    let mut partitions = BTreeMap::new();
    for line in text.lines() {
        // A line that procfs cannot read is left out, not the whole table.
        let Ok(mount) = MountInfo::from_line(line) else {
            continue;
        };
        let source = mount.mount_source.as_deref().unwrap_or_default();
        if !source.starts_with('/') || !seen.insert(mount.majmin.clone()) {
            continue;
        }
        let device = device_name(roots, source, &mount.majmin);
        let options = Label::from(line.split(' ').nth(5).unwrap_or_default());
        partitions
            .entry(device)
            .or_insert(Partition { mount, options });
    }
    Ok(partitions)
}

/// The name without `/dev/`: of `/dev/mapper/x` the `dm-N` behind it, of `/dev/root` the real one.
fn device_name(roots: &Roots, source: &str, majmin: &str) -> String {
    let by_number = || {
        let link = std::fs::read_link(roots.sys.join("dev/block").join(majmin)).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    };
    let indirect = source.starts_with("/dev/mapper/") || source == "/dev/root";
    let resolved = if indirect { by_number() } else { None };
    resolved.unwrap_or_else(|| source.strip_prefix("/dev/").unwrap_or(source).to_owned())
}

fn basename(device: &str) -> &str {
    Path::new(device)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(device)
}

/// How full a file system is, and whether it can be written to. One that does not answer is left
/// out.
fn space(roots: &Roots, device: &str, Partition { mount, options }: &Partition, pass: &mut Pass) {
    let name = Label::from(device);
    let only = [Label::clone(&name)];
    let mount_point = Label::from(&*mount.mount_point.to_string_lossy());
    let labels = [Label::clone(&name), mount_point];
    pass.count("filesystem/read_only", &labels, read_only(mount).into());
    let Some(stat) = ASKED
        .iter()
        .any(|id| pass.wants(id))
        .then(|| usage(roots, mount))
        .flatten()
    else {
        return;
    };
    let size = stat.fragment_size();
    let free = stat.blocks_available().saturating_mul(size);
    let used = stat
        .blocks()
        .saturating_sub(stat.blocks_free())
        .saturating_mul(size);
    let fs_type = Label::from(&*mount.fs_type);
    for (state, bytes) in [("free", free), ("used", used)] {
        let labels = [&name, &fs_type, options, &Label::from(state)].map(Label::clone);
        pass.count("disk/bytes_used", &labels, bytes);
    }
    percent(
        "disk/percent_used",
        &only,
        used,
        used.saturating_add(free),
        pass,
    );
    let (inodes, free) = (stat.files(), stat.files_free());
    // btrfs and others make inodes as they need them, and report none.
    if inodes > 0 {
        let used = inodes.saturating_sub(free);
        for (state, count) in [("free", free), ("used", used)] {
            let labels = [Label::clone(&name), Label::from(state)];
            pass.count("filesystem/inodes", &labels, count);
        }
        percent("filesystem/percent_inodes_used", &only, used, inodes, pass);
    }
}

/// The metrics for which a file system is asked.
const ASKED: [&str; 4] = [
    "disk/bytes_used",
    "disk/percent_used",
    "filesystem/inodes",
    "filesystem/percent_inodes_used",
];

fn read_only(mount: &MountInfo) -> bool {
    mount.mount_options.contains_key("ro")
        || ["ro", "emergency_ro", "shutdown"]
            .iter()
            .any(|option| mount.super_options.contains_key(*option))
}

/// Asks the file system, through the first process's root where that can be entered: in a
/// container the host's mount points are not ours.
fn usage(roots: &Roots, mount: &MountInfo) -> Option<Statvfs> {
    let below = mount
        .mount_point
        .strip_prefix("/")
        .unwrap_or(&mount.mount_point);
    let through = statvfs(&roots.proc.join("1/root").join(below));
    through.or_else(|_| statvfs(&mount.mount_point)).ok()
}

fn percent(id: &str, labels: &[Label], used: u64, total: u64, pass: &mut Pass) {
    if total > 0 {
        pass.set(id, labels, used as f64 / total as f64 * 100.0);
    }
}
