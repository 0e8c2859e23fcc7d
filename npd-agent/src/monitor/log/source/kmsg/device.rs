//! Reading `/dev/kmsg` without blocking.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::unistd::read;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::fd;

/// A source of records: `/dev/kmsg`, or the list of a test.
pub(super) trait KmsgDevice: Send {
    /// Reads a record if there is one; `None` if all is read.
    fn read_now(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>>;

    /// Waits for a record and reads it, with the errors of `devkmsg_read` (`EPIPE`, `EINVAL`).
    fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// The kernel's device.
pub(super) struct Kmsg(AsyncFd<OwnedFd>);

impl Kmsg {
    /// Opens the device at its oldest record.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(path)?;
        Ok(Self(fd::readable(file.into())?))
    }
}

impl KmsgDevice for Kmsg {
    fn read_now(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let read = read_once(self.0.get_ref(), buffer);
        Some(read).filter(|read| {
            let error = read.as_ref().err();
            error.is_none_or(|error| error.kind() != io::ErrorKind::WouldBlock)
        })
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = |fd: &OwnedFd| read_once(fd, buffer);
        self.0.async_io(Interest::READABLE, read).await
    }
}

fn read_once(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match read(fd, buffer) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}
