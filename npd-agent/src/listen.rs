//! Opens the sockets of the HTTP servers, on the same addresses as Go.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use socket2::{Domain, Socket, Type};

/// How long looking up a host name may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many connections may wait to be accepted, as in Go and in the standard library.
const BACKLOG: i32 = 128;

/// Binds a server's socket; `None` if the port is 0 or negative, which turns the server off.
///
/// `host` is an address, a host name, or empty for all interfaces.
pub fn bind(host: &str, port: i64) -> anyhow::Result<Option<TcpListener>> {
    if port <= 0 {
        return Ok(None);
    }
    let port = u16::try_from(port).with_context(|| format!("port {port} is over 65535"))?;
    let address = address(host, port)?;
    let listener = if address.ip().is_unspecified() {
        bind_all(port)
    } else {
        TcpListener::bind(address)
    };
    let listener = listener.with_context(|| format!("listening on http://{address}"))?;
    Ok(Some(listener))
}

/// The address that `host` means.
fn address(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    if host.is_empty() {
        return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    // Go puts brackets around a host with a colon, and then removes them.
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host = inner.filter(|inner| !inner.contains(':')).unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, port)),
        Err(_name) => resolve(host, port),
    }
}

/// Looks up a host name, on a separate thread, because the lookup may take very long.
fn resolve(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    // The C library accepts `127.1` and `0` as addresses; Go does not.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
    ensure!(!is_number, "{host:?} is neither an address nor a host name");
    let (sender, found) = channel();
    let name = host.to_owned();
    thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || {
            let addresses = (&*name, port).to_socket_addrs();
            // This fails if nobody waits for the answer any more.
            drop(sender.send(addresses.map(Iterator::collect::<Vec<_>>)));
        })
        .context("starting a thread to look up a host name")?;
    let looking = || format!("looking up the host name {host:?}");
    let Ok(addresses) = found.recv_timeout(PATIENCE) else {
        bail!("{}: no answer within {PATIENCE:?}", looking());
    };
    let addresses = addresses.with_context(looking)?;
    // Go uses one address, and prefers IPv4.
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    let address = v4.or(addresses.first());
    address.copied().with_context(looking)
}

/// Listens on all interfaces, for IPv4 and, if the machine has it, for IPv6. Go does the same, also
/// for `0.0.0.0`.
fn bind_all(port: u16) -> io::Result<TcpListener> {
    let both = || {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        socket.set_only_v6(false)?;
        socket.set_reuse_address(true)?;
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    both().or_else(|error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// The address that a server with this host listens on, without its port.
    #[track_caller]
    fn check(host: &str, expect: &str) {
        // Port 0 turns a server off, so take one that was free just now.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let listener = bind(host, port.into()).unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.ip().to_string(), expect, "{host:?}");
        if address.ip().is_unspecified() {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn addresses_and_names_are_those_that_go_takes() {
        check("127.0.0.1", "127.0.0.1");
        check("[127.0.0.1]", "127.0.0.1");
        check("127.0.0.2", "127.0.0.2");
        check("localhost", "127.0.0.1");
        check("LOCALHOST", "127.0.0.1");
        for wrong in [
            "[::1]",
            "0",
            "127.1",
            "0x7f.1",
            " 127.0.0.1",
            "127.0.0.1:80",
            "*",
            "nohost.invalid",
            "--port=1",
        ] {
            assert!(bind(wrong, 1).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_interfaces_are_those_of_ipv4_too() {
        let has_ipv6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        let all = if has_ipv6 { "::" } else { "0.0.0.0" };
        check("", all);
        check("0.0.0.0", all);
        check("::", all);
    }

    #[test]
    fn a_port_turns_a_server_off_or_is_a_port() {
        assert!(bind("localhost", 0).unwrap().is_none());
        assert!(bind("nohost.invalid", -1).unwrap().is_none());
        let error = bind("", 70_000).unwrap_err();
        assert_eq!(error.to_string(), "port 70000 is over 65535");
    }
}
