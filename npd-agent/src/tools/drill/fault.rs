//! The faults of a drill. Each is real, and ends with the drill.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use super::place::{DrillPlace, PLACE, write};
use super::program::start;
use super::{HOG, TOUCH};

/// A kind of fault.
pub(super) struct DrillFault {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What is done, for people.
    pub(super) about: &'static str,
    /// The reasons with which the agent reports it.
    pub(super) reasons: &'static [&'static str],
    /// Makes the fault.
    make: fn(&DrillPlace) -> anyhow::Result<Hit>,
}

/// What a fault has hit.
pub(super) struct Hit {
    /// When the fault was made.
    pub(super) made: Instant,
    /// Messages about it contain one of these.
    pub(super) names: Vec<String>,
}

/// Every fault, the fast ones first.
pub(super) const FAULTS: &[DrillFault] = &[
    DrillFault {
        name: "oom",
        about: "a process in a cgroup of its own takes more memory than it may",
        reasons: &["OOMKilling"],
        make: oom,
    },
    DrillFault {
        name: "io",
        about: "a disk in a file loses its end",
        reasons: &["IOError"],
        make: io,
    },
    DrillFault {
        name: "readonly",
        about: "ext4 on a disk in a file finds an error and becomes read-only",
        reasons: &["FilesystemError", "Ext4Error"],
        make: readonly,
    },
    DrillFault {
        name: "hung",
        about: "a process waits for a frozen file system (this takes the agent's hungTaskThreshold, by default 30 s)",
        reasons: &["TaskHung"],
        make: hung,
    },
];

/// Half of the disk. Its file is cut before that.
const MIDDLE: u64 = 16 << 20;

impl DrillFault {
    /// Makes the fault.
    pub(super) fn make(&self, place: &DrillPlace) -> anyhow::Result<Hit> {
        (self.make)(place).with_context(|| format!("making the fault {}", self.name))
    }
}

fn oom(place: &DrillPlace) -> anyhow::Result<Hit> {
    let procs = place.cgroup()?;
    let made = Instant::now();
    let hog = start(HOG, &procs)?;
    let names = vec![format!(" {} (", hog.id()), PLACE.to_owned()];
    Ok(Hit { made, names })
}

fn io(place: &DrillPlace) -> anyhow::Result<Hit> {
    let device = place.disk()?;
    let image = File::options().write(true).open(&place.image)?;
    image.set_len(MIDDLE / 2)?;
    let disk = File::open(Path::new("/dev").join(&device))?;
    let made = Instant::now();
    let read = disk.read_exact_at(&mut [0; 4096], MIDDLE);
    ensure!(read.is_err(), "the disk can be read behind its end");
    let names = vec![format!("dev {device},")];
    Ok(Hit { made, names })
}

fn readonly(place: &DrillPlace) -> anyhow::Result<Hit> {
    let device = place.filesystem()?;
    let made = Instant::now();
    place.break_filesystem(&device)?;
    let names = vec![device];
    Ok(Hit { made, names })
}

fn hung(place: &DrillPlace) -> anyhow::Result<Hit> {
    place.filesystem()?;
    let mount = place.mount.display().to_string();
    place.run("fsfreeze", &["--freeze", &mount])?;
    let made = Instant::now();
    let waiting = start(TOUCH, &place.mount.join("file"))?;
    let names = vec![format!(":{} ", waiting.id())];
    Ok(Hit { made, names })
}

/// Takes memory until the kernel kills this process.
pub(super) fn hog(procs: &Path) -> anyhow::Result<()> {
    write(procs, &std::process::id().to_string())?;
    let mut taken: Vec<Vec<u8>> = Vec::new();
    while taken.len() < 256 {
        taken.push(vec![1; 1 << 20]);
    }
    bail!("the kernel did not kill it: the cgroup has no limit")
}
