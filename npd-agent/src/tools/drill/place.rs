//! Where a drill makes its faults: a folder, a disk in a file, and a cgroup, all with fixed names. So whoever
//! comes later can undo what is left, whatever has happened to the drill.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};

use super::program::run;
use crate::node::Roots;
use crate::node::mountinfo::{each_mount, path};

/// The name of everything that a drill makes.
pub(super) const PLACE: &str = "npd-agent-drill";

/// The size of the disk, in bytes.
const DISK: u64 = 32 << 20;

/// What the processes in the cgroup may use, in bytes.
const MEMORY: &str = "20971520";

/// How long to try to undo something: a task that has just been woken may still use it.
const PATIENCE: Duration = Duration::from_secs(10);
const PACE: Duration = Duration::from_millis(100);

/// The paths of what a drill makes.
#[derive(Debug)]
pub(super) struct DrillPlace {
    pub(super) folder: PathBuf,
    pub(super) image: PathBuf,
    pub(super) mount: PathBuf,
    sys: PathBuf,
    /// What the programs hold that make a fault: see [`super::program::Guardian`].
    pub(super) leash: Option<OwnedFd>,
}

impl DrillPlace {
    pub(super) fn new(roots: &Roots) -> Self {
        let folder = roots.run.join(PLACE);
        Self {
            image: folder.join("disk"),
            mount: folder.join("mount"),
            folder,
            sys: roots.sys.clone(),
            leash: None,
        }
    }

    /// Runs a program to its end, and returns what it printed.
    pub(super) fn run(&self, program: &str, args: &[&str]) -> anyhow::Result<String> {
        run(program, args, self.leash.as_ref())
    }

    /// Makes the folder.
    pub(super) fn make_folder(&self) -> anyhow::Result<()> {
        let made = fs::create_dir_all(&self.folder);
        made.with_context(|| format!("making {}", self.folder.display()))
    }

    /// Makes sure that no other drill runs, as long as the lock is there.
    pub(super) fn enter(&self) -> anyhow::Result<Flock<File>> {
        let path = self.folder.with_extension("lock");
        let lock = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        let locked = Flock::lock(lock, FlockArg::LockExclusiveNonblock);
        locked
            .map_err(|(_, error)| error)
            .context("another drill runs")
    }

    /// Makes a disk, and returns the name of its device.
    pub(super) fn disk(&self) -> anyhow::Result<String> {
        let image = File::create(&self.image).context("making the file of a disk")?;
        image.set_len(DISK).context("making the file of a disk")?;
        let image = self.image.display().to_string();
        let device = self.run("losetup", &["--find", "--show", &image])?;
        let name = device
            .strip_prefix("/dev/")
            .context("losetup names no device")?;
        Ok(name.to_owned())
    }

    /// Makes and mounts a file system on a disk, and returns the name of its device.
    pub(super) fn filesystem(&self) -> anyhow::Result<String> {
        let name = self.disk()?;
        let device = format!("/dev/{name}");
        self.run("mkfs.ext4", &["-q", &device])?;
        fs::create_dir_all(&self.mount).context("making a mount point")?;
        let mount = self.mount.display().to_string();
        self.run("mount", &["-o", "errors=remount-ro", &device, &mount])?;
        Ok(name)
    }

    /// Makes ext4 believe that it has found an error.
    pub(super) fn break_filesystem(&self, device: &str) -> anyhow::Result<()> {
        let folder = self.sys.join("fs/ext4").join(device);
        write(&folder.join("trigger_fs_error"), "a drill")
    }

    /// Makes the cgroup, and returns the file that takes a process into it.
    pub(super) fn cgroup(&self) -> anyhow::Result<PathBuf> {
        let [v1, v2] = self.cgroups();
        let (folder, limit) = if v1.with_file_name("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes")
        } else {
            // With systemd, this is already the case.
            let root = v2.with_file_name("cgroup.subtree_control");
            write(&root, "+memory")?;
            (v2, "memory.max")
        };
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        write(&folder.join(limit), MEMORY)?;
        // With swap, it would take long until a process is killed. Not every kernel counts swap.
        let swap = folder.join("memory.swap.max");
        if swap.exists() {
            write(&swap, "0")?;
        }
        Ok(folder.join("cgroup.procs"))
    }

    /// The cgroup, in version 1 and 2.
    fn cgroups(&self) -> [PathBuf; 2] {
        let root = self.sys.join("fs/cgroup");
        [root.join("memory").join(PLACE), root.join(PLACE)]
    }

    /// Undoes everything, also what an earlier drill has left.
    pub(super) fn undo(&self) -> anyhow::Result<()> {
        let mount = self.mount.display().to_string();
        if is_mounted(&self.mount)? {
            // It may not be frozen.
            drop(self.run("fsfreeze", &["--unfreeze", &mount]));
            retry(|| self.run("umount", &[&mount]).map(drop))?;
        }
        if self.image.exists() {
            let image = self.image.display().to_string();
            let devices = self.run(
                "losetup",
                &["--associated", &image, "--noheadings", "--output", "NAME"],
            )?;
            for device in devices.lines() {
                self.run("losetup", &["--detach", device.trim()])?;
            }
        }
        for cgroup in self.cgroups() {
            retry(|| gone(fs::remove_dir(&cgroup)).context("removing the cgroup"))?;
        }
        gone(fs::remove_dir_all(&self.folder)).context("removing the folder")
    }
}

/// Whether something is mounted there.
fn is_mounted(point: &Path) -> anyhow::Result<bool> {
    let mut is_mounted = false;
    each_mount(Path::new("/proc/self/mountinfo"), |mount| {
        is_mounted |= path(&mount.mount_point) == point;
    })?;
    Ok(is_mounted)
}

pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {text:?} to {}", path.display()))
}

/// What is not there needs not be removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn retry<T>(mut action: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match action() {
            Err(_) if Instant::now() < end => pause(PACE),
            result => return result,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a drill has nothing else to do")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}
