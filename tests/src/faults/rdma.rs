//! An RDMA port on a network interface that goes down.

use super::{left_behind, run};

const INTERFACE: &str = "npd-rdma";

/// The name of the RDMA device.
const NAME: &str = "npd_rxe";

/// A port of a device that the kernel makes of a network interface.
pub struct RdmaPort(());

impl RdmaPort {
    /// Makes a port, which is up.
    pub fn new() -> anyhow::Result<Self> {
        run("ip", &["link", "add", INTERFACE, "type", "dummy"])?;
        let port = Self(());
        port.set("up")?;
        let of = ["type", "rxe", "netdev", INTERFACE];
        run("rdma", &[&["link", "add", NAME], &of[..]].concat())?;
        Ok(port)
    }

    /// Its device's name.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// Takes its interface `up` or `down`.
    pub fn set(&self, state: &str) -> anyhow::Result<()> {
        run("ip", &["link", "set", INTERFACE, state]).map(drop)
    }
}

impl Drop for RdmaPort {
    fn drop(&mut self) {
        // With the interface, the kernel removes the device.
        left_behind(INTERFACE, run("ip", &["link", "delete", INTERFACE]));
    }
}
