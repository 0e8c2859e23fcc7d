//! `health-checker`: in NPD's configs, and when it repairs, seen from the systemd that it asks to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness;
use npd_tests::port::free_port;

use crate::bus::{Bus, Unit};

/// Only the folder is another.
pub(crate) fn shipped_health_checkers_run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let programs = folder.path().to_str().context("a path in UTF-8")?;
    symlink(harness::agent()?, folder.path().join("health-checker"))?;
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    for component in ["kubelet", "containerd", "docker"] {
        let name = format!("health-checker-{component}.json");
        let config = fs::read_to_string(shipped.join(&name))?;
        let config = config.replace("/home/kubernetes/bin", programs);
        fs::write(folder.path().join(&name), config)?;
        let mut command = Command::new(harness::agent()?);
        // The configs repair units, but nothing on this machine may be repaired.
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/no/such/bus");
        let flag = format!("--config.custom-plugin-monitor={name}");
        let mut agent = Agent::start_as(command, folder.path(), &[&flag])?;
        let state = agent.wait_until("its answer", PATIENCE, || {
            let status = agent.page("/status")?;
            Ok(status["plugins"].get(format!("{name}: rules[0]")).cloned())
        })?;
        let message = state["message"].as_str().unwrap_or_default();
        // It does not matter whether this machine has a healthy one.
        let known = ["was found unhealthy", "error checking"];
        ensure!(
            message.is_empty() || known.iter().any(|known| message.contains(known)),
            "{name}: {state}"
        );
        ensure!(agent.stop()?.success(), "it was asked to stop");
    }
    Ok(())
}

/// The kubelet's address, and for how long its unit has been up.
#[derive(Clone, Copy)]
struct Node {
    host: &'static str,
    up: Duration,
}

pub(crate) fn only_what_is_ill_and_settled_is_repaired() -> anyhow::Result<()> {
    let node = Node {
        host: "127.0.0.1",
        up: Duration::from_secs(30),
    };
    let flags = ["--enable-repair=true", "--cooldown-time=20s"];
    check(node, &flags, 1, &["kubelet.service main 15"])?;
    // It has just been started, maybe by the last repair.
    let fresh = Node {
        up: Duration::from_secs(2),
        ..node
    };
    check(fresh, &flags, 1, &[])?;
    check(node, &flags[1..], 1, &[])?;
    // The result is unknown.
    let nowhere = Node {
        host: "no.such.host.invalid",
        ..node
    };
    check(nowhere, &flags, 2, &[])
}

/// Checks a kubelet that does not answer.
#[track_caller]
fn check(node: Node, flags: &[&str], code: i32, killed: &[&str]) -> anyhow::Result<()> {
    let bus = Bus::start(Unit {
        up: node.up,
        ..Unit::RUNNING
    })?;
    let status = health_checker(&bus, node.host, flags)?;
    let kills = bus.kills();
    ensure!(
        status == Some(code),
        "{flags:?} of {}: {status:?}",
        node.host
    );
    ensure!(kills == killed, "{flags:?} of {}: {kills:?}", node.host);
    Ok(())
}

fn health_checker(bus: &Bus, host: &str, flags: &[&str]) -> anyhow::Result<Option<i32>> {
    // A port on which nobody listens.
    let port = free_port()?;
    let status = Command::new(harness::agent()?)
        .args(["health-checker", "--component=kubelet"])
        .args(flags)
        .env("HOST_ADDRESS", host)
        .env("KUBELET_PORT", port.number.to_string())
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
        .status()?;
    Ok(status.code())
}

pub(crate) fn a_unit_s_state_is_systemd_s_answer() -> anyhow::Result<()> {
    let check = |bus: &str, code: i32, message: &str| {
        let output = Command::new(harness::agent()?)
            .args(["builtin", "systemd-unit", "kubelet"])
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus)
            .output()?;
        let stdout = String::from_utf8(output.stdout)?;
        assert_eq!(
            (output.status.code(), stdout.trim_end()),
            (Some(code), message)
        );
        anyhow::Ok(())
    };
    let running = Bus::start(Unit::RUNNING)?;
    check(&running.address(), 0, "kubelet.service is active (running)")?;
    let dead = Bus::start(Unit {
        state: ["not-found", "inactive", "dead"],
        ..Unit::RUNNING
    })?;
    check(&dead.address(), 1, "kubelet.service is inactive: not-found")?;
    check(
        "unix:path=/no/such/bus",
        2,
        "connecting to systemd: connecting to /no/such/bus: No such file or directory (os error 2)",
    )
}
