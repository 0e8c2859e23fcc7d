//! File systems that break.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::agent::PATIENCE;

use super::{left_behind, read, retry, run, write};

/// What is read at a time, in bytes.
const BLOCK: usize = 4096;

/// The file systems that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Reports errors and becomes read-only.
    Ext4,
    /// Shuts itself down.
    Xfs,
    /// Becomes read-only.
    Btrfs,
}

impl Type {
    /// The program that makes one.
    fn mkfs(self) -> &'static str {
        match self {
            Self::Ext4 => "mkfs.ext4",
            Self::Xfs => "mkfs.xfs",
            Self::Btrfs => "mkfs.btrfs",
        }
    }

    /// The size of a disk for it, in bytes: the program refuses smaller ones. Nearly all of it are holes.
    fn size(self) -> u64 {
        match self {
            Self::Ext4 => 32 << 20,
            Self::Xfs => 320 << 20,
            Self::Btrfs => 128 << 20,
        }
    }
}

/// A loop device with a file system on it.
pub struct Disk {
    device: String,
    r#type: Type,
    /// Holds the image and the mount points.
    folder: TempDir,
}

/// A mounted [`Disk`].
pub struct Mount<'a> {
    disk: &'a Disk,
    point: PathBuf,
}

/// A mounted file system that lets every writer wait.
pub struct Frozen<'a>(&'a Mount<'a>);

impl Disk {
    /// Makes a file system on a loop device of its own.
    pub fn new(r#type: Type) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let image_name = image(&folder, r#type.size())?;
        run(r#type.mkfs(), &["-q", &image_name])?;
        Self::attach(folder, &image_name, r#type)
    }

    /// Makes an empty disk.
    pub fn empty() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let image_name = image(&folder, Type::Ext4.size())?;
        Self::attach(folder, &image_name, Type::Ext4)
    }

    /// Makes an empty disk on a file of a mounted file system: it dies when that is shut down.
    pub fn inside(mount: &Mount<'_>) -> anyhow::Result<Self> {
        Self::of_size(mount, Type::Ext4.size(), mount.disk.r#type)
    }

    /// The same with a file system.
    pub fn formatted_inside(mount: &Mount<'_>, r#type: Type) -> anyhow::Result<Self> {
        let disk = Self::of_size(mount, r#type.size(), r#type)?;
        run(r#type.mkfs(), &["-q", &disk.device])?;
        Ok(disk)
    }

    fn of_size(mount: &Mount<'_>, size: u64, r#type: Type) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(mount.point()).context("making a folder")?;
        let image_name = image(&folder, size)?;
        Self::attach(folder, &image_name, r#type)
    }

    fn attach(folder: TempDir, image_name: &str, r#type: Type) -> anyhow::Result<Self> {
        // Another process may take the free device that losetup found.
        let device = retry(PATIENCE, || {
            run("losetup", &["--find", "--show", image_name])
        })?;
        Ok(Self {
            device,
            r#type,
            folder,
        })
    }

    /// The device's path, for example `/dev/loop0`.
    pub fn path(&self) -> &str {
        &self.device
    }

    /// The device's name, for example `loop0`.
    pub fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }

    /// The device's number, for example `7:0`.
    pub fn number(&self) -> anyhow::Result<String> {
        let number = read(&Path::new("/sys/block").join(self.name()).join("dev"))?;
        Ok(number.trim().to_owned())
    }

    /// Reads the first blocks of 4 KiB, one at a time and not from the page cache. Returns how many
    /// could not be read.
    pub fn failing_reads(&self, blocks: u64) -> anyhow::Result<u64> {
        let mut options = File::options();
        let device = options.read(true).custom_flags(nix::libc::O_DIRECT);
        let device = device.open(&self.device).context("opening a device")?;
        // The kernel wants the buffer aligned, too.
        let mut buffer = vec![0_u8; 2 * BLOCK];
        let start = buffer.as_ptr().align_offset(BLOCK);
        let buffer = buffer.get_mut(start..start + BLOCK);
        let buffer = buffer.context("no aligned buffer")?;
        let offsets = (0..blocks).map(|block| block * BLOCK as u64);
        let failing = offsets.filter(|offset| device.read_exact_at(buffer, *offset).is_err());
        Ok(failing.count() as u64)
    }

    /// Whether the first block can be read through the page cache.
    pub fn can_be_read(&self) -> anyhow::Result<bool> {
        let device = File::open(&self.device).context("opening a device")?;
        Ok(device.read_exact_at(&mut [0; BLOCK], 0).is_ok())
    }

    /// Where [`Self::mount`] mounts it.
    pub fn mount_point(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Mounts it.
    pub fn mount(&self, options: &str) -> anyhow::Result<Mount<'_>> {
        let point = self.mount_point();
        std::fs::create_dir_all(&point).context("making a mount point")?;
        self.mount_at(point, options)
    }

    /// Mounts it on a folder of the machine, and so hides what is in it.
    pub fn mount_at(&self, point: PathBuf, options: &str) -> anyhow::Result<Mount<'_>> {
        let place = point.display().to_string();
        run("mount", &["-o", options, &self.device, &place])?;
        Ok(Mount { disk: self, point })
    }

    /// Repairs it while it is not mounted.
    pub fn repair(&self) -> anyhow::Result<()> {
        let (program, arguments) = match self.r#type {
            // It exits with 1 when it has corrected something.
            Type::Ext4 => ("sh", ["-c", r#"e2fsck -fy "$0" || [ $? = 1 ]"#].as_slice()),
            Type::Xfs => ("xfs_repair", [].as_slice()),
            Type::Btrfs => ("btrfs", ["check", "--repair", "--force"].as_slice()),
        };
        run(program, &[arguments, &[&self.device]].concat()).map(drop)
    }
}

/// Makes the image of a disk of so many bytes, and returns its path.
fn image(folder: &TempDir, size: u64) -> anyhow::Result<String> {
    let image = folder.path().join("image");
    let file = File::create(&image).context("making an image")?;
    file.set_len(size).context("sizing an image")?;
    Ok(image.display().to_string())
}

impl Mount<'_> {
    /// Where it is.
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// Makes ext4 believe that it has found an error.
    pub fn ext4_error(&self) -> anyhow::Result<()> {
        let folder = Path::new("/sys/fs/ext4").join(self.disk.name());
        write(&folder.join("trigger_fs_error"), "a test")
    }

    /// Shuts XFS down, as it does itself when its log cannot be written.
    pub fn xfs_shutdown(&self) -> anyhow::Result<()> {
        let point = self.point.display().to_string();
        run("xfs_io", &["-x", "-c", "shutdown -f", &point]).map(drop)
    }

    /// Does what an operator does with `mount -o remount,…`.
    pub fn remount(&self, options: &str) -> anyhow::Result<()> {
        let point = self.point.display().to_string();
        let options = format!("remount,{options}");
        run("mount", &["-o", &options, &point]).map(drop)
    }

    /// Lets every writer wait until the guard is dropped.
    pub fn freeze(&self) -> anyhow::Result<Frozen<'_>> {
        let point = self.point.display().to_string();
        run("fsfreeze", &["--freeze", &point])?;
        Ok(Frozen(self))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let point = self.0.point.display().to_string();
        left_behind(&point, run("fsfreeze", &["--unfreeze", &point]));
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let point = self.point.display().to_string();
        // A task that has just been woken may still use it.
        let unmounted = retry(PATIENCE, || run("umount", &[&point]));
        left_behind(&point, unmounted);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let detached = run("losetup", &["--detach", &self.device]);
        left_behind(&self.device, detached);
    }
}
