//! A unit, asked about and signalled over D-Bus.

use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use super::dbus::{Connection, MessageWriter, Method};
use crate::node::clock;

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";

/// systemd.
#[derive(Debug)]
pub(super) struct Systemd(Connection);

impl Systemd {
    pub(super) async fn connect() -> anyhow::Result<Self> {
        Ok(Self(Connection::open().await.context("reaching systemd")?))
    }

    /// Since when the unit has been more than inactive. Unlike NPD's, this does not depend on
    /// how the wall clock is set.
    pub(super) async fn uptime(&mut self, service: &str) -> anyhow::Result<Duration> {
        let mut name = MessageWriter::default();
        name.string(&unit(service))?;
        let load = manager("LoadUnit", "s");
        let path = self.0.call(load, &name).await?.string()?;
        let mut property = MessageWriter::default();
        property.string("org.freedesktop.systemd1.Unit")?;
        property.string("InactiveExitTimestampMonotonic")?;
        let get = Method {
            path: &path,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            signature: "ss",
        };
        let mut answer = self.0.call(get, &property).await?;
        ensure!(answer.signature()? == "t", "the unit's start is no time");
        let since = Duration::from_micros(answer.u64()?);
        ensure!(
            !since.is_zero(),
            "unit {} has never been started",
            unit(service)
        );
        Ok(clock::monotonic().saturating_sub(since))
    }

    /// Sends a signal to the unit's main process.
    pub(super) async fn kill_main(&mut self, service: &str, signal: Signal) -> anyhow::Result<()> {
        let mut arguments = MessageWriter::default();
        arguments.string(&unit(service))?;
        arguments.string("main")?;
        arguments.i32(signal as i32);
        self.0.call(manager("KillUnit", "ssi"), &arguments).await?;
        Ok(())
    }
}

fn manager<'a>(member: &'a str, signature: &'a str) -> Method<'a> {
    Method {
        path: MANAGER_PATH,
        interface: MANAGER,
        member,
        signature,
    }
}

/// The unit's full name; `systemctl` takes a service for granted as well.
pub(super) fn unit(service: &str) -> String {
    if service.contains('.') {
        service.to_owned()
    } else {
        format!("{service}.service")
    }
}
