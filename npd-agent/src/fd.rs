//! File descriptors that the runtime waits for, and file descriptors that a thread writes to.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `fd`, which must not block, with the runtime, to wait until it can be read.
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(fd, Interest::READABLE)
}

/// Registers `fd` with the runtime, to wait for an exceptional condition (`POLLPRI`, poll(2)). With it,
/// files of procfs report that they have changed.
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

/// Writes some of `bytes`, which must not be empty. The descriptor may be a pipe that nobody reads, so
/// this may wait for ever; use it only on a thread that may. It also waits if another process that
/// shares the pipe has set `O_NONBLOCK`.
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
