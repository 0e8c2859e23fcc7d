//! `disk`: how full the mounted file systems are.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::ensure;
use nix::sys::statvfs::statvfs;

use super::metric::{Collect, Label, Labels, Metric, Sample};
use super::mounts::{Mount, mounts};
use crate::node::Roots;
use crate::node::block::BlockDevice;

const DEVICE: &[&str] = &["device_name"];

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "disk/bytes_used",
        "disk_bytes_used",
        &["device_name", "fs_type", "mount_option", "state"],
        "Disk bytes used, in Bytes",
    ),
    Metric::gauge(
        "disk/percent_used",
        "disk_percent_used",
        DEVICE,
        "Disk usage in percentage of total space",
    ),
    Metric::gauge(
        "filesystem/inodes",
        "filesystem_inodes",
        &["device_name", "state"],
        "Inodes of the file system, by state",
    ),
    Metric::gauge(
        "filesystem/percent_inodes_used",
        "filesystem_percent_inodes_used",
        DEVICE,
        "Inode usage in percentage of all inodes",
    ),
    Metric::gauge(
        "filesystem/read_only",
        "filesystem_read_only",
        &["device_name", "mount_point"],
        "1 if the file system cannot be written to, because of its mount options or of an error",
    ),
];

/// How long one file system may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many file systems may fail to answer in one collection. The others are asked in the next one.
const MAX_SILENT: usize = 5;

/// How many threads may hang in file systems that do not answer. Then only those are asked that have
/// answered before.
const MAX_HUNG: usize = 64;

/// Reads the mount table and asks file systems how full they are. A file system that does not answer (a
/// broken disk, a FUSE daemon that hangs) is skipped until it does. Those that have answered before are
/// asked first, so that new ones that do not answer keep none of them out.
pub struct FilesystemCollector {
    ask: Ask,
    /// The threads that still wait, by mount point.
    hung: BTreeMap<PathBuf, JoinHandle<()>>,
    /// The mount points of those that have answered.
    answered: BTreeSet<PathBuf>,
}

/// Asks a file system: [`ask`], or a replacement in tests.
type Ask = fn(&Roots, &StatsMount) -> io::Result<FilesystemUsage>;

/// The mount point and the device of a file system.
struct StatsMount {
    point: PathBuf,
    device: BlockDevice,
}

/// The answer of a file system.
#[derive(Clone, Copy, Debug)]
struct FilesystemUsage {
    bytes: Shares,
    inodes: Shares,
}

/// The amount of blocks or inodes, as in `statvfs(3)`.
#[derive(Clone, Copy, Debug)]
struct Shares {
    used: u64,
    /// Available to everybody; there may be more for root.
    free: u64,
}

impl Default for FilesystemCollector {
    fn default() -> Self {
        Self {
            ask,
            hung: BTreeMap::new(),
            answered: BTreeSet::new(),
        }
    }
}

impl Collect for FilesystemCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let mut mounts: Vec<_> = mounts(roots)?.into_iter().collect();
        for (device, mount) in &mounts {
            let point = Label::from(&*mount.point.to_string_lossy());
            let labels = [Label::from(&**device), point];
            sample.count("filesystem/read_only", labels, mount.read_only.into());
        }
        // Only this metric does not need a call on the file system.
        let read_only_alone = METRICS
            .iter()
            .all(|metric| metric.id == "filesystem/read_only" || !sample.wants(metric.id));
        if read_only_alone {
            return Ok(());
        }
        self.hung.retain(|_, thread| !thread.is_finished());
        mounts.retain(|(_, mount)| !self.hung.contains_key(&mount.point));
        self.answered
            .retain(|point| mounts.iter().any(|(_, mount)| mount.point == *point));
        let (known, new): (Vec<_>, Vec<_>) = mounts
            .into_iter()
            .partition(|(_, mount)| self.answered.contains(&mount.point));
        let most = self.hung.len() + MAX_SILENT;
        self.ask_each(roots, &known, most, sample)?;
        self.ask_each(roots, &new, most.min(MAX_HUNG), sample)?;
        let silent = self.hung.keys().map(|point| point.display().to_string());
        let silent: Vec<_> = silent.collect();
        ensure!(
            silent.is_empty(),
            "no answer from the file system on {}",
            silent.join(", ")
        );
        Ok(())
    }
}

