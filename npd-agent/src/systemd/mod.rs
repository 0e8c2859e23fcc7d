//! Asks systemd about a unit, and sends it signals, over D-Bus.

mod dbus;

use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use self::dbus::{Connection, MessageWriter, Method, Reader};
use crate::node::clock;

/// How long systemd may take to answer, as in NPD.
pub const PATIENCE: Duration = Duration::from_secs(10);

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";

/// systemd.
#[derive(Debug)]
pub struct Systemd(Connection);

/// The state of a unit, as `systemctl show` prints it.
#[derive(Debug, PartialEq, Eq)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `ActiveState`: `active`, `inactive`, `failed`, `activating`, …
    pub active: String,
    /// `SubState`: `running`, `dead`, `auto-restart`, …
    pub sub: String,
}

impl Systemd {
    /// Connects to the bus, on which systemd answers.
    pub async fn connect() -> anyhow::Result<Self> {
        Ok(Self(
            Connection::open().await.context("connecting to systemd")?,
        ))
    }

    /// How long the unit has been active. Unlike in NPD, this does not depend on the wall clock.
    pub async fn uptime(&mut self, service: &str) -> anyhow::Result<Duration> {
        let path = self.load(service).await?;
        let started = "InactiveExitTimestampMonotonic";
        let mut answer = self.property(&path, started, "t").await?;
        let since = Duration::from_micros(answer.u64()?);
        ensure!(
            !since.is_zero(),
            "unit {} has never been started",
            unit(service)
        );
        Ok(clock::monotonic().saturating_sub(since))
    }

    /// The state of a unit, which need not exist.
    pub async fn state(&mut self, service: &str) -> anyhow::Result<UnitState> {
        let path = self.load(service).await?;
        let path = path.as_str();
        Ok(UnitState {
            load: self.property(path, "LoadState", "s").await?.string()?,
            active: self.property(path, "ActiveState", "s").await?.string()?,
            sub: self.property(path, "SubState", "s").await?.string()?,
        })
    }

    /// The path of the unit's object on the bus.
    async fn load(&mut self, service: &str) -> anyhow::Result<String> {
        let mut name = MessageWriter::default();
        name.string(&unit(service))?;
        let load = manager("LoadUnit", "s");
        self.0.call(load, &name).await?.string()
    }

    /// A property of the unit at `path`, whose type is `signature`.
    async fn property(
        &mut self,
        path: &str,
        name: &str,
        signature: &str,
    ) -> anyhow::Result<Reader> {
        let mut property = MessageWriter::default();
        property.string("org.freedesktop.systemd1.Unit")?;
        property.string(name)?;
        let get = Method {
            path,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            signature: "ss",
        };
        let mut answer = self.0.call(get, &property).await?;
        let found = answer.signature()?;
        ensure!(found == signature, "{name} is of type {found}");
        Ok(answer)
    }

    /// Sends a signal to the unit's main process.
    pub async fn kill_main(&mut self, service: &str, signal: Signal) -> anyhow::Result<()> {
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

/// The unit's full name. A name without a type is a service, as for `systemctl`.
pub fn unit(service: &str) -> String {
    if service.contains('.') {
        service.to_owned()
    } else {
        format!("{service}.service")
    }
}
