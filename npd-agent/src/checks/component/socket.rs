//! Connects to a component, and distinguishes "nobody listens" from "cannot be reached from here".

use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context, bail};
use tokio::net::{TcpStream, UnixStream};

/// Connects to a socket in the file system. `None` means that nobody listens there. An error means that
/// this process cannot know.
pub(super) async fn unix(path: &str) -> anyhow::Result<Option<UnixStream>> {
    let path = Path::new(path.strip_prefix("unix://").unwrap_or(path));
    // A runtime that stops removes its socket, but not the folder. If the folder is missing too, it is
    // probably not mounted into this container.
    if !path.parent().is_some_and(Path::exists) {
        bail!("{} does not exist; is its folder mounted?", path.display());
    }
    listening(UnixStream::connect(path).await)
        .with_context(|| format!("connecting to {}", path.display()))
}

/// The same over TCP.
pub(super) async fn tcp(host: &str, port: u16) -> anyhow::Result<Option<TcpStream>> {
    let connected = if host == "localhost" {
        // Not by the resolver, which may not work in a static binary.
        match TcpStream::connect(("127.0.0.1", port)).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                TcpStream::connect(("::1", port)).await
            }
            connected => connected,
        }
    } else {
        #[expect(
            clippy::disallowed_methods,
            reason = "this process ends with its answer, also by a panic"
        )]
        let addresses = tokio::net::lookup_host((host, port)).await;
        let addresses = addresses.with_context(|| format!("looking up {host}"))?;
        TcpStream::connect(&*addresses.collect::<Vec<_>>()).await
    };
    listening(connected).with_context(|| format!("connecting to {host}:{port}"))
}

fn listening<T>(connected: io::Result<T>) -> io::Result<Option<T>> {
    match connected {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::AddrNotAvailable => Err(error),
            _ => Ok(None),
        },
    }
}