impl FilesystemCollector {
    /// Asks file systems until so many threads hang.
    fn ask_each(
        &mut self,
        roots: &Roots,
        mut mounts: &[(String, Mount)],
        most_hung: usize,
        sample: &mut Sample,
    ) -> io::Result<()> {
        while !mounts.is_empty() && self.hung.len() < most_hung {
            mounts = self.ask_in_turn(roots, mounts, sample)?;
        }
        Ok(())
    }

    /// Asks file systems until one does not answer. Returns those after it.
    fn ask_in_turn<'a>(
        &mut self,
        roots: &Roots,
        mounts: &'a [(String, Mount)],
        sample: &mut Sample,
    ) -> io::Result<&'a [(String, Mount)]> {
        let places = mounts.iter().map(|(_, mount)| StatsMount {
            point: mount.point.clone(),
            device: mount.device,
        });
        let (thread, answers) = ask_all(self.ask, roots.clone(), places.collect())?;
        for (index, (device, mount)) in mounts.iter().enumerate() {
            match answers.recv_timeout(PATIENCE) {
                Ok(Ok(usage)) => {
                    self.answered.insert(mount.point.clone());
                    show(device, mount, usage, sample);
                }
                // It was unmounted meanwhile, or the agent cannot see it.
                Ok(Err(_)) => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.answered.remove(&mount.point);
                    self.hung.insert(mount.point.clone(), thread);
                    return Ok(&mounts[index + 1..]);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(&[])
    }
}

type Answers = Receiver<io::Result<FilesystemUsage>>;

/// Asks on a thread of its own, which ends when nobody waits for its answers.
fn ask_all(
    ask: Ask,
    roots: Roots,
    places: Vec<StatsMount>,
) -> io::Result<(JoinHandle<()>, Answers)> {
    let (sender, answers) = sync_channel(places.len());
    let thread = thread::Builder::new()
        .name("statvfs".to_owned())
        .spawn(move || {
            for place in places {
                if sender.send(ask(&roots, &place)).is_err() {
                    break;
                }
            }
        })?;
    Ok((thread, answers))
}

/// Asks the file system through the root folder of process 1, because a container has other mount points
/// than the node. If that root cannot be opened, uses the agent's own path if it is on the same device.
fn ask(roots: &Roots, StatsMount { point, device }: &StatsMount) -> io::Result<FilesystemUsage> {
    let below = point.strip_prefix("/").unwrap_or(point);
    let stat = match statvfs(&roots.proc.join("1/root").join(below)) {
        Ok(stat) => stat,
        Err(error) if device_of(point).as_ref() != Some(device) => return Err(error.into()),
        Err(_) => statvfs(point)?,
    };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    let used = |all: u64, free: u64| all.saturating_sub(free);
    Ok(FilesystemUsage {
        bytes: Shares {
            used: bytes(used(stat.blocks(), stat.blocks_free())),
            free: bytes(stat.blocks_available()),
        },
        inodes: Shares {
            used: used(stat.files(), stat.files_free()),
            free: stat.files_free(),
        },
    })
}

/// The device of a path.
fn device_of(path: &Path) -> Option<BlockDevice> {
    BlockDevice::from_stat(path.metadata().ok()?.dev())
}

