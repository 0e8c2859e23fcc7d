//! Clients from this host and from elsewhere do not close each other's connections.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use npd_tests::agent::{Agent, PATIENCE, get};
use npd_tests::faults::namespace::with_own_network;
use npd_tests::faults::run;
use npd_tests::harness::{Need, Test};
use serde_json::json;

use crate::crowd::{RudeClient, connect};

pub(crate) const TEST: Test = Test {
    name: "clients_from_elsewhere_do_not_close_those_of_this_host_nor_these_them",
    needs: &[Need::Agent, Need::Root, Need::Tool("ip")],
    run: clients_from_elsewhere_do_not_close_those_of_this_host_nor_these_them,
};

/// Fewer than a server keeps, and many more.
const CALM: u8 = 60;
const MANY: u8 = 200;

/// The server's address for clients from elsewhere.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// A connection is closed if it asks nothing for 10 s. What takes about as long shows nothing.
const SOON: Duration = Duration::from_secs(5);

fn clients_from_elsewhere_do_not_close_those_of_this_host_nor_these_them() -> anyhow::Result<()> {
    with_own_network(|| {
        // Every address of this network is the machine's own, without being loopback.
        run(
            "ip",
            &["route", "add", "local", "198.18.0.0/16", "dev", "lo"],
        )?;
        let folder = tempfile::tempdir()?;
        let config = json!({"plugin": "filelog", "logPath": "app.log", "source": "app", "rules": [],
            "pluginConfig": {"timestamp": "^.{20}", "message": "(.*)",
                             "timestampFormat": "2006-01-02T15:04:05Z07:00"}});
        std::fs::write(folder.path().join("app.json"), config.to_string())?;
        let arguments = ["--config.system-log-monitor=app.json", "--address=0.0.0.0"];
        let agent = Agent::start(folder.path(), &arguments)?;
        ensure!(get(agent.port(), "/healthz")? == "ok");
        let here = |client| Ipv4Addr::new(127, 0, 1, client);
        let elsewhere = |client| Ipv4Addr::new(198, 18, 1, client);
        stay_connected(agent.port(), here, elsewhere).context("clients of this host")?;
        stay_connected(agent.port(), elsewhere, here).context("clients from elsewhere")
    })
}

/// The calm clients still have their connections when many others have come. Each has an address of its own:
/// of one that has more connections than others, one would be closed first.
fn stay_connected(
    port: u16,
    calm: impl Fn(u8) -> Ipv4Addr,
    others: impl Fn(u8) -> Ipv4Addr,
) -> anyhow::Result<()> {
    let server = |client: Ipv4Addr| {
        let address = if client.is_loopback() {
            Ipv4Addr::LOCALHOST
        } else {
            ELSEWHERE
        };
        SocketAddr::from((address, port))
    };
    let round = || {
        let mut clients = Vec::new();
        for client in (1..=CALM).map(&calm) {
            let mut client = connect(client, server(client))?;
            ask(&mut client)?;
            clients.push(client);
        }
        let mut crowd = Vec::new();
        for (client, number) in (1..=MANY).map(&others).zip(0..) {
            crowd.push(RudeClient::connect(client, server(client), number)?);
        }
        // When a newer one is answered, all of them have been accepted.
        ensure!(get(port, "/healthz")? == "ok");
        clients.iter_mut().try_for_each(ask)
    };
    for _ in 0..10 {
        let started = Instant::now();
        match round() {
            Err(error) if started.elapsed() < SOON => return Err(error),
            Err(_) => {}
            Ok(()) => return Ok(()),
        }
    }
    bail!("this machine is too slow to tell")
}

/// Asks on a connection that stays open.
fn ask(client: &mut TcpStream) -> anyhow::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: n\r\n\r\n")?;
    let mut answer = [0; 1024];
    let length = client.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..length]);
    ensure!(answer.ends_with("\r\n\r\nok"), "answered: {answer:?}");
    Ok(())
}
