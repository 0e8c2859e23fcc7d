//! Wakes a reader when its files change.

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
/// A reader must not depend on it, and must also read from time to time. inotify does not see changes
/// behind a symbolic link or in the lower layer of an overlay, and a node may have no watches left.
pub(crate) struct FolderWatch {
    inotify: Inotify,
    watched: Vec<WatchDescriptor>,
}

/// Waits for the changes that a [`FolderWatch`] sees.
pub(super) struct FolderChanges(AsyncFd<OwnedFd>);

impl FolderWatch {
    pub(super) fn new() -> io::Result<(Self, FolderChanges)> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let changes = FolderChanges(fd::readable(inotify.as_fd().try_clone_to_owned()?)?);
        let watched = Vec::new();
        Ok((Self { inotify, watched }, changes))
    }

    /// Watches the files at these paths, and nothing else. Returns true if one of them was not watched
    /// before; it may have changed already.
    pub(super) fn renew(&mut self, paths: &[(&Path, AddWatchFlags)]) -> bool {
        let paths = paths.iter();
        let now: Vec<_> = paths
            .filter_map(|(path, events)| self.inotify.add_watch(*path, *events).ok())
            .collect();
        let before = std::mem::replace(&mut self.watched, now.clone());
        for old in before.iter().filter(|old| !now.contains(old)) {
            // If the file is gone, its watch is gone too.
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