fn show(
    device: &str,
    mount: &Mount,
    FilesystemUsage { bytes, inodes }: FilesystemUsage,
    sample: &mut Sample,
) {
    let device = Label::from(device);
    let only = Labels::from([Label::clone(&device)]);
    for (state, share) in [("free", bytes.free), ("used", bytes.used)] {
        let state = Label::from(state);
        let labels = [&device, &mount.fs_type, &mount.options, &state].map(Label::clone);
        sample.count("disk/bytes_used", labels, share);
    }
    let total = bytes.used.saturating_add(bytes.free);
    sample.percent("disk/percent_used", Labels::clone(&only), bytes.used, total);
    // btrfs and others create inodes when needed, and report none.
    let total = inodes.used.saturating_add(inodes.free);
    if total > 0 {
        for (state, share) in [("free", inodes.free), ("used", inodes.used)] {
            let labels = [Label::clone(&device), Label::from(state)];
            sample.count("filesystem/inodes", labels, share);
        }
        sample.percent("filesystem/percent_inodes_used", only, inodes.used, total);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::monitor::stats::metric::{WantedMetric, WantedMetrics};
    use crate::monitor::stats::tests::Tree;

    /// Answers at once, or if there is a gate, when the gate is opened.
    fn ask(roots: &Roots, place: &StatsMount) -> io::Result<FilesystemUsage> {
        let gate = roots.run.join(place.point.file_name().unwrap());
        if gate.exists() {
            fs::read(gate)?;
        }
        let shares = Shares { used: 1, free: 3 };
        Ok(FilesystemUsage {
            bytes: shares,
            inodes: shares,
        })
    }

    #[test]
    fn a_path_of_ours_is_asked_only_if_it_is_the_nodes_too() {
        let roots = Tree::new().roots();
        let asked = |device: BlockDevice| {
            let point = PathBuf::from("/");
            super::ask(&roots, &StatsMount { point, device })
        };
        let used = asked(device_of(Path::new("/")).unwrap())
            .unwrap()
            .bytes
            .used;
        assert!(used > 0);
        assert!(asked(BlockDevice { major: 0, minor: 0 }).is_err());
    }

    #[test]
    fn one_that_does_not_answer_is_left_out_until_it_does() {
        let tree = Tree::new();
        let mounts = [(1, "a"), (2, "sick"), (3, "z")];
        let line =
            |(minor, name)| format!("1 0 8:{minor} / /mnt/{name} rw - ext4 /dev/{name} rw\n");
        tree.file("proc/1/mountinfo", &mounts.map(line).concat())
            .file("run/other", "");
        let roots = tree.roots();
        let gate = roots.run.join("sick");
        mkfifo(&gate, Mode::S_IRWXU).unwrap();
        let mut filesystems = FilesystemCollector {
            ask,
            ..FilesystemCollector::default()
        };
        let metric = &METRICS[1];
        let wanted = WantedMetrics::from([(metric.id, WantedMetric { metric, name: None })]);
        let mut answers = || {
            let mut sample = Sample::new(&wanted);
            let error = filesystems.collect(&roots, &mut sample).err();
            let series = sample.series(metric.id).unwrap().iter();
            let devices: Vec<_> = series.map(|one| one.labels[0].to_string()).collect();
            (devices.join(" "), error.map(|error| error.to_string()))
        };

        let silence = "no answer from the file system on /mnt/sick".to_owned();
        assert_eq!(answers(), ("a z".to_owned(), Some(silence.clone())));
        // It is not asked again while it is waited for.
        assert_eq!(answers(), ("a z".to_owned(), Some(silence)));

        let opened = OpenOptions::new().write(true).open(&gate).unwrap();
        fs::remove_file(&gate).unwrap();
        drop(opened);
        while answers() != ("a sick z".to_owned(), None) {
            thread::yield_now();
        }
    }

    #[test]
    fn many_that_do_not_answer_keep_no_other_out() {
        let tree = Tree::new();
        let sick = (0..9).map(|number| format!("sick{number}"));
        let names: Vec<_> = sick.chain(["z".to_owned()]).collect();
        let lines = names
            .iter()
            .zip(1..)
            .map(|(name, minor)| format!("1 0 8:{minor} / /mnt/{name} rw - ext4 /dev/{name} rw\n"));
        tree.file("proc/1/mountinfo", &lines.collect::<String>())
            .file("run/other", "");
        let roots = tree.roots();
        for sick in &names[..9] {
            mkfifo(&roots.run.join(sick), Mode::S_IRWXU).unwrap();
        }
        let mut filesystems = FilesystemCollector {
            ask,
            ..FilesystemCollector::default()
        };
        let metric = &METRICS[1];
        let wanted = WantedMetrics::from([(metric.id, WantedMetric { metric, name: None })]);
        let mut asked = Vec::new();
        for _ in 0..2 {
            let mut sample = Sample::new(&wanted);
            let error = filesystems.collect(&roots, &mut sample).err().unwrap();
            let series = sample.series(metric.id).map_or(0, <[_]>::len);
            asked.push((error.to_string().matches("sick").count(), series));
        }
        assert_eq!(asked, [(5, 0), (9, 1)]);
    }
}
