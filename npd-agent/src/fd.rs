//! File descriptors that the runtime waits on.

use std::io;
use std::os::fd::OwnedFd;

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
