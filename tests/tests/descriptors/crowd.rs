//! Clients of an HTTP server that keep their connections busy: they ask nothing, or slowly, or they ask and
//! do not read.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// How many connections to each server are open at a time: more than it keeps.
const OPEN: u32 = 70;

/// How often another client comes.
const PAUSE: Duration = Duration::from_millis(100);

const REQUEST: &str =
    "GET /metrics HTTP/1.1\r\nhost: n\r\n\r\nGET /status HTTP/1.1\r\nhost: n\r\n\r\n";

/// Connects from this address.
pub(crate) fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The less the kernel keeps for a client that does not read, the sooner the server has to.
    socket.set_recv_buffer_size(4096)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// A client that does not do its part.
pub(crate) struct RudeClient {
    stream: TcpStream,
    is_slow: bool,
}

impl RudeClient {
    /// Connects. `number` decides what it does.
    pub(crate) fn connect(from: Ipv4Addr, to: SocketAddr, number: u32) -> io::Result<Self> {
        let mut stream = connect(from, to)?;
        stream.set_nonblocking(true)?;
        let is_slow = number % 3 == 1;
        if is_slow {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nx: ")?;
        }
        if number % 3 == 2 {
            // The answers are more than the kernel keeps for a client that reads nothing.
            let requests = REQUEST.repeat(100);
            stream.write_all(requests.as_bytes())?;
        }
        Ok(Self { stream, is_slow })
    }

    /// Says a little more, if it is slow. The server may have closed the connection.
    fn go_on(&mut self) {
        if self.is_slow {
            self.stream.write_all(b"x").ok();
        }
    }
}

/// Many of them, until this is dropped.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Clients of each of these servers. Some connect once, from the address that everyone on this machine
    /// has; the others come again and again from another.
    pub(crate) fn of(servers: &[SocketAddr]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = servers.iter().map(|server| {
            let (server, stop) = (*server, Arc::clone(&stop));
            std::thread::spawn(move || crowd(server, &stop))
        });
        Self {
            threads: threads.collect(),
            stop,
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn crowd(server: SocketAddr, stop: &AtomicBool) {
    let stay = |number| RudeClient::connect(Ipv4Addr::LOCALHOST, server, number);
    let mut staying: Vec<_> = (0..OPEN).flat_map(stay).collect();
    let mut coming = VecDeque::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        coming.extend(RudeClient::connect(
            Ipv4Addr::new(127, 0, 0, 2),
            server,
            number,
        ));
        if coming.len() > OPEN as usize {
            coming.pop_front();
        }
        for client in staying.iter_mut().chain(&mut coming) {
            client.go_on();
        }
        std::thread::sleep(PAUSE);
    }
}
