//! File descriptors: those that the runtime waits on, and those that a thread writes to.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Hands `fd`, which must not block, to the runtime, to wait until it can be read.
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(fd, Interest::READABLE)
}

/// Hands `fd` to the runtime, to wait for what poll(2) calls an exceptional condition (`POLLPRI`):
/// files of procfs say so that they have changed.
pub fn exceptional(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(fd, Interest::PRIORITY)
}

fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "unsound only for types whose descriptor may change, which an OwnedFd's cannot; \
                  the new constructor is unsafe, and unsafe code is forbidden here"
    )]
    AsyncFd::with_interest(fd, interest)
}

/// Writes some of `bytes`, which are not none, to a descriptor that may be a pipe which nobody
/// reads: waits as long as that takes, also if somebody has set `O_NONBLOCK` on what it shares with
/// others. For threads that may wait.
pub fn write(fd: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::write(fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(written),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
