//! Wakes a reader when its file has changed.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::unistd::read;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::fd;

/// What inotify watches for a log file: its content, and the names in its folder.
///
/// It is not relied upon. It does not see what happens behind a symbolic link, nor in the lower
/// layer of an overlay, and a node may have no watches left to give. So a reader looks by itself
/// from time to time.
pub(super) struct Watch {
    inotify: Inotify,
    folder: Option<WatchDescriptor>,
    file: Option<WatchDescriptor>,
}

/// The end of a [`Watch`] that waits.
pub(super) struct Changes(AsyncFd<OwnedFd>);

impl Watch {
    pub(super) fn new() -> std::io::Result<(Self, Changes)> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let changes = Changes(fd::readable(inotify.as_fd().try_clone_to_owned()?)?);
        let watch = Self {
            inotify,
            folder: None,
            file: None,
        };
        Ok((watch, changes))
    }

    /// Watches the file and the folder to which `path` leads now. True if that is another one than
    /// before: it may have changed before it was watched.
    pub(super) fn renew(&mut self, path: &Path) -> bool {
        let names = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => path,
        };
        let folder = self.inotify.add_watch(folder, names).ok();
        let file = self.inotify.add_watch(path, AddWatchFlags::IN_MODIFY).ok();
        let changed = (folder, file) != (self.folder, self.file);
        for (new, old) in [(folder, self.folder), (file, self.file)] {
            if let Some(old) = old.filter(|_| new != old) {
                // It is gone already if the file is.
                let _gone = self.inotify.rm_watch(old);
            }
        }
        (self.folder, self.file) = (folder, file);
        changed
    }
}

impl Changes {
    /// Waits until something has changed.
    pub(super) async fn wait(&self) -> std::io::Result<()> {
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
