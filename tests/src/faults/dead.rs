//! A disk that does not answer.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::Context as _;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::left_behind;

/// A mounted file system that never answers: FUSE without the program that would. Whatever touches what is
/// on it waits until this is dropped, and then fails.
pub struct DeadDisk<'a> {
    point: &'a Path,
    device: Option<File>,
}

impl<'a> DeadDisk<'a> {
    /// Mounts it on a folder. It should be in a mount namespace of its own, because whoever lists the folder
    /// waits, too.
    pub fn mount(point: &'a Path) -> anyhow::Result<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.context("opening /dev/fuse")?;
        let number = device.as_raw_fd();
        let options = format!("fd={number},rootmode=40000,user_id=0,group_id=0,allow_other");
        mount(
            Some("npd-test"),
            point,
            Some("fuse"),
            MsFlags::empty(),
            Some(&*options),
        )
        .context("mounting a file system that does not answer")?;
        let device = Some(device);
        Ok(Self { point, device })
    }
}

impl Drop for DeadDisk<'_> {
    fn drop(&mut self) {
        // Those who wait are told that nobody will answer.
        self.device.take();
        let unmounted = umount2(self.point, MntFlags::MNT_DETACH);
        left_behind(
            &self.point.display().to_string(),
            unmounted.context("unmounting it"),
        );
    }
}
