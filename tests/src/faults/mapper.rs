//! Devices of the device mapper, whose tables can be replaced while they are used.

use anyhow::{Context as _, ensure};

use crate::agent::PATIENCE;

use super::disk::Disk;
use super::{left_behind, retry, run};

/// How large a disk is, in sectors of 512 bytes.
const SECTORS: u64 = (32 << 20) / 512;

/// A mapped device.
pub struct Mapped {
    name: String,
}

/// A pool that gives blocks to volumes when they are first written, and its volume.
pub struct ThinPool<'a> {
    // The volume goes first: the pool is in use.
    volume: Mapped,
    pool: Mapped,
    disks: [&'a Disk; 2],
}

impl Mapped {
    /// Makes a device of this name with this table.
    pub fn new(name: &str, table: &str) -> anyhow::Result<Self> {
        dmsetup(&["create", name, "--table", table])?;
        let name = name.to_owned();
        Ok(Self { name })
    }

    /// A device that is all of `disk`.
    pub fn linear(name: &str, disk: &Disk) -> anyhow::Result<Self> {
        Self::new(name, &linear(disk))
    }

    /// Its path, which is a link or a node of its own.
    pub fn path(&self) -> String {
        format!("/dev/mapper/{}", self.name)
    }

    /// Its number, for example `253:0`.
    pub fn number(&self) -> anyhow::Result<String> {
        let columns = ["--columns", "--noheadings", "--separator", ":", "-o"];
        let info = [&["info"], &columns[..], &["major,minor", &self.name]].concat();
        dmsetup(&info)
    }

    /// The kernel's name of it, for example `dm-0`.
    pub fn kernel_name(&self) -> anyhow::Result<String> {
        let number = self.number()?;
        let (_, minor) = number.split_once(':').context("a number without a colon")?;
        Ok(format!("dm-{minor}"))
    }

    /// Makes every request fail.
    pub fn fail(&self, disk: &Disk) -> anyhow::Result<()> {
        let disk = disk.path();
        // For 0 seconds it works, and then for an hour it does not.
        self.replace(&format!("0 {SECTORS} flakey {disk} 0 0 3600"))
    }

    /// Makes it all of `disk` again.
    pub fn mend(&self, disk: &Disk) -> anyhow::Result<()> {
        self.replace(&linear(disk))
    }

    fn replace(&self, table: &str) -> anyhow::Result<()> {
        dmsetup(&["load", &self.name, "--table", table])?;
        // A file system that is frozen for it could not write what it must.
        dmsetup(&["suspend", "--nolockfs", &self.name])?;
        dmsetup(&["resume", &self.name])?;
        Ok(())
    }
}

impl<'a> ThinPool<'a> {
    /// Makes a pool on two disks, of which it uses this many sectors for data, and a larger volume.
    pub fn new(disks: [&'a Disk; 2], sectors: u64) -> anyhow::Result<Self> {
        let pool = Mapped::new("npd-test-pool", &pool(disks, sectors))?;
        dmsetup(&["message", &pool.name, "0", "create_thin 0"])?;
        let table = format!("0 {SECTORS} thin {} 0", pool.path());
        let volume = Mapped::new("npd-test-volume", &table)?;
        Ok(Self {
            volume,
            pool,
            disks,
        })
    }

    /// The pool's number, by which the kernel's log calls it.
    pub fn number(&self) -> anyhow::Result<String> {
        self.pool.number()
    }

    /// Writes to the volume until nothing more can be written.
    pub fn fill(&self) -> anyhow::Result<()> {
        let to = format!("of={}", self.volume.path());
        let written = run("dd", &["if=/dev/zero", &to, "bs=64k", "oflag=direct"]);
        let error = written.err().context("the pool did not fill")?.to_string();
        ensure!(error.contains("No space left"), "{error}");
        Ok(())
    }

    /// Lets the pool use this many sectors for data.
    pub fn extend(&self, sectors: u64) -> anyhow::Result<()> {
        self.pool.replace(&pool(self.disks, sectors))
    }
}

fn linear(disk: &Disk) -> String {
    format!("0 {SECTORS} linear {} 0", disk.path())
}

/// Blocks of 64 KiB; it warns when half of 8 MiB is left; without space, requests fail at once.
fn pool([metadata, data]: [&Disk; 2], sectors: u64) -> String {
    let (metadata, data) = (metadata.path(), data.path());
    format!("0 {sectors} thin-pool {metadata} {data} 128 64 1 error_if_no_space")
}

fn dmsetup(args: &[&str]) -> anyhow::Result<String> {
    // Without udev it makes the nodes itself.
    run("env", &[&["DM_DISABLE_UDEV=1", "dmsetup"], args].concat())
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let removed = retry(PATIENCE, || dmsetup(&["remove", &self.name]));
        left_behind(&self.name, removed);
    }
}
