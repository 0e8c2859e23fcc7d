//! TCP ports for the programs under test.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

/// A TCP port of 127.0.0.1 that nobody else gets while this lives, also while no program listens on
/// it.
///
/// The port stays bound here, without listening. Programs that set `SO_REUSEADDR` before they bind,
/// as those in Rust and Go do, can listen on it; connections are refused until then. The kernel
/// gives a bound port neither to those who ask for any port nor to outgoing connections
/// (`inet_csk_get_port` and `__inet_hash_connect`).
#[derive(Debug)]
pub struct FreePort {
    /// Its number.
    pub number: u16,
    _bound: Socket,
}

/// Takes a free port.
pub fn free_port() -> anyhow::Result<FreePort> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    bound.set_reuse_address(true)?;
    bound.bind(&any.into()).context("looking for a port")?;
    let address = bound.local_addr()?.as_socket_ipv4();
    Ok(FreePort {
        number: address.context("an address without a port")?.port(),
        _bound: bound,
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_program_can_listen_on_the_port_and_nobody_else_gets_it() -> anyhow::Result<()> {
        let port = free_port()?;
        let address = (Ipv4Addr::LOCALHOST, port.number);
        let refused = TcpStream::connect(address).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
        // As often as a server is restarted.
        for _ in 0..3 {
            let listener = TcpListener::bind(address)?;
            TcpStream::connect(address)?;
            drop(listener.accept()?);
        }
        let others: anyhow::Result<Vec<_>> = (0..50).map(|_| free_port()).collect();
        assert!(others?.iter().all(|other| other.number != port.number));
        Ok(())
    }
}
