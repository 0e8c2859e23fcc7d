//! Wakes a reader when its files have changed.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
pub(super) use nix::sys::inotify::AddWatchFlags;
use nix::sys::inotify::{InitFlags, Inotify, WatchDescriptor};
use nix::unistd::read;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::fd;

/// What inotify watches for a reader.
///
/// It is not relied upon. It does not see what happens behind a symbolic link, nor in the lower
/// layer of an overlay, and a node may have no watches left to give. So a reader looks by itself
/// from time to time.
pub(crate) struct FolderWatch {
    inotify: Inotify,
    watched: Vec<WatchDescriptor>,
}

/// The end of a [`FolderWatch`] that waits.
pub(super) struct FolderChanges(AsyncFd<OwnedFd>);

impl FolderWatch {
    pub(super) fn new() -> io::Result<(Self, FolderChanges)> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let changes = FolderChanges(fd::readable(inotify.as_fd().try_clone_to_owned()?)?);
        let watched = Vec::new();
        Ok((Self { inotify, watched }, changes))
    }

    /// Watches what these paths lead to now, and nothing else. True if something of it was not
    /// watched before: it may have changed already.
    pub(super) fn renew(&mut self, paths: &[(&Path, AddWatchFlags)]) -> bool {
        let paths = paths.iter();
        let now: Vec<_> = paths
            .filter_map(|(path, events)| self.inotify.add_watch(*path, *events).ok())
            .collect();
        let before = std::mem::replace(&mut self.watched, now.clone());
        for old in before.iter().filter(|old| !now.contains(old)) {
            // It is gone already if the file is.
            let _gone = self.inotify.rm_watch(*old);
        }
        now.iter().any(|new| !before.contains(new))
    }
}

impl FolderChanges {
    /// Waits until something has changed.
    pub(super) async fn wait(&self) -> io::Result<()> {
        let discard = |fd: &OwnedFd| {
            let mut events = [0; 4096];
            let mut changed = false;
            loop {
                match read(fd, &mut events) {
                    Ok(_) => changed = true,
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) if changed => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        self.0.async_io(Interest::READABLE, discard).await
    }
}
