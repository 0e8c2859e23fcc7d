//! A FUSE server that does not answer.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::Context as _;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use super::left_behind;

/// A file system whose server takes no requests, so everyone who uses it waits.
pub struct SilentFuse {
    folder: TempDir,
    /// What the server would read requests from. Without it, requests fail.
    device: Option<File>,
}

impl SilentFuse {
    /// Mounts it under this name.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let mut options = File::options();
        let device = options.read(true).write(true).open("/dev/fuse");
        let device = device.context("opening /dev/fuse")?;
        let data = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        mount(
            Some(name),
            folder.path(),
            Some("fuse"),
            MsFlags::empty(),
            Some(data.as_str()),
        )
        .context("mounting a FUSE file system")?;
        Ok(Self {
            folder,
            device: Some(device),
        })
    }

    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SilentFuse {
    fn drop(&mut self) {
        // Everyone who waits gets an error.
        self.device = None;
        let unmounted = umount2(self.folder.path(), MntFlags::MNT_DETACH);
        left_behind("a FUSE file system", unmounted.context("unmounting it"));
    }
}
